"""What the host asks of a process that forks others: to fork one, and how one that it forked ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agentdistill.sandbox.channel import Channel, ChannelViolation
from agentdistill.sandbox.process import Process

START_SECONDS = 60.0  # a fork takes milliseconds; more only on an overloaded machine
MOST_STALE_MESSAGES = 16


@dataclass(frozen=True)
class Child:
    """A process that was forked and waits for what it is to run; whoever has it kills it and closes its channel."""

    number: int  # by which its parent knows it
    channel: Channel
    process: Process
    descriptor: int | None  # what it sent along with its greeting, owned


class Parent:
    """Asks over `channel`, one request at a time. `permit` is called before each fork, while none is under way.

    Args:
        channel: to the process that forks.
        message_bytes: the largest message accepted from a child.
        permit: see above.
    """

    def __init__(self, channel: Channel, message_bytes: int, permit: Callable[[], None] = lambda: None) -> None:
        self._channel = channel
        self._message_bytes = message_bytes
        self._permit = permit
        self._requests = 0
        self._asking = asyncio.Lock()

    async def fork(self, **wanted: Any) -> Child:
        """Have a child forked that is told `wanted`. Until it is returned it can do nothing but end, so none is lost.

        Raises ChannelClosed, ChannelViolation, TimeoutError or ProcessLookupError when there is none, and another
        OSError when descriptors run out.
        """
        channel, theirs = Channel.pair(self._message_bytes)
        descriptor = None
        try:
            with theirs:
                async with self._asking:
                    self._permit()
                    number = self._next()
                    request = {"op": "fork", "id": number, **wanted}
                    await self._channel.send(request, theirs.fileno(), seconds=START_SECONDS)
            pid, descriptor = await channel.greeting(START_SECONDS)
            return Child(number, channel, Process(pid), descriptor)
        except BaseException:
            channel.close()
            if descriptor is not None:
                os.close(descriptor)
            raise

    async def ending(self, number: int, seconds: float) -> dict[str, Any]:
        """Return the wait status and the computing time of a child. What is no answer to this request is skipped: it
        answers one that was given up, or a node's code left it in the channel.

        Raises ChannelClosed, ChannelViolation, TimeoutError.
        """
        async with self._asking:
            asked = self._next()
            await self._channel.send({"op": "wait", "id": asked, "child": number}, seconds=seconds)
            for _ in range(MOST_STALE_MESSAGES):
                answer = await self._channel.receive(seconds)
                if answer.get("id") == asked:
                    return answer
        raise ChannelViolation("it answers something else than it is asked")

    def _next(self) -> int:
        self._requests += 1
        return self._requests
