"""What a rollout says of itself before students are trained on it."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.rollout import warnings


def metrics(*, turns: int = 100, unreadable: int = 0, **prefills: int) -> dict[str, Any]:
    return {"candidates": turns, "candidate_failures": {"parse": unreadable, "error": 9}, "prefills": prefills}


@pytest.mark.parametrize(
    "sound",
    [
        metrics(),
        metrics(turns=0),
        metrics(unreadable=50),
        metrics(continued=40, prompted=8, disregarded=40, unused=100),
        {"candidates": 5, "candidate_failures": {}, "prefills": {}},
    ],
)
def test_a_sound_rollout_says_nothing(sound: dict[str, Any]) -> None:
    assert warnings(sound, "embedded") == []


def test_turns_without_code_are_said_with_the_prompts() -> None:
    (said,) = warnings(metrics(unreadable=51), "embedded")
    assert said.startswith("51 of 100 turns held no code block to run. Either the prompts of 'embedded'")


def test_first_thoughts_that_a_teacher_disregards_are_said() -> None:
    (said,) = warnings(metrics(prompted=1, disregarded=36, unused=3), "paper")
    assert said.startswith("The teacher began 36 of 37 trajectories otherwise")
