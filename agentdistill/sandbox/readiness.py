"""Waiting in the event loop until a descriptor can be read or written, without touching its data."""

from __future__ import annotations

import asyncio


async def ready(descriptor: int, seconds: float, *, write: bool = False) -> bool:
    """Return True when `descriptor` is ready, False after `seconds`. Only one waiter per descriptor and direction."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[bool] = loop.create_future()

    def settle(is_ready: bool) -> None:
        if not future.done():
            future.set_result(is_ready)

    watch, unwatch = (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    watch(descriptor, settle, True)
    timer = loop.call_later(seconds, settle, False)  # less than `asyncio.wait` makes, several times an action
    try:
        return await future
    finally:
        timer.cancel()
        unwatch(descriptor)
