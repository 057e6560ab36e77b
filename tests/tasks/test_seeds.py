"""One table over several seeds."""

from __future__ import annotations

import datetime
import itertools
from pathlib import Path

import pytest

from agentdistill.config.base import parse_params, read_yaml
from agentdistill.errors import ConfigError
from agentdistill.evaluation.questions import DECODINGS, RECIPES
from tasks.seeds import TEACHER, Gathered, main, page, reproduce, with_seed
from tasks.tracking import STAGE, open_tracker
from tests.toy import Toy

PARAMS = Path(__file__).parents[2] / "params.yaml"


def gathered() -> Gathered:
    """Two seeds, four questions: agents are right on three, then on one; all else is wrong."""
    first, second = (True, True, True, False), (False, True, False, False)
    made = Gathered(families=dict.fromkeys("abcd", "facts"), examples={key: [3, 2] for key in ("cot", *TEACHER)})
    for system in [*itertools.product(RECIPES, DECODINGS), *TEACHER.values()]:
        right = zip(first, second, strict=True) if system[0].startswith("agent") else [(False, False)] * 4
        made.outcomes[system] = {key: list(pair) for key, pair in zip("abcd", right, strict=True)}
    return made


def test_a_confidence_in_percent_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["seeds", "0", "--confidence", "95"])
    with pytest.raises(SystemExit):
        main()
    assert "between 0 and 1, such as 0.95; got 95" in capsys.readouterr().err


def test_each_seed_stands_for_itself() -> None:
    assert gathered().by_seed(("agent", "greedy")) == [0.75, 0.25]


def test_several_attempts_of_a_question_are_one_share() -> None:
    made = gathered()
    made.outcomes["teacher", "plain"] = {"a": [True, False, True, True], "b": [False, False, True, True]}
    assert made.by_seed(("teacher", "plain")) == [0.25, 1.0]


def test_the_page_shows_accuracies_differences_and_counts() -> None:
    text = page(gathered(), "command", datetime.date(2026, 1, 2), 0.95)
    (row,) = [line for line in text.splitlines() if line.startswith("| Agent distillation | 0.500 [")]
    assert row.endswith("| 0.750, 0.250 |")
    assert "| agent distillation over CoT distillation, greedy | +0.500 [" in text
    assert "CoT distillation 3, 2" in text


def test_only_the_seed_is_changed(tmp_path: Path) -> None:
    text = PARAMS.read_text()
    changed = tmp_path / "params.yaml"
    changed.write_text(with_seed(text, 41))
    before, after = parse_params(read_yaml(PARAMS)), parse_params(read_yaml(changed))
    assert after == before.model_copy(update={"seed": 41})
    assert [a for a, b in zip(text.splitlines(), changed.read_text().splitlines(), strict=True) if a != b] == [
        line for line in text.splitlines() if line.startswith("seed:")
    ]


def test_params_without_a_seed_are_refused() -> None:
    with pytest.raises(ConfigError, match="seed"):
        with_seed("download: {}", 1)


@pytest.mark.slow
def test_each_seed_has_a_complete_run_in_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    toy = Toy(tmp_path, tracking=True)
    for seed in (0, 1):
        toy.seed(seed)
        reproduce()
    runs = open_tracker(tmp_path, "agentdistill").find({STAGE: "pipeline"})
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    assert {run.data.metrics["second.x.score.all"] for run in runs} == {0.0, 0.5}
