"""One episode: a question, Thought / Code / Observation steps, and an answer or the reason why there is none.

Greedy decoding is self-consistent action generation with one candidate: the same code path. The message list is the
whole state that the model sees; the interpreter's state lives in the session. A program's failure is an observation, an
infrastructure's failure ends the episode and is recorded; neither raises.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from agentdistill.agent.step import Prefill, take_step
from agentdistill.errors import BudgetExceeded, ContextOverflow, ModelError, RetrievalError, SandboxError
from agentdistill.first_thought import prefix
from agentdistill.protocols import Model, Session
from agentdistill.records import Message, Problem, Reply, Sampling, Step, Stop, Trajectory, content_id, total_usage


def request_seed(seed: int, problem_id: str, attempt: int, step: int) -> int:
    """Return the 63-bit seed of one request, so that a rerun asks the same question and the ledger answers it."""
    return int(content_id("request", seed, problem_id, attempt, step), 16) >> 1


@dataclass(frozen=True)
class Agent:
    """A model with a prompt and a way of decoding. `candidates` is the N of self-consistent action generation; with
    `early`, those are not sampled that could not change what the vote chooses."""

    model: Model
    system_prompt: str
    sampling: Sampling
    candidates: int
    max_steps: int
    deadline_seconds: float  # wall time of one episode, waiting for model and sandbox included
    recipe: str  # the name written into the trajectories
    seed: int
    early: bool = False

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
                        episode = await self._step(problem, episode, attempt, number, prefill, session)
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

    async def _step(
        self, problem: Problem, episode: _Episode, attempt: int, number: int, forced: str | None, session: Session
    ) -> _Episode:
        seed = request_seed(self.seed, problem.id, attempt, number)

        async def ask(n: int, first: int) -> Reply:
            return await self.model.sample(
                episode.messages, n=n, sampling=self.sampling, seed=seed, first=first, prefill=forced
            )

        step, prefill = await take_step(ask, session, candidates=self.candidates, early=self.early, forced=forced)
        return episode.after(step, prefill, forced)

    def trajectory_id(self, problem: Problem, attempt: int, thought: str | None) -> str:
        """Return the hash of everything that identifies the attempt, known before it starts. `early` does not: the
        conversation is the same without it."""
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
    prefill: Prefill | None = None

    def after(self, step: Step, prefill: Prefill | None, forced: str | None) -> _Episode:
        """Return the episode with a step more, whose text was to begin with `forced`."""
        text, outcome = step.winner.text, step.winner.outcome
        obeyed = forced is not None and text.startswith(forced)  # always, where the server continued it
        said = Message(role="assistant", text=text, sampled=True, prefix=len(forced or "") if obeyed else 0)
        heard = () if step.observation is None else (Message(role="user", text=step.observation),)
        return replace(
            self,
            messages=(*self.messages, said, *heard),
            steps=(*self.steps, step),
            answer=outcome.final_answer if outcome.ok else None,
            prefill=prefill or self.prefill,
        )
