"""Checkpoints of a training: when one is written, and what it takes to go on from it as if nothing had happened.

transformers keeps weights, optimiser, schedule and random numbers. It draws the order of the examples anew when it goes
on in the middle of an epoch; so the state of the random numbers that the order was drawn from is kept too.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from agentdistill.models.weights import ADAPTER_FILES

SECONDS_BETWEEN = 600.0  # within an epoch; at its end there always is one


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint after `step` optimiser steps. `order` is the state of the random numbers that the order of
    its epoch was drawn from, or None at the end of an epoch."""

    folder: str
    step: int
    order: str | None


def last_whole(folder: Path) -> Checkpoint | None:
    """Return the last checkpoint in `folder` that was written to its end, and remove those that were not."""
    whole: list[Checkpoint] = []
    for path in folder.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        if (checkpoint := _read(path)) is not None:
            whole.append(checkpoint)
        else:
            shutil.rmtree(path)
    return max(whole, key=lambda checkpoint: checkpoint.step, default=None)


def _read(path: Path) -> Checkpoint | None:
    """Return a checkpoint that can be continued from; its state is written last."""
    try:
        state = json.loads((path / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
        order = state["stateful_callbacks"][Checkpoints.__name__]["attributes"]["order"]
        inside = state["epoch"] % 1 > 0
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not all((path / name).is_file() for name in ADAPTER_FILES):
        return None
    return Checkpoint(str(path), state["global_step"], order if inside else None)


class Checkpoints(TrainerCallback, ExportableState):
    """Has a trainer, whose samplers go through `watched`, write checkpoints and go on from them."""

    def __init__(self, resumed: Checkpoint | None) -> None:
        self._resumed = resumed.order if resumed else None
        self._order: str | None = None
        self._written = time.monotonic()

    def watched(self, sampler: Sampler[int]) -> Sampler[int]:
        """Return a sampler with the order of `sampler`, or what it was in the epoch that is continued."""
        return _Watched(sampler, self)

    def draw(self) -> None:
        """Called just before the order of an epoch is drawn."""
        if self._resumed is not None:
            torch.set_rng_state(torch.frombuffer(bytearray.fromhex(self._resumed), dtype=torch.uint8))
            self._resumed = None
        self._order = torch.get_rng_state().numpy().tobytes().hex()

    def state(self) -> dict[str, Any]:
        """What stands in the trainer's state."""
        return {"args": {}, "attributes": {"order": self._order}}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        due = _agreed(time.monotonic() - self._written >= SECONDS_BETWEEN, args.device)
        if due and not _ends_epoch(state):
            control.should_save = True

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if not _ends_epoch(state):
            # A fraction of an epoch ends the training here. transformers would go on from it by one step too many.
            control.should_save = False

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._written = time.monotonic()


class _Watched(Sampler[int]):
    def __init__(self, sampler: Sampler[int], checkpoints: Checkpoints) -> None:
        self._sampler = sampler
        self._checkpoints = checkpoints

    def __iter__(self) -> Iterator[int]:
        self._checkpoints.draw()
        return iter(self._sampler)

    def __len__(self) -> int:
        return len(self._sampler)  # type: ignore[arg-type]


def _ends_epoch(state: TrainerState) -> bool:
    return state.epoch is not None and state.epoch % 1 == 0


def _agreed(due: bool, device: torch.device) -> bool:
    """Return what the first process thinks: all write their parts of one checkpoint, and clocks differ."""
    if not distributed.is_initialized():
        return due
    flag = torch.tensor(due, dtype=torch.uint8, device=device)
    distributed.broadcast(flag, src=0)
    return bool(flag)
