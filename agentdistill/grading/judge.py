"""Let a language model judge factual answers: does this mean the same as the gold answer?

The prompt is fixed (`judge.txt`) and decoding is greedy. A reply that holds no verdict, like a model that fails,
leaves the answer ungraded with the reason; it never counts as wrong. A judge that cannot judge at all stops the stage.
Not promised: that the judge is right. Report which model judged.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from agentdistill.errors import BudgetExceeded, ModelError, ModelUnusable
from agentdistill.grading.fact import exact_match
from agentdistill.protocols import Model
from agentdistill.records import Message, Problem, Sampling, Verdict

SAMPLING = Sampling(temperature=0.0, top_p=1.0, max_tokens=1000)
SEED = 0
PATIENCE = 10  # failures before the first verdict; a judge that fails so often from the start is not going to work
MAX_ANSWER_CHARACTERS = 2_000  # a short answer was asked for; a longer one is a text in which anything may stand
_OBJECT = re.compile(r"\{[^{}]*\}")


class _Reply(BaseModel):
    """The reply that the prompt asks for; other keys are a judge's chatter."""

    model_config = ConfigDict(extra="ignore")

    verdict: Literal["correct", "wrong", "cannot_tell"]
    reason: str = ""


class JudgeGrader:
    """A `Grader` that asks a model; with `exact_first` only about answers that do not match word for word."""

    def __init__(self, model: Model, *, exact_first: bool) -> None:
        self._model = model
        self._exact_first = exact_first
        self._failures = 0
        self._worked = False

    async def grade(self, problem: Problem, answer: str | None) -> Verdict:
        """Ask for a verdict.

        Raises:
            BudgetExceeded: a cap would be passed, so no further answer can be judged either.
            ModelError: the model cannot be used, or failed `PATIENCE` times before it gave any reply.
        """
        if answer is None or not answer.strip():
            return Verdict(correct=False, grader="judge", detail="no answer")
        if self._exact_first and any(exact_match(gold, answer) for gold in (problem.answer, *problem.aliases)):
            return Verdict(correct=True, grader="exact")
        if len(answer) > MAX_ANSWER_CHARACTERS:
            limit = f"{MAX_ANSWER_CHARACTERS:,}"
            detail = f"{len(answer):,} characters long; at most {limit} are judged"
            return Verdict(correct=None, grader="judge", detail=detail)
        try:
            reply = await self._model.sample(messages(problem, answer), n=1, sampling=SAMPLING, seed=SEED)
        except (BudgetExceeded, ModelUnusable):
            raise
        except ModelError as error:
            self._failures += 1
            if not self._worked and self._failures >= PATIENCE:
                raise
            return Verdict(correct=None, grader="judge", detail=f"the judge failed: {error}")
        self._worked = True
        return parse(reply.completions[0].text)


def messages(problem: Problem, answer: str) -> tuple[Message, ...]:
    """Return the judge's prompt. What is judged is JSON, so that it cannot pass for a part of the instructions."""
    case = {
        "question": problem.question,
        "correct_answers": [problem.answer, *problem.aliases],
        "candidate_answer": answer,
    }
    return (
        Message(role="system", text=_instructions()),
        Message(role="user", text=json.dumps(case, ensure_ascii=False, indent=1)),
    )


def parse(text: str) -> Verdict:
    """Return the verdict of a judge's reply: that of its last JSON object that has one."""
    for match in reversed(_OBJECT.findall(text)):
        try:
            reply = _Reply.model_validate_json(match)
        except ValidationError:
            continue
        correct = {"correct": True, "wrong": False, "cannot_tell": None}[reply.verdict]
        return Verdict(correct=correct, grader="judge", detail=reply.reason)
    return Verdict(correct=None, grader="judge", detail=f"the judge gave no verdict: {text[:80]!r}")


@cache
def _instructions() -> str:
    return files("agentdistill.grading").joinpath("judge.txt").read_text(encoding="utf-8").strip()
