"""A model that says what a test tells it to, and a session that runs code in this process: test data, not patches."""

from __future__ import annotations

import ast
import contextlib
import io
from collections.abc import Callable, Sequence

from agentdistill.records import Completion, Message, Outcome, Problem, Reply, Sampling, Usage

GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=64)


def problem(question: str = "What is 2 + 2?", answer: str = "4") -> Problem:
    return Problem.create(
        question=question, answer=answer, source="test", answer_kind="math", split="test", family="sums"
    )


def turn(code: str, thought: str = "Compute it.") -> str:
    return f"Thought: {thought}\nCode:\n```py\n{code}\n```"


class ScriptedModel:
    """Answers request k with `script[k]`: a list of texts, or an exception to raise. Keeps every request."""

    fingerprint = "scripted"

    def __init__(self, *script: Sequence[str] | Exception, prefill: str = "continued") -> None:
        self.script = list(script)
        self.requests: list[tuple[tuple[Message, ...], int, int, str | None]] = []  # messages, n, first, prefill
        self._prefill = prefill

    async def sample(
        self,
        messages: Sequence[Message],
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        first: int = 0,
        prefill: str | None = None,
    ) -> Reply:
        answer = self.script[len(self.requests)]
        self.requests.append((tuple(messages), n, first, prefill))
        if isinstance(answer, Exception):
            raise answer
        honoured = None if prefill is None else self._prefill
        return Reply.model_validate(
            {
                "completions": [Completion(text=text, truncated=False, completion_tokens=1) for text in answer],
                "usage": Usage(requests=1, prompt_tokens=10, completion_tokens=len(answer)),
                "prefill": honoured,
            }
        )


class LocalSession:
    """Runs each code in a copy of the kept variables. For scripted tests only: no isolation whatever."""

    def __init__(self) -> None:
        self.variables: dict[str, object] = {}
        self.kept: list[int] = []
        self.ran: list[str] = []
        self.closed = False
        self._last: list[dict[str, object]] = []

    async def open(self) -> LocalSession:
        return self

    async def try_all(self, codes: Sequence[str]) -> list[Outcome]:
        self._last = []
        return await self.try_more(codes)

    async def try_more(self, codes: Sequence[str]) -> list[Outcome]:
        states = [dict(self.variables) for _ in codes]
        self._last += states
        self.ran += codes
        return [_execute(code, variables) for code, variables in zip(codes, states, strict=True)]

    async def keep(self, index: int) -> None:
        self.kept.append(index)
        self.variables = self._last[index]

    async def close(self) -> None:
        self.closed = True


def _execute(code: str, variables: dict[str, object]) -> Outcome:
    final: list[object] = []
    final_answer: Callable[[object], None] = final.append
    printed = io.StringIO()
    try:
        tree = ast.parse(code)
        last = tree.body[-1] if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        tree.body = tree.body[: -1 if last else None]
        scope = {**variables, "final_answer": final_answer}
        with contextlib.redirect_stdout(printed):
            exec(compile(tree, "code", "exec"), scope)
            value = eval(compile(ast.Expression(last.value), "code", "eval"), scope) if last else None
    except Exception as e:
        return Outcome(ok=False, logs=printed.getvalue(), error=f"{type(e).__name__}: {e}", error_kind="exception")
    variables.update({name: value for name, value in scope.items() if name not in {"final_answer", "__builtins__"}})
    answer = str(final[-1]) if final else None
    shown = None if value is None else str(value)
    return Outcome(ok=True, logs=printed.getvalue(), value=shown, canonical=answer or shown, final_answer=answer)
