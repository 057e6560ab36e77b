"""The host's end of a channel: asynchronous, bounded, and suspicious of what it reads.

Nothing is consumed from the socket except by the coroutine that returns it, so a wait that times out or is cancelled
loses no data.
"""

from __future__ import annotations

import array
import asyncio
import errno
import json
import os
import socket
import struct
from typing import Any

from agentdistill.sandbox.guest.wire import HEADER, HELLO, frame
from agentdistill.sandbox.readiness import ready

CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
CHUNK_BYTES = 65_536


class ChannelClosed(Exception):
    """The other end is gone."""


class ChannelViolation(Exception):
    """The other end broke the protocol; the message says how."""


class Channel:
    """One socket of a pair, owned. `limit` is the largest frame body accepted, in bytes."""

    def __init__(self, sock: socket.socket, limit: int) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._limit = limit
        self._buffer = bytearray()

    @classmethod
    def pair(cls, limit: int) -> tuple[Channel, socket.socket]:
        """Return our end and the socket to hand to the other side."""
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)  # the kernel attests who wrote
        return cls(ours, limit), theirs

    async def greeting(self, seconds: float) -> tuple[int, int | None]:
        """Wait for the other side's first byte. Return its pid, vouched for by the kernel, and the descriptor sent
        along, if any. Raises ChannelClosed, ChannelViolation, TimeoutError, and OSError when none is left for it."""
        if not await ready(self._socket.fileno(), seconds):
            raise TimeoutError
        space = socket.CMSG_SPACE(CREDENTIALS.size) + socket.CMSG_SPACE(array.array("i").itemsize)
        try:
            data, ancillary, flags, _ = self._socket.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            raise ChannelClosed from None
        pid = 0
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
                pid = CREDENTIALS.unpack(content)[0]
            elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content)
        if data == HELLO and pid > 0 and len(descriptors) <= 1:
            if flags & socket.MSG_CTRUNC and not descriptors:  # one was sent, and we have no number left for it
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return pid, descriptors[0] if descriptors else None
        for descriptor in descriptors:
            os.close(descriptor)
        if not data:
            raise ChannelClosed
        raise ChannelViolation("its first message was no greeting")

    async def send(self, message: dict[str, Any], descriptor: int | None = None, *, seconds: float) -> None:
        """Send one message, a descriptor with it. Raises ChannelClosed, and TimeoutError when the other side reads
        nothing for `seconds`."""
        data = memoryview(frame(message))
        rights = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        try:
            while data:
                try:
                    data = data[self._socket.sendmsg([data], rights) :]
                    rights = []  # sent with the first piece
                except BlockingIOError:
                    if not await ready(self._socket.fileno(), seconds, write=True):
                        raise TimeoutError from None
        except ConnectionError:
            raise ChannelClosed from None

    async def receive(self, seconds: float) -> dict[str, Any]:
        """Return the next message. Raises TimeoutError after `seconds`, ChannelClosed, ChannelViolation."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (message := self._parse()) is None:
            try:
                data = self._socket.recv(CHUNK_BYTES)
            except BlockingIOError:
                remaining = deadline - loop.time()
                if remaining <= 0 or not await ready(self._socket.fileno(), remaining):
                    raise TimeoutError from None
                continue
            except ConnectionError:
                raise ChannelClosed from None
            if not data:
                raise ChannelClosed
            self._buffer += data
        return message

    def _parse(self) -> dict[str, Any] | None:
        if len(self._buffer) < HEADER.size:
            return None
        (size,) = HEADER.unpack_from(self._buffer)
        if size > self._limit:
            raise ChannelViolation(f"it announced a message of {size} bytes; at most {self._limit} are accepted")
        if len(self._buffer) < HEADER.size + size:
            return None
        body = bytes(self._buffer[HEADER.size : HEADER.size + size])
        del self._buffer[: HEADER.size + size]
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            raise ChannelViolation("it sent something that is not JSON") from None
        if not isinstance(message, dict):
            raise ChannelViolation("it sent JSON that is no object")
        return message

    def close(self) -> None:
        self._socket.close()
