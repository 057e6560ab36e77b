"""Publish the stages' journals in MLflow while the stages run.

`python -m tasks.follow` is started by a stage when nobody else is at it. It ends when no journal has been open for a
while, after completing the parent run as `tasks.finalise` does; so a plain `dvc repro` leaves a complete picture too.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from tasks.finalise import finalise
from tasks.journal import FOLDER, READER_LOCK, root
from tasks.stage import load_params
from tasks.tracking import Reader, open_tracker, publish

SECONDS_BETWEEN_READS = 1.0
SECONDS_OF_SILENCE = 20.0  # longer than DVC or Prefect takes from one stage to the next


def follow(base: Path, *, silence: float = SECONDS_OF_SILENCE) -> None:
    """Publish until no journal has been open for `silence` seconds; return at once if another process does."""
    folder = base / FOLDER
    with (folder / READER_LOCK).open("w") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        params = load_params().tracking
        tracker = open_tracker(base, params.experiment)
        readers: dict[Path, Reader] = {}
        heard = time.monotonic()
        while time.monotonic() - heard < silence:
            if publish(tracker, folder, params.traces, readers):
                heard = time.monotonic()
            time.sleep(SECONDS_BETWEEN_READS)
        finalise(tracker, base)


if __name__ == "__main__":
    os.nice(10)  # the pipeline goes first
    follow(root())
