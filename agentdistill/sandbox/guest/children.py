"""The processes that this one forked, by the number of the request that made them, and how they ended."""

from __future__ import annotations

import contextlib
import os
from typing import Any

MOST_ENDINGS = 1024  # kept; the host asks at once, and the zygote has a child for each episode there ever was


class Children:
    """Those of the calling process; a fork begins with new ones."""

    def __init__(self) -> None:
        self._requests: dict[int, int] = {}  # those of living children, by pid
        self._endings: dict[int, tuple[int, float]] = {}  # by request, oldest first

    def add(self, request: int, pid: int) -> None:
        self._requests[pid] = request

    def reap(self) -> None:
        """Let go of those that died, and of orphans that died."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if not pid:
                    break
                request = self._requests.pop(pid, None)
                if request is not None:
                    self._endings[request] = (status, usage.ru_utime + usage.ru_stime)
        while len(self._endings) > MOST_ENDINGS:
            del self._endings[next(iter(self._endings))]

    def ending(self, request: int) -> dict[str, Any]:
        """The wait status and the computing time of the child that `request` made; None for both if it lives."""
        self.reap()
        status, seconds = self._endings.get(request, (None, None))
        return {"status": status, "cpu_seconds": seconds}
