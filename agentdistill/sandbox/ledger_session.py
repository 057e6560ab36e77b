"""A session that runs nothing twice: the ledger around the code tool.

An outcome depends on the code, on the actions that made the state, and on the code tool. So a stage that is killed and
run again takes all of it from the ledger and starts no interpreter, and what several episodes begin with is run once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from agentdistill.errors import SandboxError
from agentdistill.protocols import Session
from agentdistill.records import Outcome
from agentdistill.store.ledger import Ledger, Request


class LedgerSession:
    """Implements `Session`. The interpreter is opened at the first action that the ledger does not have; the kept
    actions before it are run again there, their calls of tools as well.

    Code that reads a clock or asks the system for randomness is answered as it was the first time.
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
        self._reached = 0  # how many of them the interpreter has run
        self._codes: tuple[str, ...] = ()  # of the last `try_all`
        self._outcomes: list[Outcome] = []
        self._places: dict[int, int] = {}  # which of them ran, and as which candidate

    async def try_all(self, codes: Sequence[str]) -> list[Outcome]:
        """As `Session.try_all`, but what the ledger has is not run.

        Raises:
            SandboxError: the interpreter cannot be opened, or a kept action of the ledger now fails in it.
        """
        requests = [Request.action(self._fingerprint, self._kept, code) for code in codes]
        known = [self._ledger.get(request) for request in requests]
        missing = [index for index, outcome in enumerate(known) if outcome is None]
        self._places = {index: place for place, index in enumerate(missing)}
        made: list[Outcome] = []
        if missing:
            session = await self._catch_up()
            made = await session.try_all([codes[index] for index in missing])
            await asyncio.to_thread(self._store, [requests[index] for index in missing], made)
        self._codes = tuple(codes)
        self._outcomes = [
            made[self._places[index]] if outcome is None else outcome for index, outcome in enumerate(known)
        ]
        return list(self._outcomes)

    async def keep(self, index: int) -> None:
        """As `Session.keep`."""
        if not (0 <= index < len(self._outcomes) and self._outcomes[index].ok):
            raise ValueError(f"Candidate {index} failed, was kept already or does not exist, and cannot be kept.")
        if index in self._places and self._session is not None:
            await self._session.keep(self._places[index])
            self._reached += 1
        self._kept.append(self._codes[index])
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
            if not outcome.ok:
                raise SandboxError(
                    f"An action that succeeded before fails when it is run again ({outcome.error}), so the episode's "
                    "state cannot be had. If it failed for lack of time or memory, raise the sandbox's limits; else "
                    f"forget what it gave: agentdistill ledger prune --model {self._fingerprint}."
                )
            await self._session.keep(0)
            self._reached += 1
        return self._session

    def _store(self, requests: Sequence[Request[Outcome]], outcomes: Sequence[Outcome]) -> None:
        for request, outcome in zip(requests, outcomes, strict=True):
            if _is_lasting(outcome):
                self._ledger.put(request, outcome)


def _is_lasting(outcome: Outcome) -> bool:
    """Whether the action would give the same again: not when a limit struck or a tool failed."""
    return (outcome.ok or outcome.error_kind == "exception") and all(call.error is None for call in outcome.tool_calls)
