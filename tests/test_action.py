"""Parsing a turn, and what the model is shown of an outcome."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdistill.action import Action, UnparsableAction, observation, parse
from agentdistill.records import Outcome

lines = st.lists(st.text(st.characters(exclude_characters="`\r\n", exclude_categories=["Cs"]), max_size=30))


@given(thought=lines, code=lines.filter(lambda found: any(line.strip() for line in found)))
def test_what_is_written_in_the_form_comes_back(thought: list[str], code: list[str]) -> None:
    text = "Thought: {}\nCode:\n```py\n{}\n```".format("\n".join(thought), "\n".join(code))
    assert parse(text).code == "\n".join(code).rstrip("\n")


def test_thought_loses_its_labels_only() -> None:
    assert parse("Thought: a\nb\nCode:\n```py\nx = 1\n```") == Action("a\nb", "x = 1")


def test_a_turn_without_labels_is_still_an_action() -> None:
    assert parse("I compute.\n```python\n1 + 1\n```") == Action("I compute.", "1 + 1")


def test_several_blocks_are_one_program() -> None:
    assert parse("Code:\n```py\na = 1\n```\nthen\n```py\na + 1\n```").code == "a = 1\n\na + 1"


def test_backticks_inside_a_line_of_code_do_not_close_it() -> None:
    assert parse("Code:\n```py\ns = '```'\nlen(s)\n```").code == "s = '```'\nlen(s)"


@pytest.mark.parametrize("word", ["latex", "text", "json", "c++", " latex"])
def test_a_block_of_something_else_is_part_of_the_thought(word: str) -> None:
    thought = f"We have\n```{word}\nx^2\n```\nso I compute."
    assert parse(f"Thought: {thought}\nCode:\n```py\n1 + 1\n```") == Action(thought, "1 + 1")
    assert parse(f"Code:\n```py\n1 + 1\n```\n{thought}\n```py\n2\n```").code == "1 + 1\n\n2"


def test_a_block_of_something_else_that_is_not_closed_takes_no_code_with_it() -> None:
    assert parse("Thought: a\n```json\n{}\nCode:\n```py\n1 + 1\n```").code == "1 + 1"


@pytest.mark.parametrize("word", ["", "py", "Py", "python", "PYTHON", "python3", " py "])
def test_every_name_of_python_opens_code(word: str) -> None:
    assert parse(f"Code:\n```{word}\n1 + 1\n```").code == "1 + 1"


def test_lines_may_end_as_on_windows() -> None:
    assert parse("Thought: a\r\nCode:\r\n```py\r\nx = 1\r\nx\r\n```\r\n") == Action("a", "x = 1\r\nx")


@pytest.mark.parametrize("end", ["", " ", "\nThat prints 1."])
def test_a_fence_behind_the_last_line_of_code_closes_it(end: str) -> None:
    assert parse(f"Code:\n```py\nx = 1\nprint(x)```{end}").code == "x = 1\nprint(x)"


FORMER_FENCE = re.compile(r"^[ \t]*```(?:py|python|Python)?[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
PIECES = (
    "```",
    " ```",
    "```py",
    "```python ",
    "```Python",
    "x = 1",
    "s = '```'",
    "print(1)```",
    "",
    "Code:",
    "Thought: t",
)


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_a_text_with_no_other_fences_than_pythons_is_read_by_their_pairs(pieces: list[str]) -> None:
    """Trajectories and ledgers hold turns that were read like this."""
    text = "\n".join(pieces)
    codes = [match[1].rstrip("\n") for match in FORMER_FENCE.finditer(text)]
    if "".join(codes).strip():
        assert parse(text).code == "\n\n".join(codes)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Thought: x\nCode:\n```js\n1 + 1\n```", "not Python"),
        ("We have\n```latex\nx\n```\nCode:\n```py\n1 + 1", "not closed"),
        ("Thought: ```x``` only", "not closed"),
        ("Thought: only a thought.", "missing"),
        ("Thought: x\nCode:\n```py\n1 + 1", "not closed"),
        ("Code:\n```py\n\n```", "empty"),
        ("", "missing"),
    ],
)
def test_what_cannot_be_run_says_why(text: str, problem: str) -> None:
    with pytest.raises(UnparsableAction, match=problem):
        parse(text)


def test_observation_shows_logs_then_value() -> None:
    assert observation(Outcome(ok=True, logs="a\n", value="b")) == "Observation:\na\nb"


def test_observation_of_a_failure_shows_logs_then_error() -> None:
    outcome = Outcome(ok=False, logs="a\n", value=None, error="NameError: x", error_kind="exception")
    assert observation(outcome) == "Observation:\na\nNameError: x"


def test_observation_is_never_blank() -> None:
    assert observation(Outcome(ok=True)) == "Observation:\n(no output)"
