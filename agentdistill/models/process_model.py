"""Copies of a model in processes of their own, so that decoding on a CPU uses more than one core.

The matrices of a small model are too small to be shared by threads; whole conversations are not. Each stays with one
copy, which has its beginning in the prefix cache. Answers do not depend on the number of processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Self

from agentdistill.errors import AgentDistillError, ModelError, ModelUnusable
from agentdistill.models.adapter import require_same_base
from agentdistill.models.chat import home_replica
from agentdistill.models.weights import engine_fingerprint, find_model
from agentdistill.models.worker import FRAME_BYTES, frame, receive
from agentdistill.records import Message, Reply, Sampling


class ProcessModel:
    """Implements `Model`. Use it as an async context manager.

    The processes take seconds to load the model; only the first requests wait for it. A model that cannot be loaded
    fails them all.
    """

    def __init__(self, path: str, *, processes: int, dtype: str, adapter: Path | None = None, **options: Any) -> None:
        """
        Args:
            path, dtype, adapter: as for `TransformersModel`.
            processes: copies of the model.
            options: the other arguments of `TransformersModel`; `threads` and the sizes hold for each copy.

        Raises:
            ModelError: there is no such model or adapter.
        """
        folder = find_model(path)
        self._fingerprint = engine_fingerprint(folder, adapter, dtype)
        if adapter is not None:
            require_same_base(path, adapter)  # here, where the model's name is still known
        settings = {"path": str(folder), "dtype": dtype, "adapter": adapter, **options}
        self._copies = [_Copy(settings) for _ in range(processes)]
        self._leader: subprocess.Popen[bytes] | None = None

    @property
    def fingerprint(self) -> str:
        """That of a `TransformersModel` with the same arguments."""
        return self._fingerprint

    async def __aenter__(self) -> Self:
        pairs = [socket.socketpair() for _ in self._copies]
        self._leader = _start([other.fileno() for _, other in pairs])
        for copy, (ours, other) in zip(self._copies, pairs, strict=True):
            other.close()
            copy.start(ours)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._leader.pid, signal.SIGKILL)  # they hold nothing that could be lost
            await asyncio.to_thread(self._leader.wait)
        await asyncio.gather(*(copy.ended() for copy in self._copies))

    async def sample(
        self,
        messages: Sequence[Message],
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        first: int = 0,
        prefill: str | None = None,
    ) -> Reply:
        """See `TransformersModel.sample`."""
        copy = self._copies[home_replica(messages, len(self._copies))]
        return await copy.ask(messages=list(messages), n=n, sampling=sampling, seed=seed, first=first, prefill=prefill)


def _start(descriptors: list[int]) -> subprocess.Popen[bytes]:
    """Start the first process, as the leader of a group."""
    return subprocess.Popen(
        [sys.executable, "-m", "agentdistill.models.worker", *map(str, descriptors)],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # threads would not survive the forks
        pass_fds=descriptors,
        start_new_session=True,
    )


class _Copy:
    """The connection to one process, and what it was asked."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._serving: asyncio.Task[None] | None = None
        self._loaded: asyncio.Future[asyncio.StreamWriter] | None = None

    def start(self, connection: socket.socket) -> None:
        self._loaded = asyncio.get_running_loop().create_future()
        self._serving = asyncio.create_task(self._serve(connection))

    async def ask(self, **request: Any) -> Reply:
        if self._loaded is None:
            raise ModelError(f"The model {self._settings['path']} is not open; enter it with 'async with' first.")
        requests = await asyncio.shield(self._loaded)
        if requests.is_closing():  # it ended between being ready and this
            requests = await asyncio.shield(self._loaded)
        number = next(self._numbers)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        requests.write(frame((number, request)))
        try:
            return await answer
        finally:
            if self._waiting.pop(number, None) is not None:
                requests.write(frame((number, None)))  # nobody waits for it any more

    async def ended(self) -> None:
        """Wait until the process has."""
        if self._serving is not None:
            await self._serving

    async def _serve(self, connection: socket.socket) -> None:
        """Hand the process's answers to who waits for them, until it ends."""
        answers, requests = await asyncio.open_connection(sock=connection, limit=FRAME_BYTES)
        try:
            requests.write(frame(self._settings))
            await self._receive(answers, requests)
        except AgentDistillError as error:  # the model cannot be loaded
            self._fail(error)
        except (asyncio.IncompleteReadError, ConnectionError):
            self._fail(
                ModelUnusable(
                    f"A process that served {self._settings['path']} has ended; its last words are above. If there "
                    "are none, the machine most likely ran out of memory: lower processes or max_rows."
                )
            )
        finally:
            requests.close()

    async def _receive(self, answers: asyncio.StreamReader, requests: asyncio.StreamWriter) -> None:
        greeting = await receive(answers)
        if isinstance(greeting, Exception):
            raise greeting
        assert self._loaded is not None
        self._loaded.set_result(requests)
        while True:
            number, answer = await receive(answers)
            future = self._waiting.pop(number, None)
            if future is None or future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _fail(self, error: AgentDistillError) -> None:
        """Fail what waits and what will be asked."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
        self._waiting.clear()
        if self._loaded is None or self._loaded.done():
            self._loaded = asyncio.get_running_loop().create_future()
        self._loaded.set_exception(error)
        self._loaded.exception()  # nobody need have asked
