"""Self-consistent action generation: sample several actions, run them, drop the failing ones, vote on the results.

The method of arXiv 2505.17612, section 3.2, with three repairs. Final answers take part in the vote. Nothing is run
twice: the winner's own execution is what the episode continues from. And sampling can stop early, when the candidates
still to come cannot change the winner (the idea of Adaptive-Consistency, arXiv 2305.11860, with an exact rule in place
of a likely one: the winner is the one that all N would have chosen). The module knows neither models nor sandboxes:
give `self_consistent_action` any `sample`, `execute` and `key` and it is the wrapper that another agent needs (a
simulator, an API in dry-run, a shell).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

A = TypeVar("A")
O = TypeVar("O")  # noqa: E741  (an outcome, whatever the caller's type for it)

FAILED = -1


@dataclass(frozen=True)
class Vote:
    """`chosen` is the winning index; `groups[i]` is the first index with the same result as i, `FAILED` if i failed."""

    chosen: int
    groups: tuple[int, ...]

    @property
    def agreement(self) -> float:
        """Share of all candidates, failed ones included, that stand behind the winner (0 when all failed)."""
        winner = self.groups[self.chosen]
        return 0.0 if winner == FAILED else self.groups.count(winner) / len(self.groups)


def vote(keys: Sequence[Hashable | None]) -> Vote:
    """Choose by majority among candidates with equal keys; None marks a failed candidate.

    The largest group wins and its first member stands for it. A tie, all keys different included, goes to the group
    that came first. When every candidate failed the first is chosen, so that the model sees an error of its own.

    Raises:
        ValueError: there are no candidates.
    """
    if not keys:
        raise ValueError("A vote needs at least one candidate.")
    groups = _groups(keys)
    leader = _leader(_sizes(groups))
    return Vote(0 if leader is None else leader, groups)


def still_needed(keys: Sequence[Hashable | None], n: int) -> int:
    """Return the fewest further candidates that could settle a vote among `n` of which the first have `keys`.

    0 means that it is settled: whatever the others came to, `vote` would choose as it does among these. Asked again
    after each answer, it never asks for more than the luckiest outcome would need.
    """
    left = n - len(keys)
    sizes = _sizes(_groups(keys))
    leader = _leader(sizes)
    ahead = 0 if leader is None else sizes[leader]
    # A result not seen yet may still win, but not by a tie: those go to the result that came first.
    rivals = [0, *(size + (group < leader) for group, size in sizes.items() if leader is not None and group != leader)]
    # With j more for the leader a rival can get the other left - j: enough when ahead + j >= rival + left - j.
    return max(0, math.ceil((max(rivals) + left - ahead) / 2))


def _groups(keys: Sequence[Hashable | None]) -> tuple[int, ...]:
    first: dict[Hashable, int] = {}
    return tuple(FAILED if key is None else first.setdefault(key, i) for i, key in enumerate(keys))


def _sizes(groups: Sequence[int]) -> Counter[int]:
    return Counter(group for group in groups if group != FAILED)


def _leader(sizes: Counter[int]) -> int | None:
    return max(sizes, key=lambda group: (sizes[group], -group), default=None)


@dataclass(frozen=True)
class Decision(Generic[A, O]):
    """What one self-consistent step did: every action, every outcome, and the vote between them."""

    actions: tuple[A, ...]
    outcomes: tuple[O, ...]
    vote: Vote


async def self_consistent_action(
    sample: Callable[[int, int], Awaitable[Sequence[A]]],
    execute: Callable[[Sequence[A]], Awaitable[Sequence[O]]],
    key: Callable[[O], Hashable | None],
    *,
    n: int,
    early: bool,
) -> Decision[A, O]:
    """Sample up to `n` actions, execute each once, and vote on `key(outcome)`; None as key drops a failed candidate.

    `sample(count, first)` draws so many actions, numbered from `first`. `execute` gets those together, so that it can
    run them in parallel, all from the state before the step; making the winner's state the current one is the caller's
    next move. With `early`, sampling stops when the actions still to come could not change the winner; else all `n` are
    drawn at once.

    Raises:
        ValueError: `n` is below 1, or `sample` or `execute` returned another number than it was to.
    """
    if n < 1:
        raise ValueError(f"A vote needs at least one candidate; n is {n}.")
    actions: list[A] = []
    outcomes: list[O] = []
    keys: list[Hashable | None] = []
    while count := still_needed(keys, n) if early else n - len(keys):
        drawn = await sample(count, len(actions))
        if len(drawn) != count:
            raise ValueError(f"sample() was asked for {count} actions and returned {len(drawn)}.")
        gave = await execute(drawn)
        if len(gave) != count:
            raise ValueError(f"execute() got {count} actions and returned {len(gave)} outcomes.")
        actions += drawn
        outcomes += gave
        keys += [key(outcome) for outcome in gave]
    return Decision(tuple(actions), tuple(outcomes), vote(keys))
