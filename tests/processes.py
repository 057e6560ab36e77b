"""What tests ask about processes."""

from __future__ import annotations

import psutil


def below(ancestor: int) -> list[int]:
    """Pids of all living or undead descendants of `ancestor`."""
    return [process.pid for process in psutil.Process(ancestor).children(recursive=True)]


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie only waits for its parent to notice."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
