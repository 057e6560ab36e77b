"""A `vllm serve` of our own: started in its own environment, watched, and stopped with everything that it started.

The server listens on loopback, on a port and with a key made for this run. It stands in a process group of its own, so
stopping it takes its workers along and touches no other process; tied to this process (see `tether`), it also ends when
nobody is left to stop it. Its output goes to a log file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Self

from agentdistill.errors import ModelError, ModelUnusable
from agentdistill.models import tether
from agentdistill.models.vllm_cpu import cpu_settings, is_cpu_build

POLL_SECONDS = 0.25
REQUEST_SECONDS = 60.0
STOP_SECONDS = 15.0  # from the polite signal to the kill
LOG_LINES = 15  # shown when the server fails
# vLLM's ways of saying that memory is short. An engine says so long before the end of the log: the front end's own
# traceback follows.
NO_MEMORY = re.compile(
    r"out of memory|Free memory on device .* is less than|No available memory for the cache|"
    r"larger than the available KV cache memory"
)
LESS_MEMORY = (
    "lower gpu_memory if other programs hold a part of it, raise it if the cache has no room, and lower context_tokens "
    "or max_sequences, or take a smaller model or more GPUs"
)


class VllmServer:
    """An async context manager; inside it, `url` (with `/v1`) answers to `key`."""

    def __init__(
        self,
        environment: Path,
        arguments: Sequence[str],
        *,
        log: Path,
        start_seconds: float,
        parts: int = 1,
        copies: int = 1,
    ) -> None:
        """
        Args:
            environment: the virtual environment that holds vLLM.
            arguments: what follows `vllm serve`, without address and key and without what `cpu_settings` adds.
            log: where the server's output goes; replaced at every start.
            start_seconds: how long it may take to become ready.
            parts: processes among which a copy of the model is divided, as `arguments` say.
            copies: of the model, as `arguments` say.
        """
        self.key = secrets.token_urlsafe(24)
        self.url = ""
        self._program = environment / "bin" / "vllm"
        further: list[str] = []
        self._variables: dict[str, str] = {}
        if is_cpu_build(environment):
            further, self._variables = cpu_settings(parts=parts, copies=copies, cores=os.cpu_count() or 1)
        self._arguments = (*arguments, *further)
        self._log = log
        self._start_seconds = start_seconds
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        if not self._program.is_file():
            raise ModelError(
                f"vLLM is not installed: there is no {self._program}. Run `make vllm`, or set `environment` to the "
                "virtual environment that holds it."
            )
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}/v1"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        # The key goes through the environment: command lines are visible to every user of the machine.
        environment = {
            **self._variables,
            **os.environ,
            "VLLM_API_KEY": self.key,
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
            "VLLM_NO_USAGE_STATS": "1",
            "PATH": f"{self._program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-IS",
                tether.__file__,
                self._program,
                "serve",
                *self._arguments,
                "--api-server-count=1",  # of more, which data_parallel would bring, none takes adapters at run time
                "--host=127.0.0.1",
                f"--port={port}",
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            await self._wait_until_ready(self._process)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop the server and all its workers; stopping twice does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        _signal_group(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            # Also what the server left behind in its group; the next stage needs the memory that it holds.
            for _ in range(int(STOP_SECONDS / POLL_SECONDS)):
                if not _signal_group(process.pid, signal.SIGKILL):
                    break
                await asyncio.sleep(POLL_SECONDS)
            await process.wait()

    async def load_adapter(self, name: str, folder: Path) -> None:
        """Make a LoRA adapter known as the model `name`; `folder` is absolute.

        Raises:
            ModelError: the server refused it.
        """
        body = {"lora_name": name, "lora_path": str(folder)}
        status, said = await asyncio.to_thread(self._request, f"{self.url}/load_lora_adapter", body)
        if not status:
            await self._ended()
            self.require_alive()
            raise ModelError(
                f"vLLM did not say within {REQUEST_SECONDS:g} seconds whether it took the adapter {folder}. The end of "
                f"its log, {self._log}:\n{self.log_tail()}"
            )
        if status != HTTPStatus.OK:
            said = " ".join(said.split())[:300]
            raise ModelError(
                f"vLLM refused the adapter {folder} with status {status}: {said}. It must have been trained on this "
                "very model, with a rank of at most max_lora_rank."
            )

    def require_alive(self) -> None:
        """Raise ModelUnusable, with the end of its log, if the server has ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            memory = self._memory() or f" Memory is the usual reason: {LESS_MEMORY}."
            raise ModelUnusable(
                f"`vllm serve` ended with status {self._process.returncode} while it was needed.{memory} The end of "
                f"its log, {self._log}:\n{self.log_tail()}"
            )

    async def _ended(self) -> None:
        """Give a server that has broken off time to be known as dead."""
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._process.wait()

    async def _wait_until_ready(self, process: asyncio.subprocess.Process) -> None:
        health = f"{self.url.removesuffix('/v1')}/health"
        deadline = time.monotonic() + self._start_seconds
        while (await asyncio.to_thread(self._request, health, None))[0] != HTTPStatus.OK:
            if process.returncode is not None:
                raise ModelError(
                    f"`vllm serve` ended with status {process.returncode} before it was ready.{self._memory()} The end "
                    f"of its log, {self._log}:\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise ModelError(
                    f"`vllm serve` was not ready after {self._start_seconds:g} seconds and was stopped. Raise "
                    f"start_seconds if it was still loading. The end of its log, {self._log}:\n{self.log_tail()}"
                )
            await asyncio.sleep(POLL_SECONDS)

    def _request(self, url: str, body: dict[str, str] | None) -> tuple[int, str]:
        """Return status and text of a GET, or of a POST of `body`; 0 when the server is not there."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers=headers)
        # A proxy from the environment must not stand between this process and its own server.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=REQUEST_SECONDS) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError:
            return 0, ""

    def _memory(self) -> str:
        """Return a sentence on what the log says of memory, if it says anything."""
        with self._log.open(encoding="utf-8", errors="replace") as file:
            said = next((line.strip() for line in file if NO_MEMORY.search(line)), None)
        return "" if said is None else f" There is not enough memory: {LESS_MEMORY}. It said: {self._shown(said)}"

    def log_tail(self) -> str:
        """Return the last lines of the server's log, without the key."""
        with self._log.open(encoding="utf-8", errors="replace") as file:
            lines = deque((line.rstrip() for line in file), maxlen=LOG_LINES)
        return self._shown("\n".join(lines))

    def _shown(self, text: str) -> str:
        return text.replace(self.key, "***")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _signal_group(group: int, number: signal.Signals) -> bool:
    """Tell whether there was anybody left to signal."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
