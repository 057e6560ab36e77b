"""One step of an episode: sample actions, run each in its own copy of the state, vote, go on from the winner's.

Greedy decoding is the same with one candidate. A program's failure is an outcome like another.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from agentdistill.action import UnparsableAction, observation, parse
from agentdistill.protocols import Session
from agentdistill.records import Candidate, Outcome, Reply, Step, Usage
from agentdistill.sag import self_consistent_action

Ask = Callable[[int, int], Awaitable[Reply]]  # draws so many samples, numbered from the second argument
Prefill = Literal["continued", "prompted"]


def result_key(outcome: Outcome) -> Hashable | None:
    """Return what candidates are compared by: the final answer, else logs and last value; None for a failure."""
    if not outcome.ok:
        return None
    if outcome.final_answer is not None:
        return ("answer", outcome.canonical)
    return ("observation", outcome.logs.rstrip("\n"), outcome.canonical)


async def take_step(
    ask: Ask, session: Session, *, candidates: int, early: bool, forced: str | None
) -> tuple[Step, Prefill | None]:
    """Let the vote choose among up to `candidates` actions (`early`: see `self_consistent_action`) and keep its state.

    `forced` is what `ask` makes every sample begin with, if anything. Returns the step, and how that was honoured.
    """
    turn = _Turn(ask, session, forced)
    decision = await self_consistent_action(turn.sample, turn.run, result_key, n=candidates, early=early)
    winner = decision.outcomes[decision.vote.chosen]
    if winner.ok:
        await turn.keep(decision.actions[decision.vote.chosen])
    step = Step(
        candidates=tuple(
            Candidate(text=action.text, code=action.code, outcome=outcome, truncated=action.truncated)
            for action, outcome in zip(decision.actions, decision.outcomes, strict=True)
        ),
        chosen=decision.vote.chosen,
        votes=decision.vote.groups,
        observation=None if winner.ok and winner.final_answer is not None else observation(winner),
        usage=turn.usage,
        seconds=turn.seconds,
    )
    return step, turn.prefill


@dataclass(frozen=True)
class _Action:
    """A sampled text and its code, or why it has none."""

    text: str
    truncated: bool
    code: str | None
    unparsable: Outcome | None


class _Turn:
    """The step's samples and their runs, as the vote asks for more of them."""

    def __init__(self, ask: Ask, session: Session, forced: str | None) -> None:
        self.usage = Usage()
        self.seconds = 0.0  # of the code tool
        self.prefill: Prefill | None = None
        self._ask = ask
        self._session = session
        self._forced = forced
        self._places: dict[str | None, int] = {}  # the distinct codes, by their numbers in the session
        self._ran: list[Outcome] = []  # what those gave

    async def sample(self, count: int, first: int) -> list[_Action]:
        reply = await self._ask(count, first)
        self.usage += reply.usage
        self.prefill = reply.prefill
        head = self._forced if self._forced is not None and reply.prefill == "continued" else ""
        return [_read(head + completion.text, completion.truncated) for completion in reply.completions]

    async def run(self, actions: Sequence[_Action]) -> list[Outcome]:
        """Return what each action gives. The same code is run once: from one state it comes to one result, and samples
        of a confident model are mostly alike."""
        codes = dict.fromkeys(action.code for action in actions if action.code is not None)
        new = [code for code in codes if code not in self._places]
        if new:
            started = time.perf_counter()
            run = self._session.try_more if self._ran else self._session.try_all
            self._places.update((code, place) for place, code in enumerate(new, len(self._ran)))
            self._ran += await run(new)
            self.seconds += time.perf_counter() - started
        return [action.unparsable or self._ran[self._places[action.code]] for action in actions]

    async def keep(self, action: _Action) -> None:
        started = time.perf_counter()
        await self._session.keep(self._places[action.code])
        self.seconds += time.perf_counter() - started


def _read(text: str, truncated: bool) -> _Action:
    try:
        return _Action(text, truncated, parse(text).code, None)
    except UnparsableAction as e:
        message = f"{e} The turn was cut off by the limit on new tokens: be shorter." if truncated else str(e)
        return _Action(text, truncated, None, Outcome(ok=False, error=message, error_kind="parse"))
