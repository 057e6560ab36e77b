"""LoRA supervised fine-tuning of a student on rendered examples, through TRL and PEFT.

The examples come with ids and mask; TRL is told to leave them as they are. The same seed on the same machine gives the
same adapter, also when the training was killed on the way and went on from a checkpoint.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer
from trl.trainer import utils as trl_utils

from agentdistill.checkpoints import Checkpoint, Checkpoints, last_whole
from agentdistill.data_parallel import data_parallel
from agentdistill.errors import DataError, ModelError
from agentdistill.models.loading import LOADING_ERRORS, first_line, load_whole
from agentdistill.models.quiet import quiet
from agentdistill.rendering import Example

DIVERGING = {"loss": "training loss", "eval_loss": "validation loss", "grad_norm": "norm of the gradient"}


@dataclass(frozen=True)
class Lora:
    """Low-rank adaptation (Hu et al., arXiv 2106.09685) of all linear layers but the LM head."""

    rank: int
    alpha: int
    dropout: float


@dataclass(frozen=True)
class Schedule:
    """`batch_size` is the effective batch. `processes` share it, and in each at most `micro_batch_size` sequences go
    through the model at once; ValueError where that leaves a rest."""

    learning_rate: float
    epochs: float
    batch_size: int
    micro_batch_size: int
    warmup_ratio: float
    seed: int
    processes: int

    def __post_init__(self) -> None:
        if self.batch_size % self.processes or self.batch_size // self.processes % self.rows:
            raise ValueError(
                f"A batch of {self.batch_size} cannot be shared by {self.processes} processes in pieces of "
                f"{self.micro_batch_size}."
            )

    @property
    def rows(self) -> int:
        """Sequences that go through the model of a process at once."""
        return min(self.micro_batch_size, self.batch_size // self.processes)

    @property
    def micro_batches(self) -> int:
        """Pieces in which a process passes its share of a batch."""
        return self.batch_size // self.processes // self.rows

    def optimiser_steps(self, examples: int) -> int:
        """Return how many optimiser steps that many examples take."""
        return math.ceil(self.epochs * math.ceil(examples / self.batch_size))


@dataclass(frozen=True)
class LossPoint:
    """One logged point: optimiser step, epochs seen, and loss in nats, on training or validation.

    The training loss is the mean over the trained tokens of the step's batch; the validation loss the mean over the
    examples, each with the mean over the trained tokens of the piece that it was passed in.
    """

    step: int
    epoch: float
    split: str
    loss: float


def split_by_length(examples: Sequence[Example], max_length: int) -> tuple[list[Example], int]:
    """Return the examples of at most `max_length` tokens and how many were longer; none is truncated.

    Raises:
        DataError: nothing is left to train on.
    """
    short = [example for example in examples if len(example.ids) <= max_length and any(example.mask)]
    if not short:
        longest = max((len(example.ids) for example in examples), default=0)
        raise DataError(
            f"No training example is left: of {len(examples)} none has at most {max_length} tokens and a trained one "
            f"(the longest has {longest}). Raise sft.max_length, or see the filter's funnel for where examples went."
        )
    return short, len(examples) - len(short)


def train(
    train_examples: Sequence[Example],
    validation_examples: Sequence[Example],
    *,
    base: str,
    tokenizer: PreTrainedTokenizerBase,
    lora: Lora,
    schedule: Schedule,
    dtype: torch.dtype,
    checkpoints: Path,
    adapter: Path,
    on_step: Callable[[], None],
) -> list[LossPoint]:
    """Train an adapter on `base` (a folder or hub name), save it under `adapter` and return the loss curve.

    `on_step` is called after each optimiser step. `checkpoints` is continued from if it holds a whole one; what a kill
    left of others is removed.

    Raises:
        ModelError: the base model cannot be loaded, or memory runs out.
        DataError: the loss became NaN or infinite, which a lower learning rate mends. Nothing is trained after that.
    """
    if schedule.processes > 1:
        train_examples = _filled_up(train_examples, schedule.rows * schedule.processes)
    fit = functools.partial(
        _fit,
        train_examples,
        validation_examples,
        base=base,
        tokenizer=tokenizer,
        lora=lora,
        arguments=functools.partial(_arguments, schedule, dtype, checkpoints, has_validation=bool(validation_examples)),
        dtype=dtype,
        checkpoint=last_whole(checkpoints),
    )
    with data_parallel(schedule.processes, fit):
        try:
            trainer = fit(on_step=on_step)
        except torch.OutOfMemoryError as e:
            raise ModelError(
                f"Training ran out of memory: {first_line(e)}. Lower sft.device_batch_size, then sft.max_length."
            ) from e
    _save(trainer.model, adapter)
    return _curve(trainer.state.log_history)


def _filled_up(examples: Sequence[Example], multiple: int) -> Sequence[Example]:
    """Add examples without a trained token until the processes have equally many pieces; accelerate would have each
    epoch begin again with the longest ones."""
    shortest = min(examples, key=lambda example: len(example.ids))
    idle = Example(shortest.ids, (False,) * len(shortest.ids))
    return [*examples, *[idle] * (-len(examples) % multiple)]


def _save(model: Any, folder: Path) -> None:
    """Write the adapter, the same files for the same weights."""
    for config in model.peft_config.values():
        config.target_modules = sorted(config.target_modules)  # a set's order would make each run's file another
    model.save_pretrained(str(folder))


def _fit(
    train_examples: Sequence[Example],
    validation_examples: Sequence[Example],
    *,
    base: str,
    tokenizer: PreTrainedTokenizerBase,
    lora: Lora,
    arguments: Callable[[], SFTConfig],
    dtype: torch.dtype,
    checkpoint: Checkpoint | None,
    on_step: Callable[[], None] | None = None,
) -> Any:
    """Train, as one of the processes that do, and return the trainer."""
    with quiet():
        trainer = _trainer(
            train_examples,
            validation_examples,
            base=base,
            tokenizer=tokenizer,
            lora=lora,
            arguments=arguments(),  # made here because they take up this process's rank
            dtype=dtype,
            checkpoints=Checkpoints(checkpoint),
        )
        if on_step is not None:
            trainer.add_callback(_Watch(on_step))
        # Where Triton is absent TRL computes the logits of every position, so that shapes do not change from batch to
        # batch on devices that compile. A CPU does not; the positions without a label, most of them, took a quarter of
        # each step.
        with mock.patch.object(trl_utils, "_use_triton", return_value=True, create=True):
            trainer.train(resume_from_checkpoint=checkpoint.folder if checkpoint else None)
    return trainer


def _trainer(
    train_examples: Sequence[Example],
    validation_examples: Sequence[Example],
    *,
    base: str,
    tokenizer: PreTrainedTokenizerBase,
    lora: Lora,
    arguments: SFTConfig,
    dtype: torch.dtype,
    checkpoints: Checkpoints,
) -> Any:
    try:
        model = load_whole(base, dtype=dtype)
    except LOADING_ERRORS as e:
        raise ModelError(
            f"The student base '{base}' cannot be loaded: {first_line(e)}. Correct student.path in params.yaml."
        ) from e
    trainer = _Trainer(
        checkpoints,
        model=model,
        args=arguments,
        train_dataset=_dataset(train_examples),
        eval_dataset=_dataset(validation_examples) if validation_examples else None,
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
    )
    if trainer.accelerator.num_processes > 1:
        # Each process shuffles for itself, and their generators part as soon as dropout has drawn from them.
        trainer.accelerator.rng_types = ["torch"]
    trainer.remove_callback(PrinterCallback)  # the caller shows progress and keeps the curve
    return trainer


class _Trainer(SFTTrainer):  # type: ignore[misc]
    """A trainer that goes on in the middle of an epoch with the examples that it has not had."""

    def __init__(self, checkpoints: Checkpoints, **options: Any) -> None:
        self._checkpoints = checkpoints
        super().__init__(callbacks=[checkpoints], **options)

    def _get_train_sampler(self, *arguments: Any) -> Any:
        return self._checkpoints.watched(super()._get_train_sampler(*arguments))


def _arguments(schedule: Schedule, dtype: torch.dtype, checkpoints: Path, *, has_validation: bool) -> SFTConfig:
    arguments = SFTConfig(
        output_dir=str(checkpoints),
        learning_rate=schedule.learning_rate,
        num_train_epochs=schedule.epochs,
        per_device_train_batch_size=schedule.rows,
        per_device_eval_batch_size=schedule.rows,
        gradient_accumulation_steps=schedule.micro_batches,
        train_sampling_strategy="group_by_length",  # a third of a mixed batch would be padding
        lr_scheduler_type="cosine",
        warmup_steps=schedule.warmup_ratio,
        bf16=dtype == torch.bfloat16,
        activation_checkpointing=torch.cuda.is_available(),
        logging_steps=1,
        logging_nan_inf_filter=False,  # it would put numbers in the place of what is none
        eval_strategy="epoch" if has_validation else "no",
        save_strategy="epoch",
        save_total_limit=2,  # the last one may not have reached the disk whole
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        seed=schedule.seed,
        data_seed=schedule.seed,
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        ddp_find_unused_parameters=False,  # each pass uses every weight of the adapter
    )
    # A process trains on one GPU. Left alone, transformers would split its batches among all that it sees, which makes
    # them as many times larger.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def _dataset(examples: Sequence[Example]) -> Dataset:
    return Dataset.from_dict(
        {
            "input_ids": [list(example.ids) for example in examples],
            "labels": [example.labels for example in examples],
        }
    )


def _curve(history: Sequence[dict[str, Any]]) -> list[LossPoint]:
    points = []
    for entry in history:
        for name, split in (("loss", "train"), ("eval_loss", "validation")):
            if name in entry:
                points.append(LossPoint(int(entry["step"]), float(entry["epoch"]), split, float(entry[name])))
    return points


class _Watch(TrainerCallback):
    """Report optimiser steps to the caller, end the training when it has diverged, and say nothing else."""

    def __init__(self, on_step: Callable[[], None]) -> None:
        self._on_step = on_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._on_step()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        for name, what in DIVERGING.items():
            value = (logs or {}).get(name, 0.0)
            if not math.isfinite(value):
                raise DataError(
                    f"Training has diverged: at step {state.global_step} the {what} is {value}. Lower "
                    "sft.learning_rate or raise sft.batch_size."
                )
