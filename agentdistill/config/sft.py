"""The `sft` block: LoRA fine-tuning of the student on the selected trajectories."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator

from agentdistill.config.block import Block, Count, PartOf, Positive


class SftParams(Block):
    """`batch_size` is the effective one, in sequences; `processes` share it, and each passes `device_batch_size` of its
    share at once. `max_length` is in tokens and longer examples are dropped and counted; with `mask_failed_steps` an
    action whose code failed carries no loss. `validation` is the share of problems held out for the validation loss."""

    lora_r: Count
    lora_alpha: Count
    lora_dropout: PartOf
    learning_rate: Positive
    warmup_ratio: PartOf
    epochs: Positive
    batch_size: Count
    device_batch_size: Count
    processes: Count
    max_length: Count
    mask_failed_steps: bool
    validation: PartOf
    dtype: Literal["float32", "bfloat16"]

    @field_validator("processes")
    @classmethod
    def _share_batches_out(cls, processes: int, block: ValidationInfo) -> int:
        batch, piece = block.data.get("batch_size"), block.data.get("device_batch_size")
        if batch and piece:  # else they are complained of themselves
            share, rest = divmod(batch, processes)
            if rest or (share > piece and share % piece):
                raise ValueError(f"a number that shares batch_size {batch} out in pieces of device_batch_size {piece}")
        return processes
