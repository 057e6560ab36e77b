"""Everything the report says, as data: scores, comparisons, funnels, curves, costs, examples.

`make_report` is pure; `summary` and `plot_rows` are its numbers for machines, `agentdistill.evaluation.page` its words
for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentdistill.evaluation.curves import Chart, line_chart
from agentdistill.evaluation.examples import Gallery, galleries
from agentdistill.evaluation.questions import DECODINGS, QUESTIONS, RECIPES, Answer, Question, answer
from agentdistill.evaluation.scores import Run, Score, score
from agentdistill.records import Problem
from agentdistill.selection import FunnelRow

Funnel = Sequence[FunnelRow]


@dataclass(frozen=True)
class CurvePoint:
    """Loss in nats per trained token at an optimiser step; `split` is "train" or "validation"."""

    step: int
    split: str
    loss: float


@dataclass(frozen=True)
class Cost:
    """What a stage asked of its model, or of its judge, which has no episodes and only the tokens that were billed.

    `requests` were sent; `ledger_hits` were answered without one.
    """

    stage: str
    episodes: int
    requests: int
    ledger_hits: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float


@dataclass(frozen=True)
class Evidence:
    """What the stages left behind. Funnels and curves are by recipe, metrics by stage as in its metrics file."""

    problems: Sequence[Problem]
    runs: Sequence[Run]
    funnels: Mapping[str, Funnel]
    curves: Mapping[str, Sequence[CurvePoint]]
    metrics: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, object]  # parameters worth seeing beside the results


@dataclass(frozen=True)
class Report:
    """The report's content, ready to be shown."""

    evidence: Evidence
    confidence: float
    scores: tuple[Score, ...]
    answers: tuple[tuple[Question, tuple[Answer, ...]], ...]
    families: tuple[str, ...]
    charts: Mapping[str, Chart]  # by split
    costs: tuple[Cost, ...]
    galleries: tuple[Gallery, ...]

    def score(self, recipe: str, decoding: str) -> Score | None:
        """Return the score of one system, None if it was not evaluated."""
        return next((one for one in self.scores if (one.recipe, one.decoding) == (recipe, decoding)), None)


def make_report(evidence: Evidence, *, confidence: float, examples: int) -> Report:
    """Score, compare and choose examples; `examples` questions of each kind are shown.

    Raises:
        DataError: trajectories, grades and questions do not belong together.
    """
    scores = tuple(score(run, evidence.problems, confidence) for run in _ordered(evidence.runs))
    answers = [(question, tuple(answer(question, scores, confidence))) for question in QUESTIONS]
    return Report(
        evidence=evidence,
        confidence=confidence,
        scores=scores,
        answers=tuple((question, found) for question, found in answers if found),
        families=tuple(sorted({problem.family for problem in evidence.problems})),
        charts=_charts(evidence.curves),
        costs=tuple(_costs(evidence.metrics)),
        galleries=tuple(galleries(evidence.runs, evidence.problems, examples)),
    )


def summary(report: Report) -> dict[str, Any]:
    """Return the numbers that a pipeline's versions are compared by, nested as DVC shows them."""
    accuracy: dict[str, dict[str, float]] = {}
    for one in report.scores:
        accuracy.setdefault(one.recipe, {})[one.decoding] = round(one.accuracy.interval.estimate, 4)
    difference: dict[str, dict[str, dict[str, float]]] = {}
    for question, answers in report.answers:
        for found in answers:
            interval = found.comparison.difference
            difference.setdefault(question.key, {})["_".join(found.first)] = {
                "estimate": round(interval.estimate, 4),
                "low": round(interval.low, 4),
                "high": round(interval.high, 4),
            }
    training = {
        recipe: {"attempts": rows[0].left, "kept": rows[-1].left}
        for recipe, rows in ((recipe, _whole(funnel)) for recipe, funnel in report.evidence.funnels.items())
        if rows
    }
    return {
        "questions": len(report.evidence.problems),
        "accuracy": accuracy,
        "difference": difference,
        "training_set": training,
    }


def plot_rows(report: Report) -> list[dict[str, Any]]:
    """Return one row for each system and family (and "all"), for DVC's plots."""
    return [
        {
            "system": f"{one.recipe} {one.decoding}",
            "recipe": one.recipe,
            "decoding": one.decoding,
            "family": family,
            "accuracy": round(found.interval.estimate, 4),
            "low": round(found.interval.low, 4),
            "high": round(found.interval.high, 4),
        }
        for one in report.scores
        for family, found in {"all": one.accuracy, **one.families}.items()
    ]


def _ordered(runs: Sequence[Run]) -> list[Run]:
    recipes, decodings = list(RECIPES), list(DECODINGS)
    return sorted(runs, key=lambda run: (recipes.index(run.recipe), decodings.index(run.decoding)))


def _whole(funnel: Funnel) -> list[FunnelRow]:
    return [row for row in funnel if row.group == "all"]


def _charts(curves: Mapping[str, Sequence[CurvePoint]]) -> dict[str, Chart]:
    charts = {}
    for split in ("train", "validation"):
        lines = {
            recipe: [(float(point.step), point.loss) for point in points if point.split == split]
            for recipe, points in curves.items()
        }
        chart = line_chart(lines)
        if chart is not None:
            charts[split] = chart
    return charts


def _costs(metrics: Mapping[str, Mapping[str, Any]]) -> list[Cost]:
    """Gather what stages say about their requests; a judge has a row of its own."""
    return [
        cost
        for stage, values in metrics.items()
        for cost in (_own_cost(stage, values), _judge_cost(stage, values))
        if cost
    ]


def _own_cost(stage: str, values: Mapping[str, Any]) -> Cost | None:
    """Add up what a stage's model took: at the top of the metrics, or under each way of decoding."""
    blocks = [values, *(value for value in values.values() if isinstance(value, Mapping))]
    counted = [block for block in blocks if "completion_tokens" in block]
    if not counted:
        return None
    return Cost(
        stage=stage,
        episodes=sum(block.get("episodes", 0) for block in counted),
        requests=sum(block.get("requests", 0) for block in counted),
        ledger_hits=values.get("ledger_hits", 0),
        prompt_tokens=sum(block.get("prompt_tokens", 0) for block in counted),
        completion_tokens=sum(block["completion_tokens"] for block in counted),
        dollars=sum(block.get("cost_usd", 0.0) for block in counted),
    )


def _judge_cost(stage: str, values: Mapping[str, Any]) -> Cost | None:
    """Return what a stage's judge took. One that is not billed counts neither requests nor tokens; what the ledger did
    not have, it was asked."""
    judge = values.get("judge")
    if judge is None:
        return None
    return Cost(
        stage=f"{stage}, judge",
        episodes=0,
        requests=judge.get("requests", judge.get("ledger_misses", 0)),
        ledger_hits=judge.get("ledger_hits", 0),
        prompt_tokens=judge.get("billed_prompt_tokens", 0),
        completion_tokens=judge.get("billed_completion_tokens", 0),
        dollars=judge.get("cost_usd", 0.0),
    )
