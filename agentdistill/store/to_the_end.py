"""Work in a thread that a cancelled coroutine does not leave half done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

Ts = TypeVarTuple("Ts")
R = TypeVar("R")


async def to_the_end(function: Callable[[*Ts], R], *args: *Ts) -> R:
    """As `asyncio.to_thread`, but a cancellation takes effect when `function` has returned: what is paid for gets
    stored, also when its episode's deadline passes meanwhile."""
    # A future, not a task: the end of `asyncio.run` cancels tasks, and work that waits for a thread with them.
    work = asyncio.get_running_loop().run_in_executor(None, function, *args)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
