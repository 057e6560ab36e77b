"""Many episodes at once, on one event loop, with bounded memory.

A fixed number of workers takes jobs from an iterator, so only the episodes in flight are held. Each finished record
goes to the sink at once. Whatever an episode's own boundary did not catch (a bug) stops the batch: it is not data.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

J = TypeVar("J")
R = TypeVar("R")


async def run_episodes(
    jobs: Iterable[J],
    work: Callable[[J], Awaitable[R]],
    done: Callable[[int, R], None],
    *,
    concurrency: int,
) -> None:
    """Run `work` over `jobs`, at most `concurrency` at a time, and call `done(index of the job, result)` for each.

    `done` is called in order of completion, on the event loop.

    Raises:
        ValueError: `concurrency` is below 1.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency must be at least 1, got {concurrency}.")
    queue = iter(enumerate(jobs))

    async def worker(index: int, job: J) -> None:
        done(index, await work(job))
        for following, another in queue:  # shared by all workers; taking the next one never awaits
            done(following, await work(another))

    frozen = gc.get_freeze_count() > 0  # by the caller, who may want it to stay so
    gc.freeze()  # else each full collection walks torch and all other modules, half a second without an episode
    try:
        async with asyncio.TaskGroup() as group:
            # A worker for each of the first jobs, and no more where there are few.
            for index, job in itertools.islice(queue, concurrency):
                group.create_task(worker(index, job))
    finally:
        if not frozen:
            gc.unfreeze()
