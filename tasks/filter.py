"""Stage `filter`: grade the teacher's attempts and choose the training set of one recipe.

`python -m tasks.filter --variant {cot,agent,agent_ftp}` reads the blocks `filter` and `grading`,
`data/problems/train.jsonl` and the recipe's trajectories. It writes `data/grades/<variant>.jsonl` (a verdict for every
attempt, with the rule that refused it), `data/sft/<variant>.jsonl` (the kept trajectories),
`data/sft/<variant>.funnel.csv` and `reports/metrics/filter-<variant>.json`.
"""

from __future__ import annotations

import asyncio
import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from agentdistill.config import Params
from agentdistill.config.grading import GradingParams
from agentdistill.errors import ConfigError, DataError
from agentdistill.grading.batch import grade_all
from agentdistill.records import Grade, Problem, Trajectory, Verdict
from agentdistill.selection import REASONS, FunnelRow, Rules, Selection, check_ids, funnel, select
from agentdistill.store.atomic import atomic_path
from agentdistill.store.jsonl import read_jsonl, write_jsonl
from tasks.graders import open_graders_of
from tasks.stage import load_params, progress, run_stage, write_metrics

DATA = Path("data")
TRAJECTORIES = {"cot": "cot.jsonl", "agent": "plain.jsonl", "agent_ftp": "first_thought.jsonl"}


def main(variant: str) -> None:
    params = load_params()
    problems = {problem.id: problem for problem in read_jsonl(DATA / "problems" / "train.jsonl", Problem)}
    trajectories = read_jsonl(DATA / "trajectories" / TRAJECTORIES[variant], Trajectory)
    check_ids(trajectories, problems)
    pairs = [(problems[trajectory.problem_id], trajectory.answer) for trajectory in trajectories]
    graded, took = asyncio.run(_grade(pairs, params.grading))
    verdicts = {trajectory.id: verdict for trajectory, verdict in zip(trajectories, graded, strict=True)}
    rules = Rules(**params.filter.model_dump())
    nll: dict[str, float] = {}
    if rules.prefer == "lowest_nll":
        unranked = replace(rules, prefer="first", max_per_problem=None, max_examples=None)
        nll = _student_losses(variant, select(trajectories, problems, verdicts, unranked).kept, params)
    selection = select(trajectories, problems, verdicts, rules, nll=nll)
    if not selection.kept:
        raise DataError(_nothing_kept(variant, trajectories, selection))

    write_jsonl(DATA / "grades" / f"{variant}.jsonl", _grades(trajectories, verdicts, selection))
    rows = funnel(trajectories, selection.dropped)
    rows += funnel(trajectories, selection.dropped, lambda one: problems[one.problem_id].family)
    _write_csv(DATA / "sft" / f"{variant}.funnel.csv", rows)
    write_jsonl(DATA / "sft" / f"{variant}.jsonl", selection.kept)
    write_metrics(f"filter-{variant}", {**_metrics(trajectories, problems, verdicts, selection), **took})


async def _grade(
    pairs: Sequence[tuple[Problem, str | None]], params: GradingParams
) -> tuple[list[Verdict], dict[str, object]]:
    """Return the verdicts, and what a judge took for them."""
    async with open_graders_of(params) as opened:
        with progress(len(pairs), "grade", " answers") as advance:
            return await grade_all(opened.graders, pairs, advance=advance), opened.counts()


def _student_losses(variant: str, trajectories: Sequence[Trajectory], params: Params) -> dict[str, float]:
    """Return the student's loss on each trajectory, rendered as it would be for training."""
    import torch

    from agentdistill.models.tokenizer import load_tokenizer
    from agentdistill.rendering import render, trained_turns, with_system_prompt
    from agentdistill.student_loss import mean_losses
    from tasks.parts import student_prompt

    student = params.student
    if student.backend != "transformers":
        raise ConfigError(
            f"filter.prefer is 'lowest_nll', which needs a student of backend 'transformers', not {student.backend!r}. "
            "Choose another preference."
        )
    tokenizer = load_tokenizer(student.path)
    prompt = student_prompt(params, "cot" if variant == "cot" else "agent")
    examples = [
        render(
            with_system_prompt(trajectory.messages, prompt),
            trained_turns(trajectory, mask_failed_steps=params.sft.mask_failed_steps),
            tokenizer,
        )
        for trajectory in trajectories
    ]
    with progress(len(examples), "student's loss", " attempts") as advance:
        losses = mean_losses(
            student.path, examples, dtype=getattr(torch, student.dtype), device=student.device, advance=advance
        )
    return {trajectory.id: loss for trajectory, loss in zip(trajectories, losses, strict=True)}


def _grades(trajectories: Sequence[Trajectory], verdicts: Mapping[str, Verdict], selection: Selection) -> list[Grade]:
    return [
        Grade(
            trajectory_id=trajectory.id,
            problem_id=trajectory.problem_id,
            correct=verdicts[trajectory.id].correct,
            grader=verdicts[trajectory.id].grader,
            detail=verdicts[trajectory.id].detail,
            dropped=selection.dropped.get(trajectory.id),
        )
        for trajectory in trajectories
    ]


def _metrics(
    trajectories: Sequence[Trajectory],
    problems: Mapping[str, Problem],
    verdicts: Mapping[str, Verdict],
    selection: Selection,
) -> dict[str, Any]:
    kept = {trajectory.id for trajectory in selection.kept}
    groups: dict[str, dict[str, list[Trajectory]]] = {
        "by_family": defaultdict(list),
        "by_source": defaultdict(list),
    }
    for trajectory in trajectories:
        problem = problems[trajectory.problem_id]
        groups["by_family"][problem.family].append(trajectory)
        groups["by_source"][problem.source].append(trajectory)

    def counts(some: Sequence[Trajectory]) -> dict[str, float]:
        correct = sum(verdicts[one.id].correct is True for one in some)
        chosen = sum(one.id in kept for one in some)
        return {
            "attempts": len(some),
            "correct": correct,
            "ungraded": sum(verdicts[one.id].correct is None for one in some),
            "kept": chosen,
            "accuracy": correct / len(some),
            "yield": chosen / len(some),
        }

    taken = Counter(selection.dropped.values())
    return {
        **counts(trajectories),
        "problems": len(problems),
        "problems_kept": len({trajectory.problem_id for trajectory in selection.kept}),
        "dropped": {reason: taken[reason] for reason in REASONS},
        **{name: {group: counts(some) for group, some in sorted(members.items())} for name, members in groups.items()},
    }


def _write_csv(path: Path, rows: Sequence[FunnelRow]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["group", "rule", "taken", "left"])
        writer.writerows([row.group, row.reason, row.taken, row.left] for row in rows)


def _nothing_kept(variant: str, trajectories: Sequence[Trajectory], selection: Selection) -> str:
    taken = Counter(selection.dropped.values())
    reasons = ", ".join(f"{taken[reason]} {reason}" for reason in REASONS if taken[reason])
    advice = "Loosen the rules under filter in params.yaml, or use a stronger teacher."
    if 2 * taken["no_answer"] > len(trajectories):  # which no rule of the filter can mend
        advice = (
            f"Look at what the teacher wrote in {TRAJECTORIES[variant]}: prompts that do not say how to answer "
            "(prompts.set), or too few tokens or turns, leave it without an answer."
        )
    return (
        f"No training example is left for recipe {variant!r}: of {len(trajectories)} attempts the filter took "
        f"{reasons or 'none'}. {advice}"
    )


if __name__ == "__main__":
    run_stage(main, variants=tuple(TRAJECTORIES))
