"""Processes that each serve a copy of a model to their parent: `python -m agentdistill.models.worker FD...`.

One process for each of the sockets FD. The first imports torch, which takes seconds, and forks the others. Frames go
over the socket both ways, each four bytes of length and a pickle; both sides are this program. The first frame holds
the arguments of `TransformersModel` and is answered by "ready", or by why the model cannot be loaded. Then a
request is (number, keyword arguments of `sample`), or (number, None) to give it up; it is answered by (number, `Reply`
or what was raised). The end of the input, which the parent's death brings too, ends the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import pickle
import socket
import struct
import sys
import traceback
from typing import Any

from agentdistill.errors import AgentDistillError

LENGTH = struct.Struct("=I")
FRAME_BYTES = 1 << 30  # an asyncio stream needs a bound


def frame(content: object) -> bytes:
    """Return `content` as it goes over the socket."""
    data = pickle.dumps(content)
    return LENGTH.pack(len(data)) + data


async def receive(stream: asyncio.StreamReader) -> Any:
    """Return what the next frame holds. Raises IncompleteReadError or ConnectionError at the end of the stream."""
    (length,) = LENGTH.unpack(await stream.readexactly(LENGTH.size))
    return pickle.loads(await stream.readexactly(length))


async def serve(descriptor: int) -> None:
    """Answer what comes over the socket until its end."""
    from agentdistill.models.transformers_model import TransformersModel

    requests, answers = await asyncio.open_connection(sock=socket.socket(fileno=descriptor), limit=FRAME_BYTES)
    options = await receive(requests)
    try:
        model = TransformersModel(**options)
    except AgentDistillError as error:
        answers.write(frame(error))
        await answers.drain()
        return
    gc.freeze()  # a full collection would walk torch's modules, half a second in which nothing is decoded
    answers.write(frame("ready"))
    tasks: dict[int, asyncio.Task[None]] = {}

    async def answer(number: int, request: dict[str, Any]) -> None:
        try:
            answers.write(frame((number, await model.sample(**request))))
        except AgentDistillError as error:
            answers.write(frame((number, error)))  # raised again where the request came from
        except Exception:  # a bug: nothing else would end what waits for this answer
            traceback.print_exc()
            os._exit(1)
        finally:
            del tasks[number]

    while True:
        number, request = await receive(requests)
        if request is not None:
            tasks[number] = asyncio.create_task(answer(number, request))
        elif number in tasks:
            tasks[number].cancel()


def main(descriptors: list[int]) -> None:
    """Fork a process for each of `descriptors` but the first, and serve one in each."""
    importlib.import_module("agentdistill.models.transformers_model")  # before the forks, so that they share it
    mine, *others = descriptors
    for other in others:
        if os.fork() == 0:
            mine = other
            break
    for descriptor in descriptors:
        if descriptor != mine:
            os.close(descriptor)
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):  # the parent is done, or gone
        asyncio.run(serve(mine))
    os._exit(0)  # whatever is being generated is for nobody


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]])
