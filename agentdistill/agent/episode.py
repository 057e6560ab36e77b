"""One episode: a question, Thought / Code / Observation steps, and an answer or the reason why there is none.

Greedy decoding is self-consistent action generation with one candidate: the same code path. The message list is the
whole state that the model sees; the interpreter's state lives in the session. A program's failure is an observation, an
infrastructure's failure ends the episode and is recorded; neither raises.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from agentdistill.action import UnparsableAction, observation, parse
from agentdistill.errors import BudgetExceeded, ContextOverflow, ModelError, RetrievalError, SandboxError
from agentdistill.first_thought import prefix
from agentdistill.protocols import Model, Session
from agentdistill.records import (
    Candidate,
    Message,
    Outcome,
    Problem,
    Reply,
    Sampling,
    Step,
    Stop,
    Trajectory,
    content_id,
    total_usage,
)
from agentdistill.sag import vote


def request_seed(seed: int, problem_id: str, attempt: int, step: int) -> int:
    """Return the 63-bit seed of one request, so that a rerun asks the same question and the ledger answers it."""
    return int(content_id("request", seed, problem_id, attempt, step), 16) >> 1


def result_key(outcome: Outcome) -> Hashable | None:
    """Return what candidates are compared by: the final answer, else logs and last value; None for a failure."""
    if not outcome.ok:
        return None
    if outcome.final_answer is not None:
        return ("answer", outcome.canonical)
    return ("observation", outcome.logs.rstrip("\n"), outcome.canonical)


@dataclass(frozen=True)
class Agent:
    """A model with a prompt and a way of decoding. `candidates` is the N of self-consistent action generation."""

    model: Model
    system_prompt: str
    sampling: Sampling
    candidates: int
    max_steps: int
    deadline_seconds: float  # wall time of one episode, waiting for model and sandbox included
    recipe: str  # the name written into the trajectories
    seed: int

    async def solve(
        self,
        problem: Problem,
        open_session: Callable[[], Awaitable[Session]],
        *,
        attempt: int = 0,
        thought: str | None = None,
    ) -> Trajectory:
        """Run one episode in a session of its own; `thought` is the first thought to force, if any.

        Never raises for a failing model, sandbox or program; see `Trajectory.stop` and `.error`.
        """
        episode = _Episode(
            messages=(
                Message(role="system", text=self.system_prompt),
                Message(role="user", text=problem.question),
            )
        )
        started = time.perf_counter()
        stop: Stop = "max_steps"
        error: str | None = None
        forced = prefix(thought) if thought is not None else None
        try:
            async with asyncio.timeout(self.deadline_seconds):
                session = await open_session()
                try:
                    for number in range(self.max_steps):
                        prefill = forced if number == 0 else None
                        reply = await self._sample(problem, episode, attempt, number, prefill)
                        episode = await _take_step(episode, reply, prefill, session)
                        if episode.answer is not None:
                            stop = "answered"
                            break
                finally:
                    await session.close()
        except TimeoutError:
            stop, error = "deadline", f"The episode took longer than its {self.deadline_seconds:g} s."
        except ContextOverflow as e:
            stop, error = "context_full", str(e)
        except BudgetExceeded as e:
            stop, error = "budget", str(e)
        except ModelError as e:
            stop, error = "model_error", str(e)
        except (SandboxError, RetrievalError) as e:  # a tool that cannot work is the code tool's failure
            stop, error = "sandbox_error", str(e)
        return Trajectory(
            id=self.trajectory_id(problem, attempt, thought),
            problem_id=problem.id,
            attempt=attempt,
            recipe=self.recipe,
            messages=episode.messages,
            steps=episode.steps,
            answer=episode.answer,
            stop=stop,
            usage=total_usage([step.usage for step in episode.steps]),
            prefix=forced,
            prefill=episode.prefill,
            error=error,
            seconds=time.perf_counter() - started,
        )

    async def _sample(
        self, problem: Problem, episode: _Episode, attempt: int, number: int, prefill: str | None
    ) -> Reply:
        return await self.model.sample(
            episode.messages,
            n=self.candidates,
            sampling=self.sampling,
            seed=request_seed(self.seed, problem.id, attempt, number),
            prefill=prefill,
        )

    def trajectory_id(self, problem: Problem, attempt: int, thought: str | None) -> str:
        """Return the hash of everything that identifies the attempt, known before it starts."""
        return content_id(
            self.model.fingerprint,
            self.system_prompt,
            self.sampling.model_dump(),
            self.candidates,
            self.max_steps,
            self.recipe,
            self.seed,
            problem.id,
            attempt,
            thought,
        )


@dataclass(frozen=True)
class _Episode:
    messages: tuple[Message, ...]
    steps: tuple[Step, ...] = field(default=())
    answer: str | None = None
    prefill: Literal["continued", "prompted"] | None = None


async def _take_step(episode: _Episode, reply: Reply, forced: str | None, session: Session) -> _Episode:
    """Run the sampled actions, vote, make the winner's state the session's, and return the longer episode."""
    started = time.perf_counter()
    head = forced if forced is not None and reply.prefill == "continued" else ""
    texts = [head + completion.text for completion in reply.completions]
    outcomes, runs = await _run(texts, [completion.truncated for completion in reply.completions], session)
    result = vote([result_key(outcome) for outcome in outcomes])
    winner = outcomes[result.chosen]
    if winner.ok:
        await session.keep(runs[result.chosen])
    candidates = tuple(
        Candidate(text=text, code=_code(text), outcome=outcome, truncated=completion.truncated)
        for text, outcome, completion in zip(texts, outcomes, reply.completions, strict=True)
    )
    answer = winner.final_answer if winner.ok else None
    shown = None if answer is not None else observation(winner)
    step = Step(
        candidates=candidates,
        chosen=result.chosen,
        votes=result.groups,
        observation=shown,
        usage=reply.usage,
        seconds=time.perf_counter() - started,
    )
    text = texts[result.chosen]
    obeyed = forced is not None and text.startswith(forced)  # always, where the server continued it
    said = Message(role="assistant", text=text, sampled=True, prefix=len(forced or "") if obeyed else 0)
    heard = () if shown is None else (Message(role="user", text=shown),)
    return replace(
        episode,
        messages=(*episode.messages, said, *heard),
        steps=(*episode.steps, step),
        answer=answer,
        prefill=reply.prefill or episode.prefill,
    )


def _code(text: str) -> str | None:
    try:
        return parse(text).code
    except UnparsableAction:
        return None


async def _run(texts: Sequence[str], truncated: Sequence[bool], session: Session) -> tuple[list[Outcome], list[int]]:
    """Run what can be parsed. Returns the outcome of every text and its index among the runs (-1: not run).

    Candidates with the same code share one run: from one state it comes to one result, and samples of a confident model
    are mostly alike.
    """
    outcomes: list[Outcome | None] = []
    codes: dict[str, int] = {}
    runs: list[int] = []
    for text, cut in zip(texts, truncated, strict=True):
        try:
            runs.append(codes.setdefault(parse(text).code, len(codes)))
            outcomes.append(None)
        except UnparsableAction as e:
            runs.append(-1)
            message = f"{e} The turn was cut off by the limit on new tokens: be shorter." if cut else str(e)
            outcomes.append(Outcome(ok=False, error=message, error_kind="parse"))
    ran = await session.try_all(list(codes)) if codes else []
    return [ran[run] if outcome is None else outcome for outcome, run in zip(outcomes, runs, strict=True)], runs
