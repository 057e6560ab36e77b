"""The host's handle on the zygote: start it on one rung of isolation, let it fork sessions, stop it with all below."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from typing import IO, Any, Self

from agentdistill.errors import SandboxError
from agentdistill.sandbox import launch
from agentdistill.sandbox.candidate import Candidate
from agentdistill.sandbox.channel import Channel, ChannelClosed, ChannelViolation
from agentdistill.sandbox.gate import ForkGate
from agentdistill.sandbox.launch import Isolation
from agentdistill.sandbox.parent import START_SECONDS, Parent

FORKS_AT_ONCE = 64  # the kernel limits how many descriptors may be under way, where few may be open
MOST_ERROR_CHARACTERS = 2000


class PreloadError(SandboxError):
    """A module to preload is missing or starts threads: no fault of the rung of isolation."""


class Zygote:
    """A running zygote. `stop` must be called."""

    def __init__(self, process: subprocess.Popen[bytes], control: Channel, message_bytes: int, gated: bool) -> None:
        self._process = process
        self._control = control
        self._message_bytes = message_bytes
        self._gated = gated
        self._parent = Parent(control, message_bytes)
        self._forking = asyncio.Semaphore(FORKS_AT_ONCE)

    @classmethod
    async def start(cls, isolation: Isolation, spec: dict[str, Any]) -> Self:
        """Start a zygote with the specification `spec`. Raises SandboxError with the reason when it cannot be had."""
        confined = isolation != "unsafe"
        spec = {
            **spec,
            "landlock": confined,
            "seccomp": confined,
            "readable": launch.readable(),
            "source": str(launch.SOURCE),
        }
        control, theirs = Channel.pair(spec["message_bytes"])
        with tempfile.TemporaryFile() as errors:
            try:
                with theirs:
                    process = launch.start(isolation, theirs, errors)
            except OSError as error:
                control.close()
                raise SandboxError(f"The interpreter could not be started: {error}.") from error
            zygote = cls(process, control, spec["message_bytes"], confined)
            try:
                await control.send(spec, seconds=START_SECONDS)
                answer = await control.receive(START_SECONDS)
            except (ChannelClosed, ChannelViolation, TimeoutError):
                answer = {"error": _tail(errors) or f"it did not report within {START_SECONDS:g} seconds"}
            except BaseException:
                await zygote.stop()
                raise
            if "error" in answer:
                await zygote.stop()
                if answer.get("stage") == "preload":
                    raise PreloadError(f"A module of sandbox.preload cannot be preloaded: {answer['error']}.")
                raise SandboxError(f"The interpreter could not be prepared: {answer['error']}.")
        return zygote

    async def fork(self, tools: list[dict[str, Any]], on_refused: Callable[[int], None]) -> Candidate:
        """Fork an episode's first state into a candidate whose code can call `tools`. `on_refused` is told the pid of a
        process that tries to fork. Raises SandboxError, and OSError when descriptors run out."""
        async with self._forking:
            try:
                child = await self._parent.fork(tools=tools)
            except (ChannelClosed, ChannelViolation, TimeoutError, ProcessLookupError) as error:
                raise SandboxError(
                    "The sandbox could not start an episode. Either the machine is out of memory or processes, or the "
                    f"sandbox was killed ({type(error).__name__})."
                ) from error
        gate = None if child.descriptor is None else ForkGate(child.descriptor, on_refused)
        candidate = Candidate(child, self._parent, self._message_bytes, gate)
        if self._gated and gate is None:
            candidate.kill()
            raise SandboxError("The sandbox started an episode without its filter; nothing was run in it.")
        return candidate

    async def stop(self) -> None:
        """Kill the zygote and everything forked from it."""
        self._control.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.to_thread(self._process.wait)


def _tail(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode(errors="replace").strip()[-MOST_ERROR_CHARACTERS:]
