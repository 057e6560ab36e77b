from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentdistill.errors import DataError
from agentdistill.records import (
    Candidate,
    Message,
    Outcome,
    Problem,
    Step,
    ToolCall,
    Trajectory,
    Usage,
    Verdict,
)
from agentdistill.selection import REASONS, Rules, funnel, select

PROBLEMS = {
    problem.id: problem
    for problem in (
        Problem.create(
            question=f"q{i}", answer="a", source=f"s{i % 2}", split="train", answer_kind="fact", family="f",
            needs_search=True,
        )
        for i in range(4)
    )
}  # fmt: skip
IDS = sorted(PROBLEMS)
RULES = Rules(
    drop_unparsable=True,
    drop_failed_steps=False,
    drop_forced_answers=True,
    require_search=False,
    max_steps=None,
    max_tokens=None,
    prefer="first",
    max_per_problem=1,
    max_examples=None,
)


def rules(**changes: Any) -> Rules:
    return Rules(**{**RULES.__dict__, **changes})


def step(*, ok: bool = True, error_kind: str | None = None, searched: bool = False) -> Step:
    calls = (ToolCall(name="search", arguments={"query": "q"}, result="r", error=None),) if searched else ()
    outcome = Outcome(ok=ok, error_kind=error_kind, tool_calls=calls)
    candidate = Candidate(text="t", code=None, outcome=outcome)
    return Step(candidates=(candidate,), chosen=0, votes=(0,), observation=None, usage=Usage(), seconds=0)


def attempt(id: str, problem: int = 0, *steps: Step, text: str = "x", number: int = 0, **fields: Any) -> Trajectory:
    return Trajectory(
        **{
            "id": id,
            "problem_id": IDS[problem],
            "attempt": number,
            "recipe": "agent",
            "messages": (Message(role="user", text="q"), Message(role="assistant", text=text, sampled=True)),
            "steps": steps or (step(),),
            "answer": "a",
            "stop": "answered",
            "usage": Usage(completion_tokens=len(text)),
            "prefix": None,
            **fields,
        }
    )


def reason(trajectory: Trajectory, correct: bool | None = True, **changes: Any) -> str | None:
    verdict = Verdict(correct=correct, grader="g")
    return select([trajectory], PROBLEMS, {trajectory.id: verdict}, rules(**changes)).dropped.get(trajectory.id)


def test_correct_attempt_is_kept() -> None:
    assert reason(attempt("t")) is None


@pytest.mark.parametrize(("correct", "expected"), [(False, "wrong"), (None, "ungraded")])
def test_ungraded_is_not_wrong(correct: bool | None, expected: str) -> None:
    assert reason(attempt("t"), correct) == expected


def test_broken_attempt_is_neither_wrong_nor_unanswered() -> None:
    assert reason(attempt("t", answer=None, stop="model_error", error="gone"), False) == "error"
    assert reason(attempt("t", answer=None, stop="max_steps"), False) == "no_answer"


def test_what_the_token_limit_ended_is_no_example() -> None:
    (candidate,) = step().candidates
    cut = step().model_copy(update={"candidates": (candidate.model_copy(update={"truncated": True}),)})
    assert reason(attempt("t", 0, step(), cut)) == "truncated"
    assert reason(attempt("t", truncated=True)) == "truncated"


@pytest.mark.parametrize(
    ("trajectory", "on", "off", "expected"),
    [
        (
            attempt("t", stop="max_steps"),
            {"drop_forced_answers": True},
            {"drop_forced_answers": False},
            "forced_answer",
        ),
        (
            attempt("t", 0, step(ok=False, error_kind="parse"), step()),
            {"drop_unparsable": True},
            {"drop_unparsable": False},
            "unparsable_step",
        ),
        (
            attempt("t", 0, step(ok=False, error_kind="exception"), step()),
            {"drop_failed_steps": True},
            {"drop_failed_steps": False},
            "failed_step",
        ),
        (attempt("t", 0, step(), step()), {"max_steps": 1}, {"max_steps": 2}, "too_many_steps"),
        (attempt("t", text="long"), {"max_tokens": 3}, {"max_tokens": 4}, "too_many_tokens"),
        (attempt("t"), {"require_search": True}, {"require_search": False}, "no_search"),
    ],
)
def test_each_rule_is_on_or_off(trajectory: Trajectory, on: dict[str, Any], off: dict[str, Any], expected: str) -> None:
    assert reason(trajectory, **on) == expected
    assert reason(trajectory, **off) is None


def test_one_search_satisfies_the_rule_and_a_chain_of_thought_needs_none() -> None:
    assert reason(attempt("t", 0, step(), step(searched=True)), require_search=True) is None
    assert reason(attempt("t", steps=()), require_search=True) is None


