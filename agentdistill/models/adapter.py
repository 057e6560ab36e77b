"""Whether a LoRA adapter belongs to a model. PEFT and vLLM load most that do not, and answer nonsense."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentdistill.errors import ModelError
from agentdistill.models.weights import ADAPTER_FILES
from agentdistill.store.digest import digest_files

CONFIG_FILE, WEIGHTS_FILE = ADAPTER_FILES
WEIGHTS = ("*.safetensors", "*.bin")
ROOT = "base_model.model."  # what PEFT puts before the name of a module
NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")  # of a layer, in the name of a module
Sizes = Mapping[str, tuple[int, int]]  # outputs and inputs of linear maps, by the names of their modules


def require_same_base(path: str, adapter: Path) -> None:
    """Raise ModelError when an adapter says that it was trained on another model than `path` (folder or hub name).

    Two folders are compared by their weights. Of a folder and a name on the hub nothing is known.
    """
    trained = _config(adapter).get("base_model_name_or_path")
    if not isinstance(trained, str) or trained == path:
        return
    ours, theirs = Path(path), Path(trained)
    if ours.is_dir() and theirs.is_dir():
        same = ours.samefile(theirs) or digest_files(ours, WEIGHTS) == digest_files(theirs, WEIGHTS)
    else:
        same = not (_is_hub_name(path) and _is_hub_name(trained))
    if not same:
        raise ModelError(
            f"The adapter {adapter} was trained on {trained}, not on {path}. Give the model that it was trained on, or "
            "train it again."
        )


def require_fit(sizes: Sizes, adapter: Path) -> None:
    """Raise ModelError when an adapter's matrices are not of a model's sizes, or not for all of its layers and only
    those. Modules that the model has not at all are left to who loads the adapter."""
    reason = _misfit(sizes, _adapted(adapter), _config(adapter))
    if reason is not None:
        raise ModelError(
            f"The adapter {adapter} was trained on another model: {reason}. Give the model that it was trained on, or "
            "train it again."
        )


def sizes_of(model: Any) -> Sizes:
    """Return the sizes of the linear maps of a torch module."""
    from torch import nn

    return {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
    }


def sizes_in(folder: Path) -> Sizes:
    """Return the sizes of the linear maps of the model in `folder`, without its weights; none where transformers does
    not know the architecture."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        with torch.device("meta"):
            build: Any = AutoModelForCausalLM  # without types
            return sizes_of(build.from_config(AutoConfig.from_pretrained(folder)))
    except ValueError:  # vLLM may know it
        return {}


def _is_hub_name(path: str) -> bool:
    return path.count("/") == 1 and not path.startswith((".", "/")) and not Path(path).exists()


def _adapted(adapter: Path) -> dict[str, dict[str, int]]:
    """Return what an adapter adds to: the outputs and inputs that its matrices have, by module."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(adapter / WEIGHTS_FILE, "pt") as file:
            shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118 - it is no dictionary
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{adapter / WEIGHTS_FILE} cannot be read: {error}. Train the adapter again.") from error
    adapted: dict[str, dict[str, int]] = defaultdict(dict)
    for key, (rows, *columns) in shapes.items():
        name, _, matrix = key.removeprefix(ROOT).removesuffix(".weight").rpartition(".")
        if matrix == "lora_A" and columns:
            adapted[name]["inputs"] = columns[0]
        elif matrix == "lora_B":
            adapted[name]["outputs"] = rows
    return adapted


def _config(adapter: Path) -> dict[str, Any]:
    file = adapter / CONFIG_FILE
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{file} is no JSON: {error}. Train the adapter again.") from error
    if not isinstance(config, dict):
        raise ModelError(f"{file} holds no JSON object. Train the adapter again.")
    return config


def _misfit(sizes: Sizes, adapted: Mapping[str, Mapping[str, int]], config: Mapping[str, Any]) -> str | None:
    """Return in words what does not fit."""
    for name, has in adapted.items():
        for wanted, side in zip(sizes.get(name, ()), ("outputs", "inputs"), strict=False):
            if has.get(side, wanted) != wanted:
                return f"its {name} has {has[side]} {side}, the model's {wanted}"
    kinds = {_kind(name) for name in sizes} & {_kind(name) for name in adapted}
    theirs = {name for name in adapted if _kind(name) in kinds}
    ours = {name for name in sizes if _kind(name) in kinds}
    if theirs - ours:
        return f"it has a {min(theirs - ours)}, the model has none"
    everywhere = isinstance(config.get("target_modules"), list) and config.get("layers_to_transform") is None
    if everywhere and not config.get("exclude_modules") and ours - theirs:
        return f"the model has a {min(ours - theirs)}, the adapter has nothing for it"
    return None


def _kind(name: str) -> str:
    return NUMBER.sub("*", name)
