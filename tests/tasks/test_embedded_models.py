"""Where builds of the embedded models go."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentdistill.world.pretraining.mixture import Stretch
from tasks.embedded_models import OUT, RUNS, WORK, parse, shortened


def test_a_build_of_the_shipped_size_replaces_the_shipped_models() -> None:
    arguments = parse(["--role", "teacher"])
    assert (arguments.out, arguments.work) == (OUT, WORK)


def test_each_trial_has_models_and_checkpoints_of_its_own() -> None:
    trials = [parse(["--smoke"]), parse(["--tokens", "9"]), parse(["--tokens", "99"]), parse([])]
    places = [place for trial in trials for place in (trial.out, trial.work)]
    assert len(set(places)) == len(places)
    assert parse(["--role", "teacher", "--smoke"]).out.is_relative_to(".cache/embedded-models/smoke")
    assert parse(["--role", "teacher", "--smoke"]).work.is_relative_to(".cache/embedded-models/smoke")


def test_folders_that_are_named_are_taken() -> None:
    arguments = parse(["--smoke", "--out", "a", "--work", "b"])
    assert (arguments.out, arguments.work) == (Path("a"), Path("b"))


def test_a_later_run_without_weights_to_go_on_from_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(["--role", "student", "--run", "2", "--out", str(tmp_path)])
    assert f"{tmp_path}/student has none" in capsys.readouterr().err


def test_a_run_that_a_role_does_not_have_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--role", "teacher", "--run", "9"])
    assert "the teacher has runs 1 to 2" in capsys.readouterr().err


@pytest.mark.parametrize("run", [run for runs in RUNS.values() for run in runs])
def test_a_shortened_run_has_its_phases_in_proportion(run: tuple[Stretch, ...]) -> None:
    whole = sum(tokens for _, tokens in run)
    short = shortened(run, whole // 100)
    assert [phase for phase, _ in short] == [phase for phase, _ in run]
    assert [tokens for _, tokens in short] == pytest.approx([tokens / 100 for _, tokens in run], abs=1)
