"""What the vote of self-consistent action generation did, step by step, over many trajectories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from agentdistill.records import Step, Trajectory
from agentdistill.sag import FAILED


@dataclass(frozen=True)
class VoteStatistics:
    """Shares between 0 and 1. `steps` counts all steps; the shares of steps are of those.

    Where a vote stopped early, the candidates are those that were drawn: more where they fail or differ.
    `failed_candidates`: candidates whose action failed, of all candidates. `agreement`: mean share of a step's
    candidates that gave the winning result. `overruled`: steps where the first candidate ran and another result won.
    `repaired`: steps where the first candidate failed and another one ran. `lost`: steps where all candidates failed.
    """

    steps: int
    candidates: int
    failed_candidates: float
    agreement: float
    overruled: float
    repaired: float
    lost: float
    failures: dict[str, int]


def vote_statistics(trajectories: Iterable[Trajectory]) -> VoteStatistics | None:
    """Sum up the votes; None when no step was taken. With one candidate a step, only failures are of interest."""
    steps = [step for trajectory in trajectories for step in trajectory.steps]
    if not steps:
        return None
    outcomes = [candidate.outcome for step in steps for candidate in step.candidates]
    failures = Counter(outcome.error_kind or "unknown" for outcome in outcomes if not outcome.ok)
    return VoteStatistics(
        steps=len(steps),
        candidates=len(outcomes),
        failed_candidates=failures.total() / len(outcomes),
        agreement=fmean(map(_agreement, steps)),
        overruled=fmean(step.votes[0] not in (FAILED, step.votes[step.chosen]) for step in steps),
        repaired=fmean(step.votes[0] == FAILED and step.votes[step.chosen] != FAILED for step in steps),
        lost=fmean(step.votes[step.chosen] == FAILED for step in steps),
        failures=dict(failures.most_common()),
    )


def _agreement(step: Step) -> float:
    winner = step.votes[step.chosen]
    return 0.0 if winner == FAILED else step.votes.count(winner) / len(step.votes)
