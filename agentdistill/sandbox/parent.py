"""What the host asks of a process that forks others: to fork one, and how one that it forked ended."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from agentdistill.sandbox.channel import Channel, ChannelViolation

START_SECONDS = 60.0  # a fork takes milliseconds; more only on an overloaded machine
MOST_STALE_MESSAGES = 16


class Parent:
    """Asks over `channel`, one request at a time. `permit` is called before each fork, while none is under way.

    All methods raise ChannelClosed, ChannelViolation and TimeoutError.
    """

    def __init__(self, channel: Channel, permit: Callable[[], None] = lambda: None) -> None:
        self._channel = channel
        self._permit = permit
        self._requests = 0
        self._asking = asyncio.Lock()

    async def fork(self, theirs: socket.socket, wanted: dict[str, Any]) -> int:
        """Ask for a child that speaks on `theirs`, which is closed here, and is told `wanted`. Returns the number that
        `ending` takes. Whether there is a child is for the other end of `theirs` to see."""
        with theirs:
            async with self._asking:
                self._permit()
                self._requests += 1
                number = self._requests
                request = {"op": "fork", "id": number, **wanted}
                await self._channel.send(request, theirs.fileno(), seconds=START_SECONDS)
                return number

    async def ending(self, child: int, seconds: float) -> dict[str, Any]:
        """Return the wait status and the computing time of the child that `fork` gave the number `child`.

        Answers to a request that was given up, and what a node's code left in its channel, are skipped.
        """
        async with self._asking:
            self._requests += 1
            number = self._requests
            await self._channel.send({"op": "wait", "id": number, "child": child}, seconds=seconds)
            for _ in range(MOST_STALE_MESSAGES):
                answer = await self._channel.receive(seconds)
                if answer.get("id") == number:
                    return answer
        raise ChannelViolation("it answers something else than it is asked")
