"""Counts add up, and a batch that the infrastructure spoilt is not taken for a result."""

from __future__ import annotations

import pytest

from agentdistill.agent import Agent, Tally
from agentdistill.errors import ModelError
from agentdistill.records import Trajectory
from tests.scripted import GREEDY, LocalSession, ScriptedModel, problem, turn


async def solved(*script: list[str] | Exception) -> Trajectory:
    agent = Agent(ScriptedModel(*script), "s", GREEDY, 2, 2, 10.0, "agent", 0)
    return await agent.solve(problem(), LocalSession().open)


async def test_counts() -> None:
    tally = Tally()
    tally.add(await solved([turn("1/0"), turn("final_answer(1)")]))
    tally.add(await solved([turn("x"), "nothing"], [turn("final_answer(1)")] * 2))
    metrics = tally.metrics()
    assert metrics["stops"] == {"answered": 2}
    assert metrics["candidate_failures"] == {"exception": 2, "parse": 1}
    assert metrics["candidate_failure_rate"] == 0.5
    assert metrics["requests"] == 3
    assert metrics["steps_per_episode"] == 1.5


async def test_what_came_from_the_ledger_was_not_asked() -> None:
    tally = Tally()
    fresh = await solved([turn("final_answer(1)")] * 2)
    tally.add(fresh)
    tally.add(fresh.model_copy(update={"usage": fresh.usage.model_copy(update={"requests": 0})}))
    assert tally.asked == fresh.usage
    assert tally.usage.completion_tokens == 2 * fresh.usage.completion_tokens


async def test_too_many_failures_raise_with_the_first_error() -> None:
    tally = Tally()
    tally.add(await solved(ModelError("connection refused")))
    tally.add(await solved([turn("final_answer(1)")] * 2))
    tally.require_sound(0.5, 2)
    with pytest.raises(ModelError, match=r"connection refused.* 1 of 2 episodes"):
        tally.require_sound(0.4, 2)


async def test_episodes_that_fail_together_are_refused_in_the_same_words() -> None:
    tally = Tally()
    refusals = set()
    for error in ("the key is wrong", "the key is wrong", "the connection broke"):
        tally.add(await solved(ModelError(error)))
        with pytest.raises(ModelError) as caught:
            tally.require_sound(0.0, 40)
        refusals.add(str(caught.value))
    assert len(refusals) == 1


def test_nothing_counted_is_sound() -> None:
    Tally().require_sound(0.0, 10)
