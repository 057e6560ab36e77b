"""The action in a model's turn: its thought and its code.

Parsing is a view: the text itself is recorded and shown to the model unaltered. The form is the one of the paper
(Thought / Code / Observation, arXiv 2505.17612), with the code in a Markdown fence. Not promised: that the code is
valid Python; the sandbox says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agentdistill.records import Outcome

OBSERVATION_LABEL = "Observation:"
# Instruct models run on after their code and invent what it printed; generation stops there.
STOP_STRINGS = (OBSERVATION_LABEL,)
NO_OUTPUT = "(no output)"

PYTHON = ("", "py", "python", "python3")  # what a fence may say, in any case, for its block to be run

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+#.-]*)[ \t]*\r?$", re.MULTILINE)
_CLOSING = re.compile(r"^[ \t]*```[ \t]*\r?$", re.MULTILINE)
_CLOSING_BEHIND_CODE = re.compile(r"```[ \t]*\r?$", re.MULTILINE)
_CODE_LABEL = re.compile(r"^[ \t]*Code:[ \t]*\r?$", re.MULTILINE)
_THOUGHT_LABEL = re.compile(r"^\s*Thought:[ \t]*")


@dataclass(frozen=True)
class Action:
    """A parsed turn. `thought` is the text before the code, without its label."""

    thought: str
    code: str


class UnparsableAction(ValueError):
    """The turn holds no runnable code; the message tells the model what form is expected."""


def parse(text: str) -> Action:
    """Split a turn into thought and code; several code blocks of one turn are joined in order.

    A block that says it is something else than Python (```latex) is part of the thought.

    Raises:
        UnparsableAction: there is no code block, an empty one, or one that is not closed.
    """
    # Three backticks behind code may stand in a string or a comment: they close a block only where nothing else does.
    blocks = list(_blocks(text, _CLOSING)) or list(_blocks(text, _CLOSING_BEHIND_CODE))
    if not blocks:
        raise UnparsableAction(
            f"The code block {_problem(text)}. Write 'Thought:', then 'Code:' and the code between '```py' and '```'."
        )
    code = "\n\n".join(code for _, code in blocks)
    if not code.strip():
        raise UnparsableAction("The code block is empty. Write the code between '```py' and '```'.")
    head = _CODE_LABEL.sub("", text[: blocks[0][0]])
    return Action(thought=_THOUGHT_LABEL.sub("", head).strip(), code=code)


def _blocks(text: str, closing: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """Yield where each block of Python begins, and its code; `closing` matches what closes it.

    Fences are paired from the top. A block of something else ends at the next fence; one that opens another block shows
    that it was never closed.
    """
    position = 0
    while opening := _FENCE.search(text, position):
        python = opening[1].lower() in PYTHON
        end = (closing if python else _FENCE).search(text, opening.end())
        if end is None:
            return
        if python:
            yield opening.start(), text[opening.end() + 1 : end.start()].rstrip("\r\n")
        position = end.end() if python or not end[1] else end.start()


def _problem(text: str) -> str:
    if "```" not in text:
        return "is missing"
    words = {word.lower() for word in _FENCE.findall(text)} - {""}
    return "is not closed" if not words or words & set(PYTHON) else "is not Python"


def observation(outcome: Outcome) -> str:
    """Return the message that shows an action's outcome to the model: what was printed, then the value or the error."""
    last = outcome.value if outcome.ok else outcome.error
    parts = [part for part in (outcome.logs.rstrip("\n"), last) if part]
    return f"{OBSERVATION_LABEL}\n" + ("\n".join(parts) or NO_OUTPUT)
