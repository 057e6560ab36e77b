"""How the stage decodes: what `params.yaml` says of the vote reaches the student."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentdistill.config import Params, load_params
from tasks.evaluate import _reasoner, student_agent
from tests.scripted import LocalSession, ScriptedModel, problem, turn

ROOT = Path(__file__).parents[2]


def params(early: bool) -> Params:
    found = load_params(ROOT / "params.yaml")
    sag = found.evaluate.sag.model_copy(update={"n": 8, "early": early})
    return found.model_copy(update={"evaluate": found.evaluate.model_copy(update={"sag": sag})})


@pytest.mark.parametrize(("early", "sampled"), [(True, 4), (False, 8)])
async def test_a_unanimous_vote_samples_what_the_params_say(early: bool, sampled: int) -> None:
    acting = ScriptedModel([turn("final_answer(4)")] * sampled)
    agent = student_agent(params(early), "agent", acting, "Be an agent.", "sag")
    reasoning = ScriptedModel(["<answer>4</answer>"] * sampled)
    reason = _reasoner(params(early), "cot", reasoning, "Think.", "sag")
    found = [await agent.solve(problem(), LocalSession().open), await reason(problem())]
    assert [trajectory.answer for trajectory in found] == ["4", "4"]
    assert [[n for _, n, *_ in model.requests] for model in (acting, reasoning)] == [[sampled], [sampled]]
