"""The code tool: untrusted Python, run natively, isolated by the kernel, copied by fork.

    async with Sandbox(wall_seconds=15, ...) as box:
        session = await box.session(tools)
        outcomes = await session.try_all(["x = 1", "x = 2"])
        await session.keep(1)

It promises that code reads and changes nothing outside its own process tree, except through the tools it is given, and
that its limits hold. It does not promise to withstand a fault in the kernel, which is shared. Linux only.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from agentdistill.errors import NoIsolation, SandboxError
from agentdistill.protocols import Tool
from agentdistill.records import content_id
from agentdistill.sandbox import canary
from agentdistill.sandbox.calls import ToolDesk
from agentdistill.sandbox.launch import SOURCE, Isolation
from agentdistill.sandbox.limits import Limits
from agentdistill.sandbox.session import Session
from agentdistill.sandbox.versions import versions
from agentdistill.sandbox.zygote import PreloadError, Zygote
from agentdistill.store.digest import digest_files

logger = logging.getLogger(__name__)
SLOTS_PER_CORE = 2
DESCRIPTIONS: dict[Isolation, str] = {
    "A": "namespaces by bubblewrap, Landlock, seccomp, resource limits",
    "B": "Landlock, seccomp, resource limits",
    "unsafe": "resource limits only",
}


class Sandbox:
    """A zygote process and the sessions forked from it, used within one event loop.

    Args:
        wall_seconds: time an action may take, without waiting for tools; then the code gets an exception.
        wall_grace_seconds: how much later it is killed.
        cpu_seconds: computing time of an action.
        memory_bytes: address space of one process, about 300 MB of it taken by the preloaded modules.
        descriptors: open files of one process.
        output_characters: longest text of logs, value, error, and tool result; longer ones are cut in the middle.
        message_bytes: longest message between host and interpreter, code and arguments of tools included.
        tool_calls: answered calls of an action.
        tool_seconds: time for one tool call.
        concurrency: how many candidates compute at the same time; None is twice the number of cores.
        allowed_imports: top-level modules the code may import: a message for the model, no security.
        preload: modules imported once for all sessions.
        unsafe: allow to go on with resource limits only where the machine offers no isolation.
        only: use this rung of isolation and no other.
    """

    def __init__(
        self,
        *,
        wall_seconds: float,
        wall_grace_seconds: float,
        cpu_seconds: int,
        memory_bytes: int,
        descriptors: int,
        output_characters: int,
        message_bytes: int,
        tool_calls: int,
        tool_seconds: float,
        concurrency: int | None,
        allowed_imports: Sequence[str],
        preload: Sequence[str],
        unsafe: bool = False,
        only: Isolation | None = None,
    ) -> None:
        self._limits = Limits(
            wall_seconds=wall_seconds,
            wall_grace_seconds=wall_grace_seconds,
            cpu_seconds=cpu_seconds,
            memory_bytes=memory_bytes,
            descriptors=descriptors,
            output_characters=output_characters,
            message_bytes=message_bytes,
            tool_calls=tool_calls,
            tool_seconds=tool_seconds,
        )
        self._concurrency = concurrency or SLOTS_PER_CORE * (os.cpu_count() or 1)
        self._allowed_imports = list(allowed_imports)
        self._preload = list(preload)
        self._rungs: tuple[Isolation, ...] = (only,) if only else ("A", "B", "unsafe") if unsafe else ("A", "B")
        self._isolation: Isolation | None = None
        self._zygote: Zygote | None = None
        self._places = asyncio.Semaphore(self._concurrency)
        self._sessions: list[Session] = []

    @property
    def isolation(self) -> Isolation:
        """The rung in use: "A" namespaces, Landlock, seccomp and limits; "B" without namespaces; "unsafe" limits."""
        if self._isolation is None:
            raise SandboxError("The sandbox is not running; enter it with 'async with' first.")
        return self._isolation

    @property
    def fingerprint(self) -> str:
        """Digest of all that the same code's outcome depends on but tools: Python, packages, limits, rung, this
        package."""
        return content_id(
            sys.version,
            sorted(self._allowed_imports),
            versions(self._allowed_imports),
            self._preload,
            dataclasses.asdict(self._limits),
            self.isolation,
            digest_files(SOURCE, ("**/*.py",)),
        )

    async def __aenter__(self) -> Self:
        """Start on the best rung that the machine allows and that a canary found tight.

        Raises:
            NoIsolation: no permitted rung holds; the message says what is missing.
            SandboxError: a module cannot be preloaded, or this is not Linux.
        """
        if sys.platform != "linux":
            raise SandboxError(
                f"The sandbox isolates code with the Linux kernel and this is {sys.platform}. "
                "Run the project in a Linux container or virtual machine."
            )
        reasons = []
        for rung in self._rungs:
            reason = await self._try_rung(rung)
            if reason is None:
                self._isolation = rung
                log = logger.warning if rung == "unsafe" else logger.info
                log("Sandbox isolation: %s (%s)", rung, DESCRIPTIONS[rung])
                return self
            logger.info("Sandbox isolation %s is not available: %s", rung, reason)
            reasons.append(f"{rung} ({DESCRIPTIONS[rung]}): {reason}")
        raise NoIsolation(
            "The machine cannot isolate model-written code, so none will be run. Tried " + " ".join(reasons) + " "
            "Landlock needs Linux 5.13 or later with 'landlock' among /sys/kernel/security/lsm; the fork gate needs a "
            "container that does not forbid seccomp; bubblewrap (package 'bubblewrap') needs user namespaces or root. "
            "Only where the code is trusted, set sandbox.unsafe to true: resource limits are all that is left then."
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self._sessions:
            await session.close()
        self._sessions.clear()
        if self._zygote is not None:
            await self._zygote.stop()
            self._zygote = None
        self._isolation = None

    async def session(self, tools: Sequence[Tool] = ()) -> Session:
        """Open an episode with a fresh state, whose code can call `tools`. Nothing is forked before its first action.
        Raises SandboxError."""
        if self._zygote is None:
            raise SandboxError("The sandbox is not running; enter it with 'async with' first.")
        desk = ToolDesk(tools, seconds=self._limits.tool_seconds, characters=self._limits.output_characters)
        session = Session(self._zygote, desk, self._limits, self._places)
        self._sessions = [other for other in self._sessions if not other.closed]
        self._sessions.append(session)
        return session

    async def _try_rung(self, rung: Isolation) -> str | None:
        """Start the zygote on `rung`; return None when it holds, else why it does not."""
        spec = {
            "preload": self._preload,
            "allowed_imports": self._allowed_imports,
            "output_characters": self._limits.output_characters,
            "message_bytes": self._limits.message_bytes,
            "notices": self._limits.notices(),
            "rlimits": {
                "cpu_seconds": self._limits.cpu_seconds,
                "memory_bytes": self._limits.memory_bytes,
                "descriptors": self._limits.descriptors,
            },
        }
        try:
            self._zygote = await Zygote.start(rung, spec)
            leaks = [] if rung == "unsafe" else await canary.leaks(self.session)
        except SandboxError as error:
            if isinstance(error, PreloadError):
                raise
            reason = str(error)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        else:
            if not leaks:
                return None
            reason = f"code could {', '.join(leaks)}."
        await self.__aexit__(None, None, None)
        return reason
