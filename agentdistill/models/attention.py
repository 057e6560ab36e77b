"""Attention for one pass of continuous batching, over the tokens of all sequences laid end to end without padding.

A sequence is a prompt, whose keys are held once for all samples of a request, and a tail, the tokens of one sample. The
queries of all samples of a request meet the prompt's keys in one product, so that eight samples read them once, not
eight times: reading keys is what decoding spends its time on.

On a CPU in float32 the same sequence gets the same bits whatever shares the batch. Three measures give that: sums over
keys run in chunks of fixed size and order (a masked key adds an exact zero), products have at least `MIN_ROWS` or
`MIN_QUERIES` rows (below, the BLAS library picks other kernels), and only keys computed by a prompt pass are kept for
later prompts (decoding rounds differently). It is a measured property of the usual BLAS kernels, not a promise about
every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional

from agentdistill.models.kv_cache import CHUNK, SlotCache, round_up

MIN_ROWS = 16  # of a product of activations and weights
MIN_QUERIES = 8  # of a product of queries and keys
QUERY_BLOCK = 512  # prompt tokens whose scores are held at once


@dataclass(frozen=True)
class NewPrompt:
    """A prompt of the pass: its `tokens` from position `start` on, for a slot of `cache`, at `offset` in the batch."""

    cache: SlotCache
    slot: int
    start: int
    tokens: int
    offset: int


@dataclass(frozen=True)
class Owners:
    """The prompts in the first slots of `cache`: their lengths, and the tail slots of each one's samples."""

    cache: SlotCache
    lengths: Sequence[int]
    tails: Sequence[Sequence[int]]


