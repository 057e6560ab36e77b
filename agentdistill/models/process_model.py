"""Copies of a model in processes of their own, so that decoding on a CPU uses more than one core.

The matrices of a small model are too small to be shared by threads; whole conversations are not. Each stays with one
copy, which has its beginning in the prefix cache. Answers do not depend on the number of processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from itertools import count
from typing import Any, Self

from agentdistill.errors import ModelError
from agentdistill.models.chat import home_replica
from agentdistill.models.worker import FRAME_BYTES, frame, receive
from agentdistill.records import Message, Reply, Sampling

EXIT_SECONDS = 10.0  # until a process that was told to end is killed


class ProcessModel:
    """Implements `Model`. Use it as an async context manager."""

    def __init__(self, path: str, *, processes: int, **options: Any) -> None:
        """
        Args:
            path: as for `TransformersModel`.
            processes: copies of the model.
            options: the other arguments of `TransformersModel`, `adapter` included; `threads` and the sizes hold for
                each copy.
        """
        self._options = {"path": path, **options}
        self._processes = processes
        self._copies: list[_Copy] = []

    @property
    def fingerprint(self) -> str:
        """That of a `TransformersModel` with the same arguments."""
        return self._copies[0].fingerprint

    async def __aenter__(self) -> Self:
        """Start the processes and wait until they have loaded the model.

        Raises:
            ModelError: the model or adapter cannot be loaded, or a process died over it.
        """
        self._copies = [_Copy(self._options) for _ in range(self._processes)]
        try:
            await asyncio.gather(*(copy.start() for copy in self._copies))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(copy.stop() for copy in self._copies))

    async def sample(
        self,
        messages: Sequence[Message],
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        prefill: str | None = None,
    ) -> Reply:
        """See `TransformersModel.sample`."""
        copy = self._copies[home_replica(messages, len(self._copies))]
        return await copy.ask(messages=list(messages), n=n, sampling=sampling, seed=seed, prefill=prefill)


class _Copy:
    """One process and what it was asked."""

    fingerprint: str
    _process: asyncio.subprocess.Process | None = None
    _reading: asyncio.Task[None] | None = None

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agentdistill.models.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=FRAME_BYTES,
        )
        self._send(self._options)
        try:
            greeting = await receive(self._output())
        except asyncio.IncompleteReadError:
            raise await self._death() from None
        if isinstance(greeting, Exception):
            raise greeting
        self.fingerprint = greeting
        self._reading = asyncio.create_task(self._read())

    async def ask(self, **request: Any) -> Reply:
        if self._reading is None or self._reading.done():
            raise await self._death()
        number = next(self._numbers)
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._send((number, request))
        try:
            return await answer
        finally:
            if self._waiting.pop(number, None) is not None and not self._reading.done():
                self._send((number, None))  # nobody waits for it any more

    async def stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), EXIT_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _read(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                number, answer = await receive(self._output())
                future = self._waiting.pop(number, None)
                if future is None or future.done():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        failure = await self._death()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(failure)
        self._waiting.clear()

    async def _death(self) -> ModelError:
        status = None if self._process is None else await self._process.wait()
        return ModelError(
            f"The process that served {self._options['path']} has ended (status {status}). Its last words are above; "
            "with status -9 the machine most likely ran out of memory: lower processes or max_rows."
        )

    def _output(self) -> asyncio.StreamReader:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout

    def _send(self, content: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(frame(content))
