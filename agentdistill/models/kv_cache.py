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
    """Keys and values by slot: one tensor (2, layers, slots, heads, capacity, head size), which grows when it must."""

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device, *, tokens: int = CHUNK) -> None:
        # Zeros, never uninitialised memory: a masked key's weight is zero, and zero times NaN would not be.
        size = (2, shape.layers, FEW_SLOTS, shape.heads, round_up(tokens, CHUNK), shape.head_size)
        self.data = torch.zeros(size, dtype=dtype, device=device)

    def reserve(self, *, slots: int, tokens: int, used: int) -> None:
        """Make room for `slots` sequences of `tokens`, keeping the contents of the first `used` slots."""
        two, layers, had_slots, heads, had_tokens, size = self.data.shape
        if slots <= had_slots and tokens <= had_tokens:
            return
        slots = had_slots if slots <= had_slots else max(slots, 2 * had_slots)
        tokens = max(had_tokens, round_up(tokens, CHUNK))
        grown = self.data.new_zeros(two, layers, slots, heads, tokens, size)
        grown[:, :, :used, :, :had_tokens] = self.data[:, :, :used]
        self.data = grown

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copy the first `tokens` of one slot to another."""
        self.data[:, :, target, :, :tokens] = self.data[:, :, source, :, :tokens]


class PrefixCache:
    """Prompt keys and values by content, in blocks of `BLOCK` tokens, the least recently used given up first.

    A block is found by its tokens and by the serial number of the block before it, so a find is exact.
    """

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device, *, tokens: int) -> None:
        self._free = list(range(tokens // BLOCK))
        size = (len(self._free), 2, shape.layers, shape.heads, BLOCK, shape.head_size)
        self._data = torch.zeros(size, dtype=dtype, device=device)
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
        data = self._data[torch.tensor(blocks, dtype=torch.long, device=self._data.device)]
        # (blocks, 2, layers, heads, BLOCK, size) -> (2, layers, heads, blocks x BLOCK, size)
        joined = data.permute(1, 2, 3, 0, 4, 5).flatten(3, 4)
        cache.data[:, :, slot, :, : joined.shape[3]] = joined

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
                self._data[index] = cache.data[:, :, slot, :, start : start + BLOCK]
                self._blocks[key] = (self._serial, index)
            parent = self._blocks[key][0]


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
