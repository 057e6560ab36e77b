"""How the stage decodes: what `params.yaml` says of the vote reaches the student."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentdistill.config import Params, load_params
from tasks.evaluate import LONGEST_READ, _reasoner, _same_number, student_agent
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


async def test_spellings_of_one_number_vote_together() -> None:
    said = [r"\frac{1}{2}", "2", r"\dfrac{1}{2}", "2", r"\frac12", "2", r"$\frac{1}{2}$"]
    model = ScriptedModel([f"<answer>{answer}</answer>" for answer in (*said, "7")])
    reason = _reasoner(params(early=False), "cot", model, "Think.", "sag")
    assert (await reason(problem())).answer == r"\frac{1}{2}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("45", "45.0"),
        ("45", r"\boxed{45}"),
        ("x + 1", "x+1"),
        (r"10,\!000", "10000"),
        ("10,000", "10 000"),
        ("$5$", "5."),
        (r"\left(1, 2\right)", "(1,2)"),
        (r"5\text{ cm}", "5 cm"),
        ("-.50", "\N{MINUS SIGN}0.5"),
        ("+7", "007"),
        ("0", "-0.0"),
        ("a" * LONGEST_READ + " b", "a" * LONGEST_READ + "b"),
    ],
)
def test_numbers_that_only_look_different_have_one_key(one: str, other: str) -> None:
    assert _same_number(one) == _same_number(other) != ""


@pytest.mark.parametrize(
    ("one", "other"), [("1 1/2", "11/2"), ("5", "50"), ("5", "-5"), ("0.5", "0.05"), ("1,2", "12")]
)
def test_different_numbers_have_different_keys(one: str, other: str) -> None:
    assert _same_number(one) != _same_number(other)


@pytest.mark.parametrize("nothing", ["$$", ".", r"\boxed{}"])
def test_an_empty_formula_has_no_key(nothing: str) -> None:
    assert _same_number(nothing) == ""
