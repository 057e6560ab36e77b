"""Choose the next token of many sequences at once, each from its own stream of noise.

Sampling is the Gumbel-max trick: argmax(logits / temperature + noise) is a draw from the softmax. The noise is a hash
of (request seed, sample, position, token), so a draw depends on nothing else in the batch.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

NUCLEUS_GUESS = 64  # most nuclei are smaller; finding that out is cheaper than sorting the vocabulary
MANTISSA_BITS = 23  # (k + 1/2) / 2^23 is exact in float32 and never 0 or 1
HASHED_AT_ONCE = 1 << 16  # on a CPU, so that the numbers stay in its cache between the steps of the hash


def stream_key(seed: int, sample: int) -> int:
    """Return the signed 64-bit key of the noise of one sample of one request."""
    digest = hashlib.blake2b(f"{seed}/{sample}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def gumbel_noise(keys: Tensor, positions: Tensor, vocabulary: int) -> Tensor:
    """Return standard Gumbel noise (rows, vocabulary), float32, a function of each row's key and position (int64)."""
    rows = _mix(_mix(keys) + positions)
    tokens = _mix(torch.arange(vocabulary, device=keys.device))
    noise = torch.empty(len(rows), vocabulary, device=keys.device)
    step = max(1, HASHED_AT_ONCE // vocabulary) if keys.device.type == "cpu" else len(rows)
    for first in range(0, len(rows), step):
        bits = _mix(rows[first : first + step, None] ^ tokens).bitwise_and_((1 << MANTISSA_BITS) - 1)
        noise[first : first + step] = bits.float().add_(0.5).mul_(2.0**-MANTISSA_BITS).log_().neg_().log_().neg_()
    return noise


def choose_tokens(
    logits: Tensor,
    temperatures: Tensor,
    top_ps: Tensor,
    keys: Tensor,
    positions: Tensor,
    *,
    greedy: bool,
    nucleus: bool,
) -> Tensor:
    """Return one token for each row of `logits` (rows, vocabulary).

    A temperature of 0 means greedy. `greedy` says that all rows are, `nucleus` that some top_p is below 1; they are
    known to the caller without asking the device.
    """
    logits = logits.float()
    if greedy:
        return logits.argmax(-1)
    sampled = temperatures > 0
    scaled = logits / torch.where(sampled, temperatures, 1.0)[:, None]
    if nucleus:
        scaled = keep_nucleus(scaled, top_ps)
    noise = gumbel_noise(keys, positions, logits.shape[-1])
    return torch.where(sampled[:, None], scaled + noise, logits).argmax(-1)


def keep_nucleus(logits: Tensor, top_ps: Tensor) -> Tensor:
    """Set the tokens outside each row's nucleus to -inf: the nucleus is the fewest most likely tokens whose
    probability reaches top_p (Holtzman et al. 2020, arXiv 1904.09751), with ties of the last one kept."""
    probabilities = logits.softmax(-1)
    highest = probabilities.topk(min(NUCLEUS_GUESS, logits.shape[-1])).values
    if not bool(((highest.sum(-1) >= top_ps) | (top_ps >= 1.0)).all()):
        highest = probabilities.sort(-1, descending=True).values
    before = highest.cumsum(-1) - highest  # what the more likely tokens have together
    outside = before >= top_ps[:, None]
    outside[:, 0] = False
    lowest = highest.masked_fill(outside, 1.0).amin(-1, keepdim=True)
    return logits.masked_fill((probabilities < lowest) & (top_ps < 1.0)[:, None], -torch.inf)


def _mix(x: Tensor) -> Tensor:
    """The splitmix64 finaliser (Steele, Lea and Flood 2014) on int64, whose products wrap around."""
    x = x + -0x61C8864680B583EB
    return _fold(_fold(_fold(x, 30).mul_(-0x40A7B892E31B1A47), 27).mul_(-0x6B2FB644ECCEEE15), 31)


def _fold(x: Tensor, bits: int) -> Tensor:
    """x ^= x >> bits, filling with zeros; on signed integers `>>` fills with the sign."""
    return x.bitwise_xor_((x >> bits).bitwise_and_((1 << (64 - bits)) - 1))
