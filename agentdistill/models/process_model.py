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
from pathlib import Path
from typing import Any, Self

from agentdistill.errors import AgentDistillError, ModelError
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
        settings = {"path": str(folder), "dtype": dtype, "adapter": adapter, **options}
        self._copies = [_Copy(settings) for _ in range(processes)]

    @property
    def fingerprint(self) -> str:
        """That of a `TransformersModel` with the same arguments."""
        return self._fingerprint

    @property
    def pids(self) -> list[int]:
        """The processes that have been started."""
        return [copy.process.pid for copy in self._copies if copy.process is not None]

    async def __aenter__(self) -> Self:
        for copy in self._copies:
            copy.start()
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

    def __init__(self, settings: dict[str, Any]) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self._settings = settings
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._serving: asyncio.Task[None] | None = None
        self._loaded: asyncio.Future[asyncio.StreamWriter] | None = None

    def start(self) -> None:
        self._loaded = asyncio.get_running_loop().create_future()
        self._serving = asyncio.create_task(self._serve())

    async def ask(self, **request: Any) -> Reply:
        if self._loaded is None:
            raise ModelError(f"The model {self._settings['path']} is not open; enter it with 'async with' first.")
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

    async def stop(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)

    async def _serve(self) -> None:
        """Run the process: start it, hand its answers to who waits for them, kill it at the end."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "agentdistill.models.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=FRAME_BYTES,
        )
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(frame(self._settings))
            await self._receive_answers(process.stdin, process.stdout)
        except AgentDistillError as error:  # the model cannot be loaded
            self._fail(error)
        except asyncio.IncompleteReadError:
            self._fail(
                ModelError(
                    f"The process that served {self._settings['path']} ended with status {await process.wait()}; its "
                    "last words are above. Status -9 most likely means that the machine ran out of memory: lower "
                    "processes or max_rows."
                )
            )
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # it holds nothing that could be lost
            await process.wait()
            process.stdin.close()

    async def _receive_answers(self, requests: asyncio.StreamWriter, answers: asyncio.StreamReader) -> None:
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
