"""Trainings of an adapter as the tests run them: seconds, on a tiny model."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from agentdistill.rendering import Example
from agentdistill.sft import Lora, LossPoint, Schedule, train

VOCABULARY = 200
Run = Callable[..., list[LossPoint]]


def example(length: int, trained: int, seed: int = 0) -> Example:
    """An example whose last tokens are trained."""
    numbers = random.Random(seed)
    ids = tuple(numbers.randrange(3, VOCABULARY) for _ in range(length))
    return Example(ids, tuple(place >= length - trained for place in range(length)))


def train_on(
    base: Path,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    examples: list[Example],
    *,
    learning_rate: float = 0.05,
    epochs: float = 1,
    micro_batch_size: int = 8,
    processes: int = 1,
    dropout: float = 0.0,
    validation: int = 2,
    on_step: Callable[[], None] = lambda: None,
) -> list[LossPoint]:
    return train(
        examples,
        examples[:validation],
        base=str(base),
        tokenizer=tokenizer,
        lora=Lora(rank=4, alpha=8, dropout=dropout),
        schedule=Schedule(
            learning_rate=learning_rate,
            epochs=epochs,
            batch_size=8,
            micro_batch_size=micro_batch_size,
            warmup_ratio=0.0,
            seed=0,
            processes=processes,
        ),
        dtype=torch.float32,
        checkpoints=folder / "checkpoints",
        adapter=folder / "adapter",
        on_step=on_step,
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter" / "adapter_model.safetensors")


def same_adapter(one: Path, other: Path) -> bool:
    """Whether the trainings in two folders came to the same adapter, to the bit."""
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