class Bucket:
    """The tails of prompts that lie in one cache, arranged by prompt with as many places for each as the largest needs.

    The bucket's rows are its tails in the order of the prompts, from `first` to `last` among those of all buckets."""

    def __init__(self, owners: Owners, tail_hidden: Tensor, first: int, group: int, device: torch.device) -> None:
        """
        Args:
            tail_hidden: (tail slots, tail span), 0 for a key that the tail's query sees, else -inf.
            group: query heads of one key-value head.
        """
        self._cache = owners.cache
        self._group = group
        self.tails = list(chain.from_iterable(owners.tails))
        self.first, self.last = first, first + len(self.tails)
        self._width = max(math.ceil(MIN_QUERIES / group), *map(len, owners.tails))
        members: list[list[int]] = []
        places: list[int] = []
        row = 0
        for prompt, tails in enumerate(owners.tails):
            rows = list(range(row, row + len(tails)))
            members.append(rows + [0] * (self._width - len(rows)))  # an empty place repeats row 0; it is not read
            places += range(prompt * self._width, prompt * self._width + len(rows))
            row += len(rows)
        self._members = torch.tensor(members, device=device)  # (prompts, width): the row in each place
        self._places = torch.tensor(places, device=device)  # (rows): where each row stands among all places
        self._span = round_up(max(owners.lengths), CHUNK)
        lengths = [length for length, tails in zip(owners.lengths, owners.tails, strict=True) for _ in tails]
        hidden = _hidden(torch.tensor(lengths, device=device)[:, None], self._span)
        hidden = torch.cat([hidden, tail_hidden[torch.tensor(self.tails, device=device)]], dim=-1)
        self._hidden = hidden[:, None, None]  # (rows, 1, 1, prompt span + tail span)

    def attend(self, layer: int, rows: Tensor, tail_scores: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
        """Let the rows (rows, groups, group, size) see prompts and tails.

        Args:
            tail_scores: (rows, groups, group, tail span).

        Returns:
            the prompts' part of the output, shaped like `rows`, and the weights of the tails' keys, shaped like their
            scores.
        """
        keys = self._cache.keys[layer, : len(self._members), ..., : self._span]
        values = self._cache.values[layer, : len(self._members), :, : self._span]
        scores = self._apart(self._together(rows) @ keys)
        weights = _softmax(torch.cat([scores, tail_scores], dim=-1), self._hidden, scaling).to(values.dtype)
        output = self._apart(_weighted(self._together(weights[..., : self._span]), values))
        return output, weights[..., self._span :]

    def _together(self, rows: Tensor) -> Tensor:
        """(rows, groups, group, x) -> (prompts, groups, width x group, x): one product for each prompt."""
        _, groups, group, last = rows.shape
        return rows[self._members].transpose(1, 2).reshape(len(self._members), groups, self._width * group, last)

    def _apart(self, together: Tensor) -> Tensor:
        """The reverse of `_together`."""
        prompts, groups, _, last = together.shape
        places = together.reshape(prompts, groups, self._width, self._group, last).transpose(1, 2)
        return places.reshape(-1, groups, self._group, last)[self._places]


class Pass:
    """One forward pass: one token for each tail, then the tokens of new prompts, then padding."""

    def __init__(
        self,
        tails: SlotCache,
        *,
        owners: Sequence[Owners],
        tail_lengths: Sequence[int],
        new: Sequence[NewPrompt],
        group: int,
    ) -> None:
        """
        Args:
            owners: the prompts that the tails belong to, by cache.
            tail_lengths: by tail slot, how many tokens it holds, the one of this pass included.
            new: the prompts of this pass.
            group: query heads of one key-value head.
        """
        device = tails.values.device
        self._tails = tails
        self._new = new
        self._rows = len(tail_lengths)
        if not self._rows:
            return
        lengths = torch.tensor(tail_lengths, device=device)
        self._tail_positions = lengths - 1
        self._tail_slots = torch.arange(self._rows, device=device)
        self._tail_span = round_up(max(tail_lengths), CHUNK)
        tail_hidden = _hidden(lengths[:, None], self._tail_span)
        self._buckets: list[Bucket] = []
        for some in owners:
            first = self._buckets[-1].last if self._buckets else 0
            self._buckets.append(Bucket(some, tail_hidden, first, group, device))
        order = torch.tensor([tail for bucket in self._buckets for tail in bucket.tails], device=device)
        self._order, self._back = order, order.argsort()  # from tail slots to rows of the buckets, and back

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Store the new keys and values and return the attention's output.

        Args:
            query: (heads, tokens, size); `key` and `value`: (key-value heads, tokens, size), padding at the end.

        Returns:
            (tokens, heads, size), zero where the batch was padded.
        """
        heads, tokens, size = query.shape
        groups = len(key)
        output = query.new_zeros(tokens, heads, size)
        if self._rows:
            # (key-value heads, tails, size) -> (tails, key-value heads, size)
            slots, positions = self._tail_slots, self._tail_positions
            self._tails.keys[layer][slots, :, :, positions] = key[:, : self._rows].transpose(0, 1)
            self._tails.values[layer][slots, :, positions] = value[:, : self._rows].transpose(0, 1)
            rows = query[:, : self._rows].transpose(0, 1).reshape(self._rows, groups, heads // groups, size)
            output[: self._rows] = self._decode(layer, rows, scaling).reshape(self._rows, heads, size)
        for prompt in self._new:
            keys, values = prompt.cache.keys[layer, prompt.slot], prompt.cache.values[layer, prompt.slot]
            end = prompt.start + prompt.tokens
            new = slice(prompt.offset, prompt.offset + prompt.tokens)
            keys[..., prompt.start : end] = key[:, new].transpose(1, 2)
            values[:, prompt.start : end] = value[:, new]
            for first in range(0, prompt.tokens, QUERY_BLOCK):
                last = min(first + QUERY_BLOCK, prompt.tokens)
                place = slice(prompt.offset + first, prompt.offset + last)
                rows = query[:, place].reshape(groups, heads // groups, last - first, size)
                positions = torch.arange(prompt.start + first, prompt.start + last, device=query.device)
                attended = _prompt_attention(rows, keys, values, positions, scaling)
                output[place] = attended.reshape(heads, last - first, size).transpose(0, 1)
        return output

    def _decode(self, layer: int, rows: Tensor, scaling: float) -> Tensor:
        """Attention of one query each of all tails: (tail slots, groups, group, size) in and out."""
        keys = self._tails.keys[layer, : self._rows, ..., : self._tail_span]
        values = self._tails.values[layer, : self._rows, :, : self._tail_span]
        scores = (rows @ keys)[self._order]
        rows = rows[self._order]
        parts = [
            bucket.attend(layer, rows[bucket.first : bucket.last], scores[bucket.first : bucket.last], scaling)
            for bucket in self._buckets
        ]
        output, weights = (torch.cat(part)[self._back] for part in zip(*parts, strict=True))
        return output + _weighted(weights, values)


def _prompt_attention(rows: Tensor, keys: Tensor, values: Tensor, positions: Tensor, scaling: float) -> Tensor:
    """Causal attention of one prompt's queries (groups, group, tokens, size) at `positions`; `keys` (groups, size,
    capacity) and `values` (groups, capacity, size)."""
    groups, group, tokens, size = rows.shape
    length = round_up(int(positions[-1]) + 1, CHUNK)
    hidden = _hidden(positions[:, None] + 1, length)  # (tokens, length)
    padding = max(0, MIN_QUERIES - group * tokens)
    rows = functional.pad(rows.reshape(groups, group * tokens, size), (0, 0, 0, padding))
    hidden = functional.pad(hidden.repeat(group, 1), (0, 0, 0, padding))
    weights = _softmax(rows @ keys[..., :length], hidden, scaling).to(values.dtype)
    output = _weighted(weights, values[:, :length])
    return output[:, : group * tokens].reshape(groups, group, tokens, size)


def _hidden(limits: Tensor, span: int) -> Tensor:
    """Return what is added to scores (..., span): 0 for the keys below a limit (..., 1), else -inf."""
    above = torch.arange(span, device=limits.device) >= limits
    return torch.zeros(above.shape, device=limits.device).masked_fill_(above, -math.inf)


def _softmax(scores: Tensor, hidden: Tensor, scaling: float) -> Tensor:
    """Weights over the last dimension, in float32; `hidden` is -inf for the keys that a query does not see, else 0."""
    return torch.add(hidden, scores.float(), alpha=scaling).softmax(-1)


def _weighted(weights: Tensor, values: Tensor) -> Tensor:
    """Sum (..., length, size) with weights (..., m, length); on a CPU chunk by chunk, always in the same order."""
    length = values.shape[-2]
    chunk = CHUNK if values.device.type == "cpu" else length
    total = weights[..., :chunk] @ values[..., :chunk, :]
    for start in range(chunk, length, chunk):
        total = total + weights[..., start : start + chunk] @ values[..., start : start + chunk, :]
    return total
