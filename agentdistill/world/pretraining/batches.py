"""Batches: documents tokenized, sorted by length into micro-batches, padded on the right.

Every document is a row of its own that begins at position 0. Rows of one micro-batch have similar lengths, so little is
padding, and causal attention alone keeps padding invisible: no mask is needed. Several batches are drawn together and
their micro-batches dealt out, short, middle and long ones to each, so that every batch keeps the mixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from agentdistill.world.pretraining.documents import Document

DRAWN_TOGETHER = 4  # batches


@dataclass(frozen=True)
class MicroBatch:
    """`ids` (rows, length) long; `targets` and `weights` (rows, length - 1), for the logits of all but the last."""

    ids: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor


@dataclass(frozen=True)
class Batch:
    micro: tuple[MicroBatch, ...]
    tokens: int  # without padding
    weight: float  # sum of all weights


def encode(tokenizer: PreTrainedTokenizerFast, document: Document) -> tuple[list[int], list[float]]:
    """Token ids of the whole text, and for each the weight of the span that its first character lies in."""
    encoding = tokenizer.backend_tokenizer.encode(document.text, add_special_tokens=False)
    weights: list[float] = []
    spans = iter(document.spans)
    end, weight = 0, 0.0
    for start, _ in encoding.offsets:
        while start >= end:
            text, weight = next(spans)
            end += len(text)
        weights.append(weight)
    return encoding.ids, weights


Row = tuple[list[int], list[float]]  # token ids and their weights


def _grouped(rows: list[Row], micro_tokens: int) -> list[list[Row]]:
    """Cut rows, sorted by length, into groups of at most `micro_tokens` padded tokens (one long row may exceed it)."""
    groups: list[list[Row]] = [[]]
    for row in sorted(rows, key=lambda row: len(row[0])):
        if groups[-1] and (len(groups[-1]) + 1) * len(row[0]) > micro_tokens:
            groups.append([])
        groups[-1].append(row)
    return groups


def _padded(group: list[Row], pad: int) -> MicroBatch:
    length = len(group[-1][0])
    ids = torch.tensor([ids + [pad] * (length - len(ids)) for ids, _ in group])
    weights = torch.tensor([weights + [0.0] * (length - len(weights)) for _, weights in group])
    return MicroBatch(ids, ids[:, 1:].contiguous(), weights[:, 1:].contiguous())


def batches(
    tokenizer: PreTrainedTokenizerFast, documents: Iterator[Document], *, tokens: int, micro_tokens: int
) -> Iterator[Batch]:
    """Yield batches of about `tokens` tokens in micro-batches of at most about `micro_tokens` padded ones."""
    pad = tokenizer.pad_token_id
    while True:
        rows: list[Row] = []
        total = 0
        while total < tokens * DRAWN_TOGETHER:
            rows.append(encode(tokenizer, next(documents)))
            total += len(rows[-1][0])
        groups = _grouped(rows, micro_tokens)
        for first in range(DRAWN_TOGETHER):
            dealt = groups[first::DRAWN_TOGETHER]
            micro = tuple(_padded(group, pad) for group in dealt)
            read = sum(len(ids) for group in dealt for ids, _ in group)
            yield Batch(micro, read, float(sum(m.weights.sum() for m in micro)))
