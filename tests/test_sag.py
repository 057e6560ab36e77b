"""The laws of the vote, that it stops early without another result, and that the wrapper runs each action once."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdistill.sag import FAILED, self_consistent_action, still_needed, vote

Sample = Callable[[int, int], Awaitable[list[int]]]
Execute = Callable[[Sequence[int]], Awaitable[list[int | None]]]

keys = st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=1, max_size=12)


@given(keys)
def test_the_winner_has_a_largest_group(found: list[int | None]) -> None:
    sizes = Counter(key for key in found if key is not None)
    winner = found[vote(found).chosen]
    assert (winner is None) == (not sizes)
    if winner is not None:
        assert sizes[winner] == max(sizes.values())


@given(keys)
def test_ties_go_to_the_result_that_came_first(found: list[int | None]) -> None:
    sizes = Counter(key for key in found if key is not None)
    largest = [key for key in found if key is not None and sizes[key] == max(sizes.values())]
    assert found[vote(found).chosen] == (largest[0] if largest else None)


@given(keys)
def test_the_first_member_stands_for_its_group(found: list[int | None]) -> None:
    chosen = vote(found).chosen
    assert found.index(found[chosen]) == chosen


@given(keys, st.randoms(use_true_random=False))
def test_without_ties_the_order_does_not_matter(found: list[int | None], random: object) -> None:
    sizes = Counter(key for key in found if key is not None).most_common(2)
    if not sizes or (len(sizes) == 2 and sizes[0][1] == sizes[1][1]):
        return
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert shuffled[vote(shuffled).chosen] == found[vote(found).chosen]


@given(keys)
def test_a_failed_candidate_changes_nothing_for_the_others(found: list[int | None]) -> None:
    assert found[vote(found).chosen] == ([*found, None])[vote([*found, None]).chosen]


@given(keys)
def test_groups_join_equal_keys_and_mark_failures(found: list[int | None]) -> None:
    groups = vote(found).groups
    for key, group in zip(found, groups, strict=True):
        assert group == (FAILED if key is None else found.index(key))


def test_all_failed_keeps_the_first() -> None:
    assert vote([None, None]).chosen == 0


def test_agreement_counts_failed_candidates_in_the_denominator() -> None:
    assert vote([1, None, 1, 2]).agreement == 0.5
    assert vote([None]).agreement == 0.0


def test_no_candidates_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one"):
        vote([])


def winner(found: Sequence[int | None], n: int) -> int | None:
    """Return whom a vote among `n` must choose that begins with `found`; None when that depends on the others."""
    others = itertools.product([None, 0, 1, 2], repeat=n - len(found))  # 2 is in no `found`
    chosen = {vote([*found, *rest]).chosen for rest in others}
    return chosen.pop() if len(chosen) == 1 else None


@given(st.lists(st.sampled_from([None, 0, 1]), max_size=5), st.integers(1, 5))
def test_as_many_are_still_needed_as_can_settle_the_vote_at_best(found: list[int | None], n: int) -> None:
    found = found[:n]
    settling = (
        j
        for j in range(0 if found else 1, n + 1)  # somebody must be chosen
        for more in itertools.product([None, 0, 1, 2], repeat=j)
        if winner([*found, *more], n) is not None
    )
    assert still_needed(found, n) == next(settling)


@given(keys)
def test_a_vote_that_stops_early_chooses_what_all_would_have_chosen(found: list[int | None]) -> None:
    seen: list[int | None] = []
    while count := still_needed(seen, len(found)):
        seen = found[: len(seen) + count]
    assert vote(seen).chosen == vote(found).chosen


def tries(results: Sequence[int | None]) -> tuple[list[list[int]], Sample, Execute]:
    """Return what was executed, and the two functions: action i gives the i-th result."""
    executed: list[list[int]] = []

    async def sample(count: int, first: int) -> list[int]:
        return list(range(first, first + count))

    async def execute(actions: Sequence[int]) -> list[int | None]:
        executed.append(list(actions))
        return [results[action] for action in actions]

    return executed, sample, execute


async def test_all_are_drawn_together_and_each_runs_once() -> None:
    executed, sample, execute = tries([None, 4, 5, 4])
    decision = await self_consistent_action(sample, execute, lambda result: result, n=4, early=False)
    assert decision.actions[decision.vote.chosen] == 1
    assert executed == [[0, 1, 2, 3]]


async def test_early_no_action_is_drawn_that_could_not_change_the_winner() -> None:
    executed, sample, execute = tries([7] * 8)
    decision = await self_consistent_action(sample, execute, lambda result: result, n=8, early=True)
    assert executed == [[0, 1, 2, 3]]  # the other four could but tie, and lose the tie
    assert decision.outcomes == (7, 7, 7, 7)


async def test_early_a_contested_vote_asks_for_more() -> None:
    executed, sample, execute = tries([1, 2, 2, 1, 1, 2, 2, 2])
    decision = await self_consistent_action(sample, execute, lambda result: result, n=8, early=True)
    assert executed == [[0, 1, 2, 3], [4, 5], [6], [7]]
    assert decision.vote.chosen == 1


async def test_an_executor_that_loses_a_candidate_is_caught() -> None:
    async def execute(actions: Sequence[int]) -> list[int | None]:
        return [1]

    _, sample, _ = tries([])
    with pytest.raises(ValueError, match="2 actions and returned 1"):
        await self_consistent_action(sample, execute, lambda result: result, n=2, early=False)


async def test_a_sampler_that_returns_too_few_is_caught() -> None:
    async def sample(count: int, first: int) -> list[int]:
        return []

    _, _, execute = tries([])
    with pytest.raises(ValueError, match="asked for 2 actions and returned 0"):
        await self_consistent_action(sample, execute, lambda result: result, n=2, early=False)


async def test_none_to_choose_from_is_an_error() -> None:
    _, sample, execute = tries([])
    with pytest.raises(ValueError, match="n is 0"):
        await self_consistent_action(sample, execute, lambda result: result, n=0, early=True)
