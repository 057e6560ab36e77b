"""Copies of a model with something wrong in its weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

LACKED = "model.layers.1.mlp.up_proj.weight"


def lacking(model: Path, folder: Path) -> Path:
    """Return a copy under `folder` that lacks the weight `LACKED`."""
    return _changed(model, folder / "lacking", lambda weights: weights.pop(LACKED))


def overflowing(model: Path, folder: Path) -> Path:
    """Return a copy under `folder` whose numbers are too large for float16, and for it alone."""
    return _changed(model, folder / "overflowing", lambda weights: weights["model.norm.weight"].fill_(1e5))


def _changed(model: Path, copy: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    shutil.copytree(model, copy)
    weights = load_file(copy / "model.safetensors")
    change(weights)
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    return copy
