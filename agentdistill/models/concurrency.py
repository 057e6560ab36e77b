"""How many requests to keep in flight at a server of unknown capacity: additive increase, multiplicative decrease.

The limit doubles each round until the first sign of overload, then grows by one a round while the time per token holds,
and halves when the server says that it is too much (429, 5xx, timeout), at most once a round. (Chiu and Jain 1989; the
start is TCP's.)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

START = 8
SMOOTHING = 0.1  # weight of the newest request in the smoothed time per token
SLOWDOWN = 4.0  # a batching server gets slower per request as it gets faster in all; beyond this it queues


class AdaptiveLimit:
    """`limit` moves from `start` between 1 and `maximum`; `pause` holds back every new request until a moment."""

    def __init__(self, maximum: int, start: int = START) -> None:
        self.limit = float(min(start, maximum))
        self._maximum = maximum
        self._in_flight = 0
        self._changed = asyncio.Condition()
        self._slow_start = True
        self._last_cut = 0.0
        self._resume_at = 0.0
        self._seconds_per_token: float | None = None
        self._best: float | None = None

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the places; wait for one, and for the end of a pause."""
        async with self._changed:
            try:
                await self._changed.wait_for(lambda: self._free() > 0)
            except BaseException:
                self._changed.notify()  # it may have been this one's turn
                raise
            self._in_flight += 1
        try:
            while time.monotonic() < self._resume_at:  # noqa: ASYNC110 - a pause may grow while it lasts
                await asyncio.sleep(self._resume_at - time.monotonic())
            yield
        finally:
            self._in_flight -= 1
            async with self._changed:
                self._changed.notify(self._free())  # not all: there may be thousands

    def _free(self) -> int:
        """Return how many places are free; below 0 while a limit that was cut is not yet reached."""
        return max(1, int(self.limit)) - self._in_flight

    def succeeded(self, seconds: float, tokens: int) -> None:
        """Tell that a request took `seconds` for `tokens` new tokens."""
        now = seconds / max(1, tokens)
        before = self._seconds_per_token
        smoothed = now if before is None else before + SMOOTHING * (now - before)
        self._seconds_per_token = smoothed
        self._best = smoothed if self._best is None else min(self._best, smoothed)
        if smoothed > SLOWDOWN * self._best:
            self._slow_start = False
        elif 2 * self._in_flight > self.limit:  # only a limit that is used says anything
            self.limit = min(self._maximum, self.limit + (1.0 if self._slow_start else 1.0 / self.limit))

    def overloaded(self, started: float) -> None:
        """Tell that a request sent at `started` (monotonic seconds) was refused or broke off."""
        if started < self._last_cut:  # it was sent before the limit was last cut, and says nothing about the new one
            return
        self._last_cut = time.monotonic()
        self._slow_start = False
        self.limit = max(1.0, self.limit / 2)

    def pause(self, seconds: float) -> None:
        """Send nothing new for so long."""
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)
