"""A process that serves one copy of a model to its parent: `python -m agentdistill.models.worker`.

Frames go in on stdin and out on stdout, each four bytes of length and a pickle; both sides are this program. The first
frame holds the arguments of `TransformersModel` and is answered by "ready", or by why it cannot be loaded. Then a
request is (number, keyword arguments of `sample`), or (number, None) to give it up; it is answered by (number, `Reply`
or what was raised). The end of the input, which the parent's death brings too, ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import struct
import sys
import traceback
from typing import Any, BinaryIO

from agentdistill.errors import AgentDistillError

LENGTH = struct.Struct("=I")
FRAME_BYTES = 1 << 30  # an asyncio stream needs a bound


def frame(content: object) -> bytes:
    """Return `content` as it goes over the pipe."""
    data = pickle.dumps(content)
    return LENGTH.pack(len(data)) + data


async def receive(stream: asyncio.StreamReader) -> Any:
    """Return what the next frame holds. Raises IncompleteReadError at the end of the stream."""
    (length,) = LENGTH.unpack(await stream.readexactly(LENGTH.size))
    return pickle.loads(await stream.readexactly(length))


class _Worker:
    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def _send(self, content: object) -> None:
        self._out.write(frame(content))
        self._out.flush()

    async def serve(self, requests: asyncio.StreamReader) -> None:
        """Answer until the end of the requests."""
        options = await receive(requests)
        try:
            from agentdistill.models.transformers_model import TransformersModel  # seconds, and it may fail

            model = TransformersModel(**options)
        except AgentDistillError as error:
            self._send(error)
            return
        self._send("ready")
        while True:
            number, request = await receive(requests)
            if request is not None:
                self._tasks[number] = asyncio.create_task(self._answer(model, number, request))
            elif number in self._tasks:
                self._tasks[number].cancel()

    async def _answer(self, model: Any, number: int, request: dict[str, Any]) -> None:
        try:
            self._send((number, await model.sample(**request)))
        except AgentDistillError as error:
            self._send((number, error))  # raised again where the request came from
        except Exception:  # a bug: nothing else would end what waits for this answer
            traceback.print_exc()
            os._exit(1)
        finally:
            del self._tasks[number]


async def _main() -> None:
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the frames
    requests = asyncio.StreamReader(limit=FRAME_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(requests), sys.stdin)
    with contextlib.suppress(asyncio.IncompleteReadError, BrokenPipeError):  # the parent closed the pipe or is gone
        await _Worker(out).serve(requests)
    os._exit(0)  # whatever is being generated is for nobody


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    asyncio.run(_main())
