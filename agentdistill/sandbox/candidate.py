"""One candidate: a fork of the session's process that runs one action under limits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from functools import partial
from typing import Any

from agentdistill.records import Outcome, ToolCall
from agentdistill.sandbox.calls import ToolDesk
from agentdistill.sandbox.channel import ChannelClosed, ChannelViolation
from agentdistill.sandbox.gate import ForkGate
from agentdistill.sandbox.limits import Limits
from agentdistill.sandbox.parent import Child, Parent

DEEPEST_ARGUMENT = 50  # levels of lists and dicts; a record nested some 190 deep could not be read again
CALL_FLOOD = 5  # times the permitted tool calls; code that goes on asking is killed
WAIT_SECONDS = 5.0  # for its parent to say what it died of
DEATH_SECONDS = 0.2  # how long a process that closed its channel gets to be dead before it is killed


class Candidate:
    """A process and its channel. Kept, it is the session's node, which forks further ones; `kill` ends it.

    Args:
        child: the process, waiting for what it is to run; owned.
        parent: the process that forked it.
        message_bytes: the largest message accepted from its children.
        gate: the fork gate of its episode's root and all below, None without isolation.
    """

    def __init__(self, child: Child, parent: Parent, message_bytes: int, gate: ForkGate | None) -> None:
        self.channel = child.channel
        self.process = child.process
        self.gate = gate
        self.refused_forks = 0
        self.forbidden = False
        self._child = child
        self._parent = parent
        self._message_bytes = message_bytes
        permit = () if gate is None else (partial(gate.permit, child.process.pid),)
        self._children = Parent(child.channel, message_bytes, *permit)

    def kill(self) -> None:
        self.process.kill()
        self.channel.close()

    async def fork(self) -> Candidate:
        """Fork this process, as a node. Raises what `Parent.fork` does."""
        child = await self._children.fork()
        if child.descriptor is not None:
            os.close(child.descriptor)
        return Candidate(child, self._children, self._message_bytes, self.gate)

    async def ending(self, seconds: float) -> dict[str, Any]:
        """Ask its parent how it ended. Raises what `Parent.ending` does."""
        return await self._parent.ending(self._child.number, seconds)

    def refuse_fork(self, most: int) -> None:
        """Count a refused fork; code that keeps trying is killed, because each try costs the host time."""
        self.refused_forks += 1
        if self.refused_forks > most:
            self.forbidden = True
            self.process.signal(signal.SIGKILL)


class Slot:
    """One of the places for computing candidates, taken and given back as often as needed."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._held = False

    async def take(self) -> None:
        await self._places.acquire()
        self._held = True

    def give(self) -> None:
        if self._held:
            self._held = False
            self._places.release()


