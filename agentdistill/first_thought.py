"""First-thought prefix: the first step of a chain of thought, forced as the beginning of the agent's first thought.

Source: arXiv 2505.17612, section 3.1: instruction-tuned teachers reason better in the chain-of-thought form they were
trained on than as agents, and their first step carries most of that. Teacher side only; the student needs no prefix.
"""

from __future__ import annotations

import re

_BLANK_LINE = re.compile(r"\n[ \t]*\n")
# A chain may speak of the tag before it uses it, so an answer begins at the last opening before its end.
_ANSWER = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.DOTALL)
_ANSWER_START = "<answer>"
_FENCE = "```"


def first_thought(cot: str) -> str | None:
    """Return the first step of a chain of thought: the text up to the first blank line.

    A text without a blank line gives its first line, lest the whole reasoning and its answer become the prefix. A step
    that breaks off in fenced code is cut before the fence, which would stand open in front of the agent's own code.
    None when that leaves nothing, or when the step already states the answer, which the agent must find by itself.
    """
    text = cot.strip()
    parts = _BLANK_LINE.split(text, maxsplit=1)
    step = parts[0] if len(parts) == 2 else text.split("\n", maxsplit=1)[0]
    if step.count(_FENCE) % 2:
        step = step.rpartition(_FENCE)[0]
    step = step.strip()
    return None if not step or _ANSWER_START in step else step


def prefix(thought: str) -> str:
    """Return the assistant prefill that forces `thought`; the model continues it or goes on to its code."""
    return f"Thought: {thought}\n"


def stated_answer(cot: str) -> str | None:
    """Return the content of the last `<answer>` tag of a chain of thought, None when there is none or it is empty."""
    answers: list[str] = _ANSWER.findall(cot)
    return (answers[-1].strip() or None) if answers else None
