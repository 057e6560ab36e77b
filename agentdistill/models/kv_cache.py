"""Keys and values: of the sequences being generated, by slot, and of the prompts worth keeping, by content."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

CHUNK = 128  # capacities are multiples of it
FEW_SLOTS = 16  # to begin with
BLOCK = 16  # tokens per unit of prompt reuse


@dataclass(frozen=True)
class Shape:
    """What one token takes: layers x 2 x `heads` (key-value heads) x head size."""

    layers: int
    heads: int
    head_size: int


class SlotCache:
    """Keys and values by slot, in tensors that grow when they must.

    Attributes:
        keys: (layers, slots, heads, head size, capacity), the way a product with queries reads them fastest.
        values: (layers, slots, heads, capacity, head size).
    """

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device, *, tokens: int = CHUNK) -> None:
        # Zeros, never uninitialised memory: a masked key's weight is zero, and zero times NaN would not be.
        self.keys, self.values = _zeros(shape, FEW_SLOTS, round_up(tokens, CHUNK), dtype, device)
        self._shape = shape

    def reserve(self, *, slots: int, tokens: int, used: int) -> None:
        """Make room for `slots` sequences of `tokens`, keeping the contents of the first `used` slots."""
        _, had_slots, _, had_tokens, _ = self.values.shape
        if slots <= had_slots and tokens <= had_tokens:
            return
        slots = had_slots if slots <= had_slots else max(slots, 2 * had_slots)
        tokens = max(had_tokens, round_up(tokens, CHUNK))
        keys, values = _zeros(self._shape, slots, tokens, self.values.dtype, self.values.device)
        keys[:, :used, ..., :had_tokens] = self.keys[:, :used]
        values[:, :used, :, :had_tokens] = self.values[:, :used]
        self.keys, self.values = keys, values

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copy the first `tokens` of one slot to another."""
        self.keys[:, target, ..., :tokens] = self.keys[:, source, ..., :tokens]
        self.values[:, target, :, :tokens] = self.values[:, source, :, :tokens]


class PrefixCache:
    """Prompt keys and values by content, in blocks of `BLOCK` tokens, the least recently used given up first.

    A block is found by its tokens and by the serial number of the block before it, so a find is exact.
    """

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device, *, tokens: int) -> None:
        self._free = list(range(tokens // BLOCK))
        self._keys, self._values = _zeros(shape, len(self._free), BLOCK, dtype, device)
        self._blocks: OrderedDict[tuple[int, tuple[int, ...]], tuple[int, int]] = OrderedDict()  # -> serial, index
        self._serial = 0

    def find(self, ids: Sequence[int]) -> list[int]:
        """Return the blocks that hold the longest known beginning of `ids`, at least one token short of all."""
        parent, keys = 0, []
        for start in range(0, len(ids) - BLOCK, BLOCK):
            key = (parent, tuple(ids[start : start + BLOCK]))
            if key not in self._blocks:
                break
            keys.append(key)
            parent = self._blocks[key][0]
        for key in reversed(keys):  # so that a block is given up before the ones it depends on
            self._blocks.move_to_end(key)
        return [self._blocks[key][1] for key in keys]

    def load(self, blocks: Sequence[int], cache: SlotCache, slot: int) -> None:
        """Copy `blocks` to the beginning of a slot."""
        index = torch.tensor(blocks, dtype=torch.long, device=self._values.device)
        # (layers, blocks, heads, size, BLOCK) -> (layers, heads, size, blocks x BLOCK), and likewise the values
        keys = self._keys[:, index].permute(0, 2, 3, 1, 4).flatten(3)
        values = self._values[:, index].transpose(1, 2).flatten(2, 3)
        cache.keys[:, slot, ..., : keys.shape[3]] = keys
        cache.values[:, slot, :, : values.shape[2]] = values

    def store(self, ids: Sequence[int], cache: SlotCache, slot: int) -> None:
        """Keep the whole blocks of `ids`, whose keys and values lie in a slot."""
        parent = 0
        for start in range(0, len(ids) - BLOCK + 1, BLOCK):
            key = (parent, tuple(ids[start : start + BLOCK]))
            if key not in self._blocks:
                if not self._free:
                    if not self._blocks:
                        return
                    self._free.append(self._blocks.popitem(last=False)[1][1])
                self._serial += 1
                index = self._free.pop()
                self._keys[:, index] = cache.keys[:, slot, ..., start : start + BLOCK]
                self._values[:, index] = cache.values[:, slot, :, start : start + BLOCK]
                self._blocks[key] = (self._serial, index)
            parent = self._blocks[key][0]


def _zeros(
    shape: Shape, slots: int, tokens: int, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys and values of so many slots, as in `SlotCache`."""
    keys = (shape.layers, slots, shape.heads, shape.head_size, tokens)
    values = (shape.layers, slots, shape.heads, tokens, shape.head_size)
    return torch.zeros(keys, dtype=dtype, device=device), torch.zeros(values, dtype=dtype, device=device)


def prompt_span(tokens: int) -> int:
    """Return the capacity in which a prompt of `tokens` is kept: 1, 2, 3, 4, 6, 8, 12, ... chunks.

    Prompts of one capacity meet their queries in one product, and less than a third of its chunks are empty."""
    chunks, power = -(-tokens // CHUNK), 1
    while power < chunks:
        if chunks <= power + power // 2:
            return (power + power // 2) * CHUNK
        power *= 2
    return power * CHUNK


def round_up(number: int, multiple: int) -> int:
    """Return the least multiple of `multiple` that is not below `number`."""
    return -(-number // multiple) * multiple