@pytest.mark.parametrize(
    ("prefer", "best"), [("first", "a"), ("shortest", "b"), ("fewest_steps", "c"), ("lowest_nll", "d")]
)
def test_preferred_attempt_stays(prefer: Any, best: str) -> None:
    attempts = [
        attempt("a", 0, step(), step(), text="xxx", number=0),
        attempt("b", 0, step(), step(), text="x", number=1),
        attempt("c", 0, step(), text="xx", number=2),
        attempt("d", 0, step(), step(), text="xx", number=3),
    ]
    verdicts = {one.id: Verdict(correct=True, grader="g") for one in attempts}
    selection = select(attempts, PROBLEMS, verdicts, rules(prefer=prefer), nll={"a": 3.0, "b": 2.0, "c": 1.0, "d": 0.5})
    assert [one.id for one in selection.kept] == [best]
    assert set(selection.dropped.values()) == {"other_attempt_preferred"}


def test_a_size_cap_keeps_the_same_problems_for_two_recipes() -> None:
    plain = [attempt(f"p{i}", i) for i in range(4)]
    prefixed = [attempt(f"f{i}", i) for i in reversed(range(4))]
    chosen = []
    for attempts in (plain, prefixed):
        verdicts = {one.id: Verdict(correct=True, grader="g") for one in attempts}
        selection = select(attempts, PROBLEMS, verdicts, rules(max_examples=2))
        chosen.append({one.problem_id for one in selection.kept})
    assert len(chosen[0]) == 2
    assert chosen[0] == chosen[1]


def test_repeated_or_foreign_trajectory_is_an_error() -> None:
    verdicts = {"t": Verdict(correct=True, grader="g")}
    with pytest.raises(DataError, match="more than once"):
        select([attempt("t"), attempt("t")], PROBLEMS, verdicts, RULES)
    with pytest.raises(DataError, match="not among"):
        select([attempt("t", problem_id="else")], PROBLEMS, verdicts, RULES)


any_steps = st.lists(
    st.builds(step, ok=st.booleans(), error_kind=st.sampled_from([None, "parse", "exception"]), searched=st.booleans()),
    max_size=3,
).map(tuple)
any_attempts = st.lists(
    st.tuples(
        st.integers(0, 3),
        any_steps,
        st.sampled_from(["x", "xx", "xxx"]),
        st.integers(0, 2),
        st.sampled_from(["answered", "max_steps"]),
        st.sampled_from([True, False, None]),
    ),
    max_size=8,
)
any_rules = st.builds(
    Rules,
    drop_unparsable=st.booleans(),
    drop_failed_steps=st.booleans(),
    drop_forced_answers=st.booleans(),
    require_search=st.booleans(),
    max_steps=st.sampled_from([None, 1, 2]),
    max_tokens=st.sampled_from([None, 1, 2]),
    prefer=st.sampled_from(["first", "shortest", "fewest_steps"]),
    max_per_problem=st.sampled_from([None, 1, 2]),
    max_examples=st.sampled_from([None, 1, 3]),
)


@settings(deadline=None)
@given(any_attempts, any_rules, st.randoms(use_true_random=False))
def test_every_attempt_is_kept_or_has_one_reason_in_any_order(drawn: Any, chosen: Rules, random: Any) -> None:
    attempts = [
        attempt(f"t{i}", problem, steps=steps, text=text, number=number, stop=stop)
        for i, (problem, steps, text, number, stop, _) in enumerate(drawn)
    ]
    verdicts = {one.id: Verdict(correct=row[-1], grader="g") for one, row in zip(attempts, drawn, strict=True)}
    selection = select(attempts, PROBLEMS, verdicts, chosen)
    kept = {one.id for one in selection.kept}
    assert kept.isdisjoint(selection.dropped)
    assert kept | set(selection.dropped) == {one.id for one in attempts}
    assert set(selection.dropped.values()) <= set(REASONS)

    shuffled = random.sample(attempts, len(attempts))
    again = select(shuffled, PROBLEMS, verdicts, chosen)
    assert {one.id for one in again.kept} == kept
    assert again.dropped == selection.dropped

    rows = funnel(attempts, selection.dropped)
    if attempts:
        assert rows[0].left == len(attempts)
        assert rows[-1].left == len(kept)
        assert sum(row.taken for row in rows) == len(selection.dropped)


def test_funnel_groups_sum_to_the_whole() -> None:
    attempts = [attempt(f"t{i}", i % 4) for i in range(8)]
    verdicts = {one.id: Verdict(correct=True, grader="g") for one in attempts}
    selection = select(attempts, PROBLEMS, verdicts, RULES)
    by_source = funnel(attempts, selection.dropped, lambda one: PROBLEMS[one.problem_id].source)
    for whole in funnel(attempts, selection.dropped):
        parts = [row for row in by_source if row.reason == whole.reason]
        assert sum(row.taken for row in parts) == whole.taken
        assert sum(row.left for row in parts) == whole.left
