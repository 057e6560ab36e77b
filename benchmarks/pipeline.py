"""A newcomer's run: size of a fresh clone, time of the whole pipeline and of a second run, memory.

    python -m benchmarks.pipeline

Clones the commit at HEAD into a temporary folder and runs there what `make repro` runs, with this environment. The
limits beside the figures are those that the project sets itself for two cores. Memory is the proportional set size of
all processes together, sampled once a second. Figures hold for a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

COMMANDS = (("dvc", "repro"), ("tasks.finalise",))
MIB = 1 << 20


@dataclass
class Peak:
    """The most memory that this process's descendants took together, in bytes."""

    bytes: int = 0


@contextmanager
def watched() -> Iterator[Peak]:
    """Sample the memory of all descendants until the block ends."""
    peak, over = Peak(), threading.Event()

    def sample() -> None:
        while not over.wait(1.0):
            total = 0
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    total += process.memory_full_info().pss
            peak.bytes = max(peak.bytes, total)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def reproduce(folder: Path, log: Path) -> float:
    """Run the pipeline in `folder` and return the seconds that it took."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(folder),  # the clone's code, not what is installed
        "DVC_NO_ANALYTICS": "1",
    }
    started = time.perf_counter()
    for module, *arguments in COMMANDS:
        with log.open("ab") as file:
            command = [sys.executable, "-m", module, *arguments]
            code = subprocess.run(
                command, cwd=folder, env=environment, stdout=file, stderr=file, check=False
            ).returncode
        if code:
            sys.exit(f"{' '.join(command)} ended with status {code}; see {log}.")
    return time.perf_counter() - started


def size(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, default=Path("logs/pipeline-benchmark.log"), help="output of the stages")
    arguments = parser.parse_args()
    log = arguments.log.resolve()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "clone"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(Path.cwd()), str(folder)], check=True)
        megabytes = size(folder) / MIB
        with watched() as peak:
            first = reproduce(folder, log)
            second = reproduce(folder, log)
    table = Table("what", "measured", "limit")
    table.add_row("fresh clone, MiB", f"{megabytes:.1f}", "60")
    table.add_row("the pipeline, seconds", f"{first:.0f}", "600")
    table.add_row("again, nothing changed, seconds", f"{second:.1f}", "10")
    table.add_row("peak memory of all its processes, MiB", f"{peak.bytes / MIB:.0f}", "4096")
    Console().print(table)


if __name__ == "__main__":
    main()
