"""What tests ask about processes."""

from __future__ import annotations

import os

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


def in_group(group: int) -> list[int]:
    """Pids of the running processes of a process group."""
    return [pid for pid in psutil.pids() if alive(pid) and _group(pid) == group]


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):  # gone meanwhile, or, on macOS, another user's
        return None
