"""Stage `report`: what the experiment found, on one page and in one metrics file.

Reads the trajectories and grades of `data/eval/<recipe>/`, the funnels of `data/sft/`, the loss curves of
`reports/plots/` and the stages' metrics. Writes `reports/report.html`, `reports/metrics.json` and, for DVC's plots,
`reports/plots/{accuracy,families,funnel}.csv`. What a run did not evaluate is left out of the page.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agentdistill.config import Params
from agentdistill.errors import DataError
from agentdistill.evaluation import Run
from agentdistill.evaluation.page import render
from agentdistill.evaluation.questions import DECODINGS, RECIPES
from agentdistill.evaluation.report import CurvePoint, Evidence, make_report, plot_rows, summary
from agentdistill.records import Grade, Problem, Trajectory
from agentdistill.selection import FunnelRow
from agentdistill.store.atomic import atomic_path, write_json, write_text
from agentdistill.store.jsonl import read_jsonl
from tasks.examined import examined
from tasks.stage import load_params, log, run_stage

DATA = Path("data")
REPORTS = Path("reports")
TRAINED = ("cot", "agent", "agent_ftp")
COSTLY = (
    "cot",
    "rollout-plain",
    "rollout-first_thought",
    *(f"filter-{recipe}" for recipe in TRAINED),
    *(f"evaluate-{recipe}" for recipe in RECIPES),
)


def main() -> None:
    params = load_params()
    report = make_report(
        Evidence(
            problems=examined(read_jsonl(DATA / "problems" / "test.jsonl", Problem), params.evaluate.limit),
            runs=_runs(),
            funnels={recipe: list(_funnel(DATA / "sft" / f"{recipe}.funnel.csv")) for recipe in TRAINED},
            curves={recipe: list(_curve(REPORTS / "plots" / f"sft-{recipe}.csv")) for recipe in TRAINED},
            metrics={stage: _metrics(REPORTS / "metrics" / f"{stage}.json") for stage in COSTLY},
            settings=_settings(params),
        ),
        confidence=params.report.confidence,
        examples=params.report.examples,
    )
    write_text(REPORTS / "report.html", render(report))
    write_json(REPORTS / "metrics.json", summary(report))
    rows = plot_rows(report)
    _write_csv(REPORTS / "plots" / "accuracy.csv", [row for row in rows if row["family"] == "all"])
    _write_csv(REPORTS / "plots" / "families.csv", [row for row in rows if row["family"] != "all"])
    kept = [
        {"recipe": recipe, "rule": row.reason, "taken": row.taken, "left": row.left}
        for recipe, funnel in report.evidence.funnels.items()
        for row in funnel
        if row.group == "all"
    ]
    _write_csv(REPORTS / "plots" / "funnel.csv", kept)
    log({f"accuracy.{score.recipe}.{score.decoding}": score.accuracy.interval.estimate for score in report.scores})


def _runs() -> list[Run]:
    runs = []
    for recipe in RECIPES:
        for decoding in DECODINGS:
            path = DATA / "eval" / recipe / f"{decoding}.jsonl"
            if path.exists():
                grades = read_jsonl(path.with_suffix(".grades.jsonl"), Grade)
                by_id = {grade.trajectory_id: grade for grade in grades}
                runs.append(Run(recipe, decoding, read_jsonl(path, Trajectory), by_id))
    if not runs:
        raise DataError(f"There are no evaluations under {DATA / 'eval'}. Run the evaluate stage: dvc repro evaluate.")
    return runs


def _funnel(path: Path) -> Iterator[FunnelRow]:
    for row in _rows(path, ("group", "rule", "taken", "left")):
        yield FunnelRow(row["group"], row["rule"], int(row["taken"]), int(row["left"]))


def _curve(path: Path) -> Iterator[CurvePoint]:
    for row in _rows(path, ("step", "split", "loss")):
        yield CurvePoint(int(row["step"]), row["split"], float(row["loss"]))


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV file that a stage wrote; a stage that was not run has none."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if not set(columns) <= set(reader.fieldnames or ()):
            raise DataError(f"{path} should have the columns {', '.join(columns)}, got {reader.fieldnames}. Remake it.")
        return list(reader)


def _metrics(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}. Run its stage again.") from error
    return found


def _settings(params: Params) -> dict[str, object]:
    sag, sft, judge = params.evaluate.sag, params.sft, params.grading.judge
    most = "up to " if sag.early else ""
    return {
        "teacher": _name(params.teacher.model_dump()),
        "student": _name(params.student.model_dump()),
        "SAG": f"{most}{sag.n} candidates, temperature {sag.temperature:g}, top-p {sag.top_p:g}",
        "training": f"LoRA rank {sft.lora_r}, {sft.epochs:g} epochs, learning rate {sft.learning_rate:g}",
        "grading of facts": params.grading.fact + (f", judge {_name(judge.model_dump())}" if judge else ""),
        "seed": params.seed,
    }


def _name(model: Mapping[str, Any]) -> str:
    return str(model["model"] if "model" in model else model["path"])


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        if rows:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    run_stage(main)
