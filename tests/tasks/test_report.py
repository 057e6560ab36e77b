"""What the report reads is what the pipeline makes before it."""

from __future__ import annotations

from pathlib import Path

import yaml

from tasks.report import COSTLY

STAGES = yaml.safe_load((Path(__file__).parents[2] / "dvc.yaml").read_text())["stages"]
GRADING = {f"{stage}-{variant}" for stage in ("filter", "evaluate") for variant in STAGES[stage]["foreach"]}


def test_the_report_waits_for_the_metrics_that_it_reads() -> None:
    assert {f"reports/metrics/{stage}.json" for stage in COSTLY} <= set(STAGES["report"]["deps"])


def test_what_a_judge_took_is_read_of_every_stage_that_grades() -> None:
    assert set(COSTLY) >= GRADING
