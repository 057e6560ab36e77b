"""A limit takes questions from every source."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from agentdistill.records import Problem
from tasks.examined import examined


def problems(sizes: dict[str, int]) -> list[Problem]:
    return [
        Problem.create(question=f"q{i}", answer="1", source=source, split="test", answer_kind="math", family="f")
        for source, size in sizes.items()
        for i in range(size)
    ]


def test_each_source_gives_as_many_as_it_has_and_the_others_do() -> None:
    chosen = examined(problems({"large": 500, "small": 3, "other": 50}), 40)
    assert Counter(problem.source for problem in chosen) == {"large": 19, "small": 3, "other": 18}


sizes = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9))


@given(sizes, st.integers(0, 40))
def test_the_order_stays_and_a_smaller_limit_is_a_part_of_a_larger_one(sizes: dict[str, int], limit: int) -> None:
    everything = problems(sizes)
    ids = [problem.id for problem in examined(everything, limit)]
    assert len(ids) == min(limit, len(everything))
    assert ids == [problem.id for problem in everything if problem.id in ids]
    assert set(ids) <= {problem.id for problem in examined(everything, limit + 1)}
    assert examined(everything, None) == everything
