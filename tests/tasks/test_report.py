"""What the report reads is what the pipeline makes before it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from agentdistill.config import load_params
from tasks.report import COSTLY, _settings

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
GRADING = {f"{stage}-{variant}" for stage in ("filter", "evaluate") for variant in STAGES[stage]["foreach"]}


def test_the_report_waits_for_the_metrics_that_it_reads() -> None:
    assert {f"reports/metrics/{stage}.json" for stage in COSTLY} <= set(STAGES["report"]["deps"])


def test_what_a_judge_took_is_read_of_every_stage_that_grades() -> None:
    assert set(COSTLY) >= GRADING


@pytest.mark.parametrize(
    ("params", "graders"),
    [("params.yaml", "exact"), ("presets/api-teacher.yaml", "exact_then_judge, judge gpt-4.1-mini")],
)
def test_the_report_says_how_facts_are_graded(params: str, graders: str) -> None:
    assert _settings(load_params(ROOT / params))["grading of facts"] == graders
    assert {"grading.fact", "grading.judge"} <= set(STAGES["report"]["params"])
