"""A training that was stopped goes on as if it had not been."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from agentdistill import checkpoints, sft
from agentdistill.rendering import Example
from tests.training import Run, example, same_adapter


class Interruption:
    """Counts the steps of trainings, and interrupts the one that takes step `at`."""

    def __init__(self, at: int) -> None:
        self.at, self.steps = at, 0

    def __call__(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise KeyboardInterrupt


def interrupted(train: Run, folder: Path, at: int) -> tuple[bool, int]:
    """Train undisturbed, and once more with an interruption in step `at`. Return whether both came to the same curve
    and adapter, and how many steps the second took."""
    undisturbed = train(folder / "undisturbed")
    on_step = Interruption(at)
    with pytest.raises(KeyboardInterrupt):
        train(folder / "interrupted", on_step=on_step)
    same = train(folder / "interrupted", on_step=on_step) == undisturbed
    return same and same_adapter(folder / "undisturbed", folder / "interrupted"), on_step.steps


def examples(count: int) -> list[Example]:
    return [example(6 + i % 5, 2, seed=i) for i in range(count)]


def test_an_interrupted_training_goes_on_to_the_same_adapter(run: Run, tmp_path: Path) -> None:
    train = functools.partial(run, examples=examples(24), epochs=3)
    # In the second epoch of three steps each; the first is not trained again.
    assert interrupted(train, tmp_path, at=5) == (True, 5 + 6)


@pytest.mark.parametrize("last", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_a_training_interrupted_within_an_epoch_goes_on_there(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    """Two epochs of three steps; with dropout, which draws from the numbers that the order is drawn from."""
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    train = functools.partial(run, examples=examples(24), epochs=2, dropout=0.3)
    # The checkpoint of the step that is interrupted is not yet written.
    assert interrupted(train, tmp_path, at=last + 1) == (True, 6 + 1)


@pytest.mark.slow
def test_processes_go_on_together_within_an_epoch(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)  # of this process alone; the other follows it
    train = functools.partial(run, examples=examples(32), epochs=2, micro_batch_size=4, processes=2, dropout=0.3)
    # In the second epoch of four steps each.
    assert interrupted(train, tmp_path, at=7) == (True, 8 + 1)


def test_within_an_epoch_checkpoints_wait_for_their_time(run: Run, tmp_path: Path) -> None:
    run(tmp_path, examples(24), epochs=2)
    assert {path.name for path in (tmp_path / "checkpoints").glob("checkpoint-*")} == {"checkpoint-3", "checkpoint-6"}


@pytest.mark.parametrize("epochs", [1.0, 1.5])
def test_a_training_killed_at_its_very_end_takes_no_step_too_many(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: float
) -> None:
    train = functools.partial(run, examples=examples(32), epochs=epochs)
    undisturbed = train(tmp_path / "undisturbed")
    with monkeypatch.context() as patch:
        patch.setattr(sft, "_save", mock.Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed")
    assert train(tmp_path / "killed") == undisturbed
    assert same_adapter(tmp_path / "undisturbed", tmp_path / "killed")


def test_a_checkpoint_that_was_not_written_to_its_end_is_passed_over(run: Run, tmp_path: Path) -> None:
    train = functools.partial(run, examples=examples(24), epochs=2)
    undisturbed = train(tmp_path / "undisturbed")
    assert train(tmp_path / "broken") == undisturbed
    breakings: list[Callable[[Path], object]] = [
        lambda checkpoint: (checkpoint / "trainer_state.json").unlink(),
        lambda checkpoint: (checkpoint / "trainer_state.json").write_text('{"best_metric": nu'),
        lambda checkpoint: (checkpoint / "trainer_state.json").write_text("[]"),
        lambda checkpoint: (checkpoint / "adapter_model.safetensors").unlink(),
    ]
    steps: list[int] = []
    for break_it in breakings:
        break_it(tmp_path / "broken" / "checkpoints" / "checkpoint-6")
        assert train(tmp_path / "broken", on_step=lambda: steps.append(1)) == undisturbed
        assert same_adapter(tmp_path / "undisturbed", tmp_path / "broken")
    assert len(steps) == 3 * len(breakings)  # the first epoch is not trained again


def test_a_training_whose_only_checkpoint_is_broken_begins_anew(run: Run, tmp_path: Path) -> None:
    curve = run(tmp_path, examples(8))
    (tmp_path / "checkpoints" / "checkpoint-1" / "trainer_state.json").unlink()
    assert run(tmp_path, examples(8)) == curve
