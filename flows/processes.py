"""Child processes that never outlive their parent's will: each leads a process group, which is stopped as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SECONDS_TO_STOP = 8.0  # a stage closes its model server and its sandbox in this time, then it is killed


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment, with this interpreter first on PATH: stages call `python`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **(extra or {})}


class Children:
    """The processes started here that are still running."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._stopping = False

    @contextmanager
    def start(self, command: Sequence[str], cwd: Path, *, quiet: Path | None = None) -> Iterator[subprocess.Popen[str]]:
        """Start `command`, its output as lines on `stdout` or, with `quiet`, in that file; stop it at the end."""
        with open(quiet, "ab") if quiet else _pipe() as output:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        self._running.add(process)
        try:
            if self._stopping:  # asked to stop while this one was being born
                _signal(process, signal.SIGTERM)
            yield process
        finally:
            _stop([process])
            self._running.discard(process)

    def reopen(self) -> None:
        """Let processes start again after a `stop`."""
        self._stopping = False

    def stop(self) -> None:
        """Stop all of them, and any that another thread is just starting."""
        self._stopping = True
        _stop(list(self._running))


@contextmanager
def _pipe() -> Iterator[int]:
    yield subprocess.PIPE


def _stop(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Ask all of them to end, each once, and kill what is left of their groups when their time is over."""
    for process in processes:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + SECONDS_TO_STOP
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        _signal(process, signal.SIGKILL)  # whoever of the group is left
        process.wait()


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the group is gone
        os.killpg(process.pid, number)