class Run:
    """Runs one action in a candidate and tells what came of it. `slot` is held but while a tool call is waited for."""

    def __init__(self, candidate: Candidate, limits: Limits, desk: ToolDesk, slot: Slot) -> None:
        self.candidate = candidate
        self.limits = limits
        self.desk = desk
        self.slot = slot
        self.requests = 0
        self.tool_calls: list[ToolCall] = []
        self.seconds = 0.0

    async def outcome(self, code: str) -> Outcome:
        """Have `code` run, and follow it to its end. Its errors are in the outcome; those of a tool pass through.

        Raises:
            ChannelClosed: the process died or closed its channel; `died` tells why.
        """
        try:
            await self._send({"op": "run", "code": code})
            return await self._converse()
        except ChannelViolation as violation:
            self.candidate.kill()
            return self._failed("protocol", f"The code was stopped because it disturbed the interpreter: {violation}.")

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            await self.candidate.channel.send(message, seconds=self.limits.wall_seconds)
        except TimeoutError:
            raise ChannelViolation("it does not read what it is sent") from None

    async def _converse(self) -> Outcome:
        loop = asyncio.get_running_loop()
        channel, limits = self.candidate.channel, self.limits
        remaining, warned = limits.wall_seconds, False
        while True:
            started = loop.time()
            try:
                message = await channel.receive(remaining)
            except TimeoutError:
                self.seconds += loop.time() - started
                if warned:
                    self.candidate.kill()
                    return self._failed(
                        "wall", f"The code was killed after {self.seconds:.0f} seconds. Make it do less work."
                    )
                warned, remaining = True, limits.wall_grace_seconds
                self.candidate.process.signal(signal.SIGALRM)
                continue
            self.seconds += loop.time() - started
            remaining -= loop.time() - started
            if message.get("op") != "call":
                outcome = self._finished(message)
                if warned and outcome.error_kind not in ("wall", "cpu"):  # it caught that, or was just done
                    return self._failed("wall", f"TimeLimit: {limits.notices()['wall']}")
                return outcome
            await self._send(await self._call_tool(message))
            await asyncio.sleep(0)  # a flood of calls must leave the event loop to others

    async def _call_tool(self, message: dict[str, Any]) -> dict[str, Any]:
        name, arguments = message.get("name"), message.get("arguments")
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise ChannelViolation("it made a tool call without name or arguments")
        self.requests += 1
        if self.requests > CALL_FLOOD * max(1, self.limits.tool_calls):
            raise ChannelViolation(f"it made {self.requests} tool calls")
        if self.requests > self.limits.tool_calls:
            return {"error": f"this action has made {self.limits.tool_calls} tool calls already; no more are answered"}
        self.slot.give()
        call = await self.desk.answer(_printable(name), _cleaned(arguments))
        await self.slot.take()
        self.tool_calls.append(call)
        return {"result": call.result, "error": call.error}

    def _finished(self, report: dict[str, Any]) -> Outcome:
        ok = report.get("ok")
        if not isinstance(ok, bool):
            raise ChannelViolation("its report does not say whether the code succeeded")
        texts = {field: _text(report, field) for field in ("value", "canonical", "final_answer", "error", "error_kind")}
        return Outcome(
            ok=ok,
            logs=_text(report, "logs") or "",
            tool_calls=tuple(self.tool_calls),
            seconds=self.seconds,
            **texts,
        )

    def _failed(self, kind: str, error: str) -> Outcome:
        return Outcome(ok=False, error=error, error_kind=kind, tool_calls=tuple(self.tool_calls), seconds=self.seconds)

    async def died(self) -> Outcome:
        """Say why the candidate is dead."""
        await self.candidate.process.gone(DEATH_SECONDS)
        self.candidate.kill()
        if self.candidate.forbidden:
            return self._failed("forbidden", "The code was killed because it kept trying to start processes.")
        status = cpu_seconds = None
        with contextlib.suppress(ChannelClosed, ChannelViolation, TimeoutError):
            reply = await self.candidate.ending(WAIT_SECONDS)
            status, cpu_seconds = reply.get("status"), reply.get("cpu_seconds")
        if not (isinstance(status, int) and 0 <= status < 1 << 16):  # a node's code may have forged it
            return self._failed("killed", "The interpreter died while it ran the code.")
        if isinstance(cpu_seconds, int | float) and cpu_seconds >= self.limits.cpu_seconds:
            spent = f"{self.limits.cpu_seconds} seconds of computing"
            return self._failed("cpu", f"The code was killed after {spent}. Make it do less work.")
        if not os.WIFSIGNALED(status):
            return self._failed("killed", "The interpreter ended while it ran the code.")
        number = os.WTERMSIG(status)
        if number == signal.SIGKILL:
            return self._failed("memory", "The code was killed, most likely because the machine ran out of memory.")
        name = next((known.name for known in signal.Signals if known == number), f"signal {number}")
        return self._failed("killed", f"The code crashed the interpreter ({name}).")


def _text(report: dict[str, Any], field: str) -> str | None:
    value = report.get(field)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ChannelViolation(f"its report has no text as {field}")
    return _printable(value)


def _cleaned(value: Any, depth: int = 0) -> Any:
    """Return a value that came as JSON with all its texts printable. Raises ChannelViolation when it is nested too
    deep to be recorded."""
    if depth > DEEPEST_ARGUMENT:
        raise ChannelViolation(f"it nested a tool's arguments more than {DEEPEST_ARGUMENT} levels deep")
    if isinstance(value, str):
        return _printable(value)
    if isinstance(value, list):
        return [_cleaned(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_printable(key): _cleaned(item, depth + 1) for key, item in value.items()}
    return value


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate could not be written to a file
