"""Runs a command for as long as its owner lives: `python tether.py PROGRAM [ARGUMENT ...]`.

Standard input is a pipe whose other end the owner holds and never writes to. However the owner ends, `kill -9`
included, the system closes that end; the command then gets SIGTERM with everything in its process group, which this
process leads, and SIGKILL if that does not end it. A parent-death signal would reach the command alone, not what it
started, and not on every system.

It imports nothing of the package, so that the owner can run it by its path and it is there at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

STOP_SECONDS = 5.0  # from the polite signal to the kill


def main(command: Sequence[str]) -> int:
    """Return the command's exit status, 128 and the signal's number where a signal ended it, as shells do."""
    signal.signal(signal.SIGTERM, _stay)  # sent to the whole group: the command decides when this ends
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    alone = threading.Event()
    threading.Thread(target=_stop_when_alone, args=(alone,), daemon=True).start()
    status = process.wait()
    if alone.is_set():
        os.killpg(0, signal.SIGKILL)  # what the command left behind, and this
    return status if status >= 0 else 128 - status


def _stay(*_: object) -> None: ...


def _stop_when_alone(alone: threading.Event) -> None:
    os.read(0, 1)
    alone.set()
    os.killpg(0, signal.SIGTERM)
    threading.Event().wait(STOP_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
