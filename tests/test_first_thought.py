"""Cutting the first thought from a chain of thought."""

from __future__ import annotations

import pytest

from agentdistill.first_thought import first_thought, prefix, stated_answer


@pytest.mark.parametrize(
    ("cot", "expected"),
    [
        ("First, find x.\n\nThen y.\n\n<answer>3</answer>", "First, find x."),
        ("First,\nfind x.\n \nThen y.", "First,\nfind x."),
        ("\n\nFirst.\n\nSecond.", "First."),
        ("First.\nSecond. <answer>3</answer>", "First."),
        ("<answer>3</answer>", None),
        ("So it is <answer>3</answer>\n\nChecked.", None),
        ("I compute:\n```py\nx = 1\n\ny = 2\n```\n\nSo 2.", "I compute:"),
        ("As in ```x``` I add.\n\nThen y.", "As in ```x``` I add."),
        ("```py\nx = 1\n\ny = 2\n```", None),
        ("", None),
        (" \n ", None),
    ],
)
def test_first_thought(cot: str, expected: str | None) -> None:
    assert first_thought(cot) == expected


def test_prefix_ends_where_the_model_goes_on() -> None:
    assert prefix("Find x.") == "Thought: Find x.\n"


@pytest.mark.parametrize(
    ("cot", "answer"),
    [
        ("so <answer> 12 </answer>", "12"),
        ("<answer>1</answer> no, <answer>2</answer>", "2"),
        ("<answer>a\nb</answer>", "a\nb"),
        ("<answer>unclosed", None),
        ("I will use an <answer> tag.\n\nFinal: <answer>Paris</answer>", "Paris"),
        ("<answer>1</answer> and <answer>", "1"),
        ("<answer> \n </answer>", None),
        ("", None),
    ],
)
def test_stated_answer(cot: str, answer: str | None) -> None:
    assert stated_answer(cot) == answer
