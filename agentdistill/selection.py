"""Which trajectories become training data: pure rules, and the funnel of what each rule took.

Every trajectory is either kept or has exactly one reason: the first rule, in the order of `REASONS`, that refuses it.
The result does not depend on the order of the input. Correctness comes as verdicts, made elsewhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agentdistill.errors import DataError
from agentdistill.records import Problem, Trajectory, Verdict, content_id

Preference = Literal["first", "shortest", "fewest_steps", "lowest_nll"]
SEARCH_TOOL = "search"
# In the order in which they are asked.
REASONS = (
    "error",  # the episode was broken off: infrastructure failed, or the conversation outgrew the context
    "no_answer",
    "ungraded",
    "wrong",
    "forced_answer",  # the answer was asked for after the steps had run out
    "unparsable_step",
    "truncated",  # the token limit ended a turn; training would end it there as if the model had
    "failed_step",
    "too_many_steps",
    "too_many_tokens",
    "no_search",  # the question needs the search tool and the attempt answered without it
    "other_attempt_preferred",
    "size_cap",
)


@dataclass(frozen=True)
class Rules:
    """Which rules apply. Wrong, unanswered, ungraded, truncated and broken attempts are refused always; None is no cap.

    `max_tokens` bounds the tokens that the model wrote in all steps. `max_examples` keeps problems in the order of a
    hash of their ids, so recipes capped to one size share as many problems as they can.
    """

    drop_unparsable: bool
    drop_failed_steps: bool
    drop_forced_answers: bool
    require_search: bool
    max_steps: int | None
    max_tokens: int | None
    prefer: Preference
    max_per_problem: int | None
    max_examples: int | None


@dataclass(frozen=True)
class Selection:
    """The kept trajectories in the order of the input, and the reason of each other one by trajectory id."""

    kept: tuple[Trajectory, ...]
    dropped: Mapping[str, str]


def select(
    trajectories: Sequence[Trajectory],
    problems: Mapping[str, Problem],
    verdicts: Mapping[str, Verdict],
    rules: Rules,
    *,
    nll: Mapping[str, float] | None = None,
) -> Selection:
    """Apply `rules`.

    Args:
        trajectories: attempts, each with its own id.
        problems: by problem id.
        verdicts: by trajectory id.
        nll: by trajectory id, the student's mean loss in nats per token; needed by preference "lowest_nll" only, for
            the trajectories that pass the rules before it.

    Raises:
        DataError: a trajectory occurs twice, or belongs to no known problem.
    """
    check_ids(trajectories, problems)
    dropped: dict[str, str] = {}
    for trajectory in trajectories:
        reason = _refusal(trajectory, problems[trajectory.problem_id], verdicts[trajectory.id], rules)
        if reason is not None:
            dropped[trajectory.id] = reason
    by_problem: dict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        if trajectory.id not in dropped:
            by_problem[trajectory.problem_id].append(trajectory)
    ranked: list[Trajectory] = []
    rank = _ranking(rules.prefer, nll or {})
    for problem_id in sorted(by_problem, key=lambda key: content_id("size", key)):
        attempts = sorted(by_problem[problem_id], key=lambda attempt: (rank(attempt), attempt.attempt, attempt.id))
        limit = rules.max_per_problem or len(attempts)
        ranked += attempts[:limit]
        dropped |= {attempt.id: "other_attempt_preferred" for attempt in attempts[limit:]}
    cap = rules.max_examples or len(ranked)
    dropped |= {trajectory.id: "size_cap" for trajectory in ranked[cap:]}
    return Selection(tuple(trajectory for trajectory in trajectories if trajectory.id not in dropped), dropped)


def _refusal(trajectory: Trajectory, problem: Problem, verdict: Verdict, rules: Rules) -> str | None:
    """Return the first reason against a trajectory that can be seen in it alone."""
    outcomes = [step.winner.outcome for step in trajectory.steps]
    searched = any(call.name == SEARCH_TOOL and call.error is None for one in outcomes for call in one.tool_calls)
    checks = {
        "error": trajectory.error is not None,
        "no_answer": trajectory.answer is None,
        "ungraded": verdict.correct is None,
        "wrong": verdict.correct is False,
        "forced_answer": rules.drop_forced_answers and trajectory.stop != "answered",
        "unparsable_step": rules.drop_unparsable and any(one.error_kind == "parse" for one in outcomes),
        "truncated": trajectory.truncated or any(step.winner.truncated for step in trajectory.steps),
        "failed_step": rules.drop_failed_steps and any(not one.ok for one in outcomes),
        "too_many_steps": rules.max_steps is not None and len(outcomes) > rules.max_steps,
        "too_many_tokens": rules.max_tokens is not None and trajectory.usage.completion_tokens > rules.max_tokens,
        # A chain of thought has no steps and no tools; the rule is about agents.
        "no_search": rules.require_search and problem.needs_search and bool(outcomes) and not searched,
    }
    return next((reason for reason, refused in checks.items() if refused), None)


def _ranking(prefer: Preference, nll: Mapping[str, float]) -> Callable[[Trajectory], float]:
    """Return the number by which attempts at one problem are ranked, lowest first."""

    def length(trajectory: Trajectory) -> float:
        return sum(len(message.text) for message in trajectory.messages if message.sampled)

    def steps(trajectory: Trajectory) -> float:
        return len(trajectory.steps)

    def loss(trajectory: Trajectory) -> float:
        return nll[trajectory.id]

    def none(trajectory: Trajectory) -> float:
        return 0.0

    return {"first": none, "shortest": length, "fewest_steps": steps, "lowest_nll": loss}[prefer]


def check_ids(trajectories: Sequence[Trajectory], problems: Mapping[str, Problem]) -> None:
    """Check that each trajectory occurs once and belongs to one of `problems`.

    Raises:
        DataError: one does not.
    """
    seen = set()
    for trajectory in trajectories:
        if trajectory.id in seen:
            raise DataError(f"Trajectory {trajectory.id} occurs more than once. Make the file again.")
        seen.add(trajectory.id)
        if trajectory.problem_id not in problems:
            raise DataError(
                f"Trajectory {trajectory.id} belongs to problem {trajectory.problem_id}, which is not among the "
                f"{len(problems)} train problems. Run download and rollout again, so that they agree."
            )


@dataclass(frozen=True)
class FunnelRow:
    """What one rule took from one group, and how many were left after it."""

    group: str
    reason: str
    taken: int
    left: int


def funnel(
    trajectories: Iterable[Trajectory],
    dropped: Mapping[str, str],
    group_of: Callable[[Trajectory], str] = lambda trajectory: "all",
) -> list[FunnelRow]:
    """Return a row for each group and rule in their order, beginning with "attempts", which takes none."""
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for trajectory in trajectories:
        reasons[group_of(trajectory)][dropped.get(trajectory.id, "")] += 1
    rows = []
    for group in sorted(reasons):
        left = reasons[group].total()
        rows.append(FunnelRow(group, "attempts", 0, left))
        for reason in REASONS:
            taken = reasons[group][reason]
            left -= taken
            rows.append(FunnelRow(group, reason, taken, left))
    return rows
