"""A session that runs nothing twice: the ledger around the code tool.

An outcome depends on the code, on the actions that made the state, and on the code tool. So a stage that is killed and
run again takes them from the ledger and opens no interpreter, and what several episodes begin with is run once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence

from agentdistill.errors import SandboxError
from agentdistill.protocols import Session
from agentdistill.records import Outcome
from agentdistill.store.ledger import Ledger, Request
from agentdistill.store.to_the_end import to_the_end


class LedgerSession:
    """Implements `Session`. The interpreter is opened at the first action that the ledger does not have; the kept
    actions before it are run again there, their calls of tools as well.

    Code that reads a clock or asks the system for randomness is answered as it was the first time; if its state is then
    needed, what is run in that state is not stored, because another run would come to another. Nor is what a limit or a
    failing tool decided, or anything that was run in a state that came of it.
    """

    def __init__(self, open_session: Callable[[], Awaitable[Session]], ledger: Ledger, fingerprint: str) -> None:
        """
        Args:
            open_session: opens an interpreter in its first state.
            ledger: where outcomes are looked up and stored.
            fingerprint: digest of all that an outcome depends on besides code: interpreter, limits, tools.
        """
        self._open_session = open_session
        self._ledger = ledger
        self._fingerprint = fingerprint
        self._session: Session | None = None
        self._kept: list[str] = []  # the actions that made the state
        self._given: list[Outcome] = []  # what they gave
        self._reached = 0  # how many of them the interpreter has run
        self._repeatable = True  # whether running them again would make the same state
        self._codes: list[str] = []  # of the last `try_all`, and of `try_more` after it
        self._outcomes: list[Outcome] = []
        self._places: dict[int, int] = {}  # which of them ran, and as which candidate
        self._ran: list[Outcome] = []  # what those gave here

    async def try_all(self, codes: Sequence[str]) -> list[Outcome]:
        """As `Session.try_all`, but what the ledger has is not run.

        Raises:
            SandboxError: the interpreter cannot be opened, or a kept action of the ledger now fails in it.
        """
        self._codes, self._outcomes, self._places, self._ran = [], [], {}, []
        return await self.try_more(codes)

    async def try_more(self, codes: Sequence[str]) -> list[Outcome]:
        """As `Session.try_more`, but what the ledger has is not run."""
        requests = [Request.action(self._fingerprint, self._kept, code) for code in codes]
        known = [self._ledger.get(request) if self._repeatable else None for request in requests]
        missing = [index for index, outcome in enumerate(known) if outcome is None]
        made: Iterator[Outcome] = iter(())
        if missing:
            # What is known was not run: the first to run may be one of the later candidates.
            run = self._session.try_more if self._session and self._ran else (await self._catch_up()).try_all
            ran = await run([codes[index] for index in missing])
            made = iter(await to_the_end(self._stored, [requests[index] for index in missing], ran))
            first = len(self._outcomes)
            self._places |= {first + index: place for place, index in enumerate(missing, len(self._ran))}
            self._ran += ran
        outcomes = [next(made) if outcome is None else outcome for outcome in known]
        self._codes += codes
        self._outcomes += outcomes
        return outcomes

    async def keep(self, index: int) -> None:
        """As `Session.keep`."""
        if not (0 <= index < len(self._outcomes) and self._outcomes[index].ok):
            raise ValueError(f"Candidate {index} failed, was kept already or does not exist, and cannot be kept.")
        given = self._outcomes[index]
        if index in self._places and self._session is not None:
            place = self._places[index]
            if self._ran[place].ok:  # else what stands is what another episode came to; catching up tries once more
                await self._session.keep(place)
                self._reached += 1
            self._came_again(self._ran[place], given)
        self._kept.append(self._codes[index])
        self._given.append(given)
        self._repeatable = self._repeatable and _is_repeatable(given)
        self._outcomes = []

    async def close(self) -> None:
        """As `Session.close`."""
        if self._session is not None:
            await self._session.close()

    async def _catch_up(self) -> Session:
        if self._session is None:
            self._session = await self._open_session()
        while self._reached < len(self._kept):
            (outcome,) = await self._session.try_all([self._kept[self._reached]])
            if not (outcome.ok and _is_repeatable(outcome)):
                reasons = [outcome.error, *(call.error for call in outcome.tool_calls)]
                raise SandboxError(
                    f"An action that succeeded before fails when it is run again ({'; '.join(filter(None, reasons))}), "
                    "so the episode's state cannot be had. If it failed for lack of time or memory, raise the "
                    "sandbox's limits, and if a tool failed, mend it; else forget what the action gave: agentdistill "
                    f"ledger prune --model {self._fingerprint}."
                )
            self._came_again(outcome, self._given[self._reached])
            await self._session.keep(0)
            self._reached += 1
        return self._session

    def _came_again(self, outcome: Outcome, given: Outcome) -> None:
        """Note whether an action came to what the model was shown of it."""
        self._repeatable = self._repeatable and _shown(outcome) == _shown(given)

    def _stored(self, requests: Sequence[Request[Outcome]], outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Store what would come out again. Return what stands: another process may have been first."""
        return [
            self._ledger.put(request, outcome) if self._repeatable and _is_repeatable(outcome) else outcome
            for request, outcome in zip(requests, outcomes, strict=True)
        ]


def _shown(outcome: Outcome) -> tuple[object, ...]:
    """What the model and the vote see of an action."""
    return outcome.logs, outcome.value, outcome.canonical, outcome.final_answer


def _is_repeatable(outcome: Outcome) -> bool:
    """Whether the action would give the same again: not when a limit struck or a tool failed."""
    failed = not outcome.ok and outcome.error_kind not in ("exception", "forbidden")
    return not failed and all(call.error is None for call in outcome.tool_calls)
