"""An episode's interpreter: a state, candidates that are forks of it, and the one that becomes the next state."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentdistill.errors import SandboxError
from agentdistill.records import Outcome
from agentdistill.sandbox.calls import ToolDesk
from agentdistill.sandbox.candidate import Candidate, Run, Slot
from agentdistill.sandbox.channel import ChannelClosed, ChannelViolation
from agentdistill.sandbox.limits import Limits
from agentdistill.sandbox.zygote import Zygote

MOST_REFUSED_FORKS = 32
DESTROYED = (
    "The interpreter could not be copied for this action: an earlier action destroyed it, or memory is exhausted."
)


class Session:
    """Made by `Sandbox.session`. One `try_all` or `try_more` at a time.

    A session whose state was destroyed by the code it kept goes on giving failed outcomes and raises nothing.
    """

    def __init__(self, zygote: Zygote, desk: ToolDesk, limits: Limits, places: asyncio.Semaphore) -> None:
        self._zygote = zygote
        self._node: Candidate | None = None  # before anything is kept the state is the zygote's
        self._desk = desk
        self._limits = limits
        self._places = places
        self._candidates: list[Candidate | None] = []
        self._outcomes: list[Outcome] = []
        self.closed = False

    async def try_all(self, codes: Sequence[str]) -> list[Outcome]:
        """Run each of `codes` once, each in its own copy of the session's state, and return their outcomes in order.

        The copies stay until `keep`, the next `try_all` or `close`. Whatever a tool raises, except ValueError, stops
        all candidates and passes through.
        """
        self._drop_candidates()
        return await self.try_more(codes)

    async def try_more(self, codes: Sequence[str]) -> list[Outcome]:
        """As `try_all`, beside the candidates of the last one, whose numbers these continue; before `keep`."""
        first = len(self._candidates)
        self._candidates += [None] * len(codes)
        tasks = [asyncio.create_task(self._try(index, code)) for index, code in enumerate(codes, first)]
        try:
            outcomes = await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._drop_candidates()
            raise
        self._outcomes += outcomes
        return outcomes

    async def keep(self, index: int) -> None:
        """Make candidate `index` of the last `try_all` the session's state; the others leave no trace.

        Raises:
            ValueError: that candidate failed, does not exist, or a candidate was kept already. The state is unchanged.
        """
        if not 0 <= index < len(self._outcomes):
            raise ValueError(f"There is no candidate {index} to keep; the last try_all has {len(self._outcomes)} left.")
        winner = self._candidates[index]
        if winner is None or not self._outcomes[index].ok:
            raise ValueError(f"Candidate {index} failed and cannot be kept; without keep the old state stays.")
        self._candidates[index] = None
        self._drop_candidates()
        if self._node is not None:
            self._node.kill()
        self._node = winner

    async def close(self) -> None:
        """End all processes of the session. May be called again."""
        self.closed = True
        self._drop_candidates()
        if self._node is not None:
            self._node.kill()
            if self._node.gate is not None:
                self._node.gate.close()
        await self._desk.close()

    def _drop_candidates(self) -> None:
        for candidate in self._candidates:
            if candidate is not None:
                candidate.kill()
                if self._node is None and candidate.gate is not None:
                    candidate.gate.close()  # a root of its own
        self._candidates = []
        self._outcomes = []

    async def _try(self, index: int, code: str) -> Outcome:
        slot = Slot(self._places)
        await slot.take()
        try:
            try:
                candidate = await self._fork()
            except (ChannelClosed, ChannelViolation, TimeoutError, ProcessLookupError):
                return Outcome(ok=False, error=DESTROYED, error_kind="killed")
            except OSError as error:
                raise SandboxError(
                    f"No more actions can run at once: {error}. Raise 'ulimit -n' or lower concurrency."
                ) from error
            self._candidates[index] = candidate
            run = Run(candidate, self._limits, self._desk, slot)
            try:
                return await run.outcome(code)
            except ChannelClosed:
                return await run.died()
        finally:
            slot.give()

    async def _fork(self) -> Candidate:
        if self.closed:
            raise ChannelClosed
        if self._node is None:
            return await self._zygote.fork(self._desk.describe(), self._on_refused_fork)
        return await self._node.fork()

    def _on_refused_fork(self, pid: int) -> None:
        for candidate in self._candidates:
            if candidate is not None and candidate.process.pid == pid:
                candidate.refuse_fork(MOST_REFUSED_FORKS)
