"""The training step: the lean forward pass, the schedule, and continuing after a kill."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from agentdistill.models.tokenizer import load_tokenizer
from agentdistill.world import build
from agentdistill.world.pretraining.documents import Document
from agentdistill.world.pretraining.forward import hidden_states
from agentdistill.world.pretraining.mixture import Mixture, Phase, Role
from agentdistill.world.pretraining.training import (
    LATER_RATE,
    LEARNING_RATE,
    later_learning_rate,
    learning_rate,
    new_model,
    train,
    unread,
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    loaded = load_tokenizer("models/embedded/student")
    assert isinstance(loaded, PreTrainedTokenizerFast)
    return loaded


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_the_lean_forward_pass_is_the_one_of_transformers(role: Role, tokenizer: PreTrainedTokenizerFast) -> None:
    model = new_model(role, tokenizer, seed=0)
    ids = torch.randint(3, 500, (3, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.model(input_ids=ids).last_hidden_state
        torch.testing.assert_close(hidden_states(model, ids), expected, atol=2e-5, rtol=1e-4)


def test_padding_on_the_right_changes_nothing_before_it(tokenizer: PreTrainedTokenizerFast) -> None:
    model = new_model("student", tokenizer, seed=0)
    ids = torch.randint(3, 500, (1, 20), generator=torch.Generator().manual_seed(0))
    padded = torch.cat([ids, torch.zeros(1, 7, dtype=torch.long)], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(hidden_states(model, padded)[:, :20], hidden_states(model, ids))


def test_the_learning_rate_ramps_stays_and_falls() -> None:
    assert learning_rate(0, 0, 1000) < learning_rate(50, 100, 1000) < LEARNING_RATE
    assert learning_rate(200, 400, 1000) == LEARNING_RATE
    assert learning_rate(900, 750, 1000) == pytest.approx(LEARNING_RATE / 2)
    assert learning_rate(999, 1000, 1000) == pytest.approx(LEARNING_RATE / 100)


def test_the_learning_rate_of_a_later_run_ramps_and_falls() -> None:
    assert later_learning_rate(0, 0, 1000) < later_learning_rate(99, 100, 1000) < LATER_RATE
    assert later_learning_rate(200, 500, 1000) == pytest.approx(LATER_RATE / 2)
    assert later_learning_rate(999, 1000, 1000) == pytest.approx(LATER_RATE / 100)


@pytest.mark.slow
def test_a_second_run_goes_on_from_the_weights_it_is_given(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    start = Path("models/embedded/student")
    mixture = Mixture("student", build(7), 2)
    model, progress = train(
        "student",
        mixture,
        tokenizer,
        seed=2,
        stretches=[("settling", 1)],
        folder=tmp_path,
        checkpoint_seconds=1e9,
        start=start,
    )
    given = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32).state_dict()
    assert progress.step == 1
    for name, weight in model.state_dict().items():
        read = ~unread(given[name]) if "embed_tokens" in name or "lm_head" in name else slice(None)
        torch.testing.assert_close(weight[read], given[name][read], atol=2 * LATER_RATE, rtol=0)
        assert name.endswith("norm.weight") or not torch.equal(weight, given[name])


def test_embeddings_that_training_moved_alike_count_as_unread() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(40, 192, generator=generator) * 0.02
    assert not unread(drawn).any()
    away = torch.randn(192, generator=generator)
    drawn[7:21] += away
    assert unread(drawn).nonzero().flatten().tolist() == list(range(7, 21))


class Interrupted(Mixture):
    """A stream that breaks off after so many documents; four batches are drawn from some 160 at a time."""

    def __init__(self, documents: int) -> None:
        super().__init__("student", build(7), 1)
        self._left = documents

    def documents(self, phase: Phase) -> Iterator[Document]:
        yield from islice(super().documents(phase), self._left)
        raise KeyboardInterrupt


def run(tokenizer: PreTrainedTokenizerFast, folder: Path, mixture: Mixture, **changes: Any) -> tuple[Any, int]:
    """Train some steps, with a checkpoint at each; return the weights and how many steps there were in all."""
    settings: dict[str, Any] = {"seed": 1, "stretches": [("main", 30000)], "checkpoint_seconds": 0, **changes}
    model, progress = train("student", mixture, tokenizer, folder=folder, **settings)
    return model.state_dict(), progress.step


@pytest.mark.slow
def test_a_continued_run_goes_on_where_it_stopped(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    world = build(7)
    undisturbed, steps = run(tokenizer, tmp_path / "undisturbed", Mixture("student", world, 1))
    with pytest.raises(KeyboardInterrupt):
        run(tokenizer, tmp_path / "killed", Interrupted(200))
    caplog.set_level(logging.INFO)
    continued, its_steps = run(tokenizer, tmp_path / "killed", Mixture("student", world, 1))
    assert "student continues at" in caplog.text
    assert its_steps == steps
    for name, weight in continued.items():
        torch.testing.assert_close(weight, undisturbed[name], atol=1e-4, rtol=0)
    assert run(tokenizer, tmp_path / "killed", Interrupted(0))[1] == steps  # nothing is left to do


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"seed": 2}, {"stretches": [("main", 5000)]}, {"start": Path("models/embedded/student")}]
)
def test_a_checkpoint_of_another_run_is_not_continued(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, changes: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    mixture = Mixture("student", build(7), 1)
    one: dict[str, Any] = {"stretches": [("main", 1)]}
    run(tokenizer, tmp_path, mixture, **one)
    assert run(tokenizer, tmp_path, mixture, **one | changes)[1] >= 1
    assert "is of another run" in caplog.text
    assert "student continues" not in caplog.text
