"""Score one system: its trajectories and their grades against the questions it was to answer.

The denominator is always the number of questions asked. A question without a trajectory, an answer that the
infrastructure cut off and an answer that could not be graded are not correct, and each is counted by its own name, so
that an accuracy never looks better or worse than it is without showing why.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from agentdistill.errors import DataError
from agentdistill.evaluation.intervals import Interval, clustered, mean_pass_at_k
from agentdistill.evaluation.paired import Outcomes
from agentdistill.evaluation.voting import VoteStatistics, vote_statistics
from agentdistill.records import MACHINE_STOPS, Grade, Problem, Trajectory


@dataclass(frozen=True)
class Run:
    """What one system answered: several trajectories a question are several attempts or seeds."""

    recipe: str
    decoding: str
    trajectories: Sequence[Trajectory]
    grades: Mapping[str, Grade]  # by trajectory id


@dataclass(frozen=True)
class Accuracy:
    """`correct` of `asked` answers, with its interval; the rest of `asked` by reason, `wrong` included."""

    interval: Interval
    asked: int
    correct: int
    wrong: int
    ungraded: int
    errors: int
    missing: int


@dataclass(frozen=True)
class Score:
    """One system's results. Tokens and steps are means per attempt; `outcomes` is by question id."""

    recipe: str
    decoding: str
    accuracy: Accuracy
    families: dict[str, Accuracy]
    outcomes: Outcomes
    pass_at: dict[int, float]
    steps: float
    prompt_tokens: float
    completion_tokens: float
    unanswered: int  # attempts that ended without an answer, whatever stopped them
    votes: VoteStatistics | None


def score(run: Run, problems: Sequence[Problem], confidence: float) -> Score:
    """Score `run` on `problems`.

    Raises:
        DataError: no problems, a trajectory of a question that was not asked, or one without a grade.
    """
    attempts = _by_question(run, problems)
    # With unequal numbers of attempts, a question counts as often as the one with the most: what is absent is missing.
    rounds = max(1, *map(len, attempts.values()))
    graded = {key: [_verdict(run, one) for one in tries] for key, tries in attempts.items()}
    filled = {key: verdicts + ["missing"] * (rounds - len(verdicts)) for key, verdicts in graded.items()}
    families: defaultdict[str, list[list[str]]] = defaultdict(list)
    for problem in problems:
        families[problem.family].append(filled[problem.id])
    outcomes = {key: [verdict == "correct" for verdict in verdicts] for key, verdicts in filled.items()}
    some = run.trajectories
    return Score(
        recipe=run.recipe,
        decoding=run.decoding,
        accuracy=_accuracy(list(filled.values()), confidence),
        families={family: _accuracy(members, confidence) for family, members in sorted(families.items())},
        outcomes=outcomes,
        pass_at={k: mean_pass_at_k(list(outcomes.values()), k) for k in _powers_of_two(rounds)},
        steps=fmean(len(one.steps) for one in some) if some else 0.0,
        prompt_tokens=fmean(one.usage.prompt_tokens for one in some) if some else 0.0,
        completion_tokens=fmean(one.usage.completion_tokens for one in some) if some else 0.0,
        unanswered=sum(one.answer is None for one in some),
        votes=vote_statistics(some),
    )


def _by_question(run: Run, problems: Sequence[Problem]) -> dict[str, list[Trajectory]]:
    if not problems:
        raise DataError("There are no questions to score against. The test split must hold at least one.")
    attempts: dict[str, list[Trajectory]] = {problem.id: [] for problem in problems}
    for trajectory in run.trajectories:
        if trajectory.problem_id not in attempts:
            raise DataError(
                f"{run.recipe}/{run.decoding} answered question {trajectory.problem_id}, which is not among the "
                f"{len(problems)} questions scored. Evaluate again on the current questions."
            )
        attempts[trajectory.problem_id].append(trajectory)
    return attempts


def _verdict(run: Run, trajectory: Trajectory) -> str:
    if trajectory.id not in run.grades:
        raise DataError(
            f"Trajectory {trajectory.id} of {run.recipe}/{run.decoding} has no grade. Evaluate the recipe again."
        )
    correct = run.grades[trajectory.id].correct
    if correct:
        return "correct"
    if trajectory.stop in MACHINE_STOPS:
        return "errors"
    return "ungraded" if correct is None else "wrong"


def _accuracy(questions: Sequence[Sequence[str]], confidence: float) -> Accuracy:
    counts = Counter(verdict for verdicts in questions for verdict in verdicts)
    interval = clustered([[verdict == "correct" for verdict in verdicts] for verdicts in questions], confidence)
    return Accuracy(
        interval=interval,
        asked=counts.total(),
        correct=counts["correct"],
        wrong=counts["wrong"],
        ungraded=counts["ungraded"],
        errors=counts["errors"],
        missing=counts["missing"],
    )


def _powers_of_two(limit: int) -> list[int]:
    """Return 2, 4, 8, ... up to `limit`; nothing for a single attempt, whose pass@1 is the accuracy."""
    return [2**i for i in range(1, limit.bit_length()) if 2**i <= limit]
