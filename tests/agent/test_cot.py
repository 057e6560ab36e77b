"""Chains of thought as trajectories."""

from __future__ import annotations

from typing import Any

import pytest

from agentdistill.agent import Reasoner
from agentdistill.agent.tally import Tally
from agentdistill.errors import ModelError
from agentdistill.records import Reply
from tests.scripted import GREEDY, ScriptedModel, problem


def reasoner(model: ScriptedModel) -> Reasoner:
    return Reasoner(model=model, system_prompt="Think.", sampling=GREEDY, recipe="cot", seed=0)


async def test_each_sample_is_a_trajectory_with_its_answer() -> None:
    found = await reasoner(ScriptedModel(["a <answer>1</answer>", "b"])).think(problem(), samples=2, first_attempt=1)
    assert [(t.attempt, t.answer, t.stop) for t in found] == [(1, "1", "answered"), (2, None, "max_steps")]
    assert found[0].messages[-1].text == "a <answer>1</answer>"
    assert found[0].messages[-1].sampled


async def test_a_chain_that_the_token_limit_ended_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ScriptedModel(["a <answer>1</answer> and", "b <answer>2</answer>"])
    sample = model.sample

    async def cut(*args: Any, **kwargs: Any) -> Reply:
        reply = await sample(*args, **kwargs)
        first, *others = reply.completions
        return reply.model_copy(update={"completions": (first.model_copy(update={"truncated": True}), *others)})

    monkeypatch.setattr(model, "sample", cut)
    found = await reasoner(model).think(problem(), samples=2)
    tally = Tally()
    for trajectory in found:
        tally.add(trajectory)
    assert [trajectory.truncated for trajectory in found] == [True, False]
    assert tally.metrics()["truncated"] == 1


async def test_prompt_tokens_are_counted_once() -> None:
    found = await reasoner(ScriptedModel(["a", "b", "c"])).think(problem(), samples=3)
    assert sum(t.usage.prompt_tokens for t in found) == 10
    assert sum(t.usage.completion_tokens for t in found) == 3


async def test_self_consistency_votes_on_normalised_answers() -> None:
    model = ScriptedModel(["<answer>5</answer>", "no answer", "<answer>Rome</answer>", "<answer> rome </answer>"])
    trajectory = await reasoner(model).answer(problem(), samples=4, key=str.lower)
    assert trajectory.answer == "Rome"
    assert trajectory.steps[0].votes == (0, -1, 2, 2)
    assert trajectory.messages[-1].text == "<answer>Rome</answer>"


async def test_a_vote_that_failed_has_the_id_of_the_vote_that_succeeds_later() -> None:
    ways: list[list[str] | Exception] = [ModelError("away"), ["<answer>5</answer>"] * 2]
    failed, voted = [await reasoner(ScriptedModel(way)).answer(problem(), samples=2, key=str.lower) for way in ways]
    (alone,) = await reasoner(ScriptedModel(["<answer>5</answer>"])).think(problem(), samples=1)
    assert failed.stop == "model_error"
    assert failed.id == voted.id != alone.id


async def test_no_chain_is_sampled_that_could_not_change_the_answer() -> None:
    model = ScriptedModel(["<answer>5</answer>", "<answer>7</answer>"], ["<answer>5</answer>"])
    trajectory = await reasoner(model).answer(problem(), samples=4, key=str.lower, early=True)
    assert trajectory.answer == "5"
    assert [(n, first) for _, n, first, *_ in model.requests] == [(2, 0), (1, 2)]
    assert trajectory.usage.completion_tokens == 3


async def test_no_stated_answer_is_no_answer() -> None:
    trajectory = await reasoner(ScriptedModel(["hm", "hm"])).answer(problem(), samples=2, key=str.lower)
    assert (trajectory.answer, trajectory.stop) == (None, "max_steps")


@pytest.mark.parametrize("nothing", ["", " ", "-"])
async def test_an_answer_that_says_nothing_is_no_ballot(nothing: str) -> None:
    model = ScriptedModel([f"<answer>{said}</answer>" for said in (nothing, nothing, "Paris")])
    trajectory = await reasoner(model).answer(problem(), samples=3, key=lambda answer: answer.strip("- "))
    assert (trajectory.answer, trajectory.steps[0].votes) == ("Paris", (-1, -1, 2))


async def test_an_empty_answer_of_one_chain_is_no_answer() -> None:
    (found,) = await reasoner(ScriptedModel(["<answer></answer>"])).think(problem(), samples=1)
    assert (found.answer, found.stop) == (None, "max_steps")


async def test_a_failing_model_is_recorded() -> None:
    lost = await reasoner(ScriptedModel(ModelError("down"))).think(problem(), samples=2, first_attempt=1)
    assert [(t.attempt, t.stop, t.error, t.answer) for t in lost] == [
        (attempt, "model_error", "down", None) for attempt in (1, 2)
    ]
