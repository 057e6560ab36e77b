"""Chain of thought as a trajectory of one model turn: the teacher's reasoning, the CoT-distilled student, the baseline.

With several samples that are to give one answer, the vote is over the stated answers: self-consistency (Wang et al.,
arXiv 2203.11171), which is what self-consistent action generation comes down to when there are no actions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentdistill.agent.episode import request_seed
from agentdistill.errors import BudgetExceeded, ContextOverflow, ModelError
from agentdistill.first_thought import stated_answer
from agentdistill.protocols import Model
from agentdistill.records import (
    Candidate,
    Completion,
    Message,
    Outcome,
    Problem,
    Reply,
    Sampling,
    Step,
    Stop,
    Trajectory,
    Usage,
    content_id,
    total_usage,
)
from agentdistill.sag import self_consistent_action

NO_ANSWER = "The text states no answer in an <answer> tag."


@dataclass(frozen=True)
class Reasoner:
    """A model that reasons in one turn and states its answer in an `<answer>` tag."""

    model: Model
    system_prompt: str
    sampling: Sampling
    recipe: str
    seed: int

    async def think(self, problem: Problem, *, samples: int, first_attempt: int = 0) -> list[Trajectory]:
        """Draw `samples` chains of thought in one request, a trajectory each, numbered from `first_attempt`.

        A failing model gives trajectories that say so; it does not raise.
        """
        started = time.perf_counter()
        prompt = self._prompt(problem)
        try:
            reply = await self._sample(problem, prompt, samples, first_attempt)
        except ModelError as e:
            return [self._failed(problem, prompt, first_attempt + i, e) for i in range(samples)]
        return [
            self._trajectory(
                problem,
                first_attempt + i,
                (*prompt, Message(role="assistant", text=completion.text, sampled=True)),
                answer=stated_answer(completion.text),
                truncated=completion.truncated,
                # The request was one: its prompt, its number and its price go to the first trajectory.
                usage=(reply.usage if i == 0 else Usage()).model_copy(
                    update={"completion_tokens": completion.completion_tokens}
                ),
                seconds=time.perf_counter() - started,
            )
            for i, completion in enumerate(reply.completions)
        ]

    async def answer(
        self, problem: Problem, *, samples: int, key: Callable[[str], str], attempt: int = 0, early: bool = False
    ) -> Trajectory:
        """Answer by majority among `samples` chains of thought; `key` normalises an answer for comparison.

        An answer of which `key` leaves nothing has no vote. With `early`, no chain is sampled that could not change the
        answer.
        """
        started = time.perf_counter()
        prompt = self._prompt(problem)
        usages: list[Usage] = []

        async def sample(count: int, first: int) -> Sequence[Completion]:
            reply = await self._sample(problem, prompt, count, attempt, first)
            usages.append(reply.usage)
            return reply.completions

        async def read(completions: Sequence[Completion]) -> list[Outcome]:
            return [_stated(completion.text, key) for completion in completions]

        try:
            decision = await self_consistent_action(sample, read, lambda said: said.canonical, n=samples, early=early)
        except ModelError as e:
            return self._failed(problem, prompt, attempt, e, voting=True)
        usage = total_usage(usages)
        step = Step(
            candidates=tuple(
                Candidate(text=completion.text, code=None, outcome=outcome, truncated=completion.truncated)
                for completion, outcome in zip(decision.actions, decision.outcomes, strict=True)
            ),
            chosen=decision.vote.chosen,
            votes=decision.vote.groups,
            observation=None,
            usage=usage,
            seconds=time.perf_counter() - started,
        )
        said = Message(role="assistant", text=step.winner.text, sampled=True)
        return self._trajectory(
            problem,
            attempt,
            (*prompt, said),
            answer=step.winner.outcome.final_answer,
            usage=usage,
            voting=True,
            steps=(step,),
            seconds=step.seconds,
        )

    def _prompt(self, problem: Problem) -> tuple[Message, Message]:
        return Message(role="system", text=self.system_prompt), Message(role="user", text=problem.question)

    async def _sample(
        self, problem: Problem, prompt: tuple[Message, ...], samples: int, attempt: int, first: int = 0
    ) -> Reply:
        seed = request_seed(self.seed, problem.id, attempt, 0)
        return await self.model.sample(prompt, n=samples, sampling=self.sampling, seed=seed, first=first)

    def _failed(
        self, problem: Problem, prompt: tuple[Message, ...], attempt: int, error: ModelError, *, voting: bool = False
    ) -> Trajectory:
        stop: Stop = "model_error"
        if isinstance(error, ContextOverflow):
            stop = "context_full"
        elif isinstance(error, BudgetExceeded):
            stop = "budget"
        return self._trajectory(
            problem, attempt, prompt, answer=None, usage=Usage(), stop=stop, error=str(error), voting=voting
        )

    def _trajectory(
        self,
        problem: Problem,
        attempt: int,
        messages: tuple[Message, ...],
        *,
        answer: str | None,
        usage: Usage,
        voting: bool = False,
        truncated: bool = False,
        steps: tuple[Step, ...] = (),
        stop: Stop | None = None,
        error: str | None = None,
        seconds: float = 0.0,
    ) -> Trajectory:
        return Trajectory(
            id=content_id(
                self.model.fingerprint,
                self.system_prompt,
                self.sampling.model_dump(),
                self.recipe,
                self.seed,
                problem.id,
                attempt,
                int(voting),
            ),
            problem_id=problem.id,
            attempt=attempt,
            recipe=self.recipe,
            messages=messages,
            steps=steps,
            answer=answer,
            # One turn is all there is: a text that states no answer has used up its steps.
            stop=stop or ("answered" if answer is not None else "max_steps"),
            usage=usage,
            prefix=None,
            truncated=truncated,
            error=error,
            seconds=seconds,
        )


def _stated(text: str, key: Callable[[str], str]) -> Outcome:
    """Return the answer that a text states; a text without one, or with one that says nothing, is a failure."""
    answer = stated_answer(text)
    canonical = "" if answer is None else key(answer)
    if not canonical:
        return Outcome(ok=False, error=NO_ANSWER, error_kind="parse")
    return Outcome(ok=True, final_answer=answer, canonical=canonical)
