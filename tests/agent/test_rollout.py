"""Many episodes: all of them, once, within the limit, and none hidden."""

from __future__ import annotations

import asyncio
import gc

import pytest

from agentdistill.agent import run_episodes


async def test_every_job_is_done_once_and_reported_with_its_index() -> None:
    found: dict[int, int] = {}
    await run_episodes(range(50), _double, found.__setitem__, concurrency=7)
    assert found == {i: 2 * i for i in range(50)}


async def test_no_more_than_the_limit_are_in_flight() -> None:
    running = 0
    peak = 0

    async def work(_: int) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0)
        running -= 1

    await run_episodes(range(40), work, lambda index, result: None, concurrency=5)
    assert peak == 5


async def test_few_jobs_start_few_tasks() -> None:
    async def work(_: int) -> int:
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    found: list[int] = []
    await run_episodes(range(3), work, lambda index, tasks: found.append(tasks), concurrency=1_000_000)
    assert max(found) == 3 + 1


@pytest.mark.parametrize("frozen", [False, True])
async def test_collections_pass_over_what_was_there_before(frozen: bool) -> None:
    found: list[int] = []

    async def work(_: int) -> int:
        return gc.get_freeze_count()

    suite = gc.get_freeze_count()
    try:
        gc.unfreeze()
        if frozen:  # by a caller who has a reason of its own
            gc.freeze()
        await run_episodes(range(2), work, lambda index, count: found.append(count), concurrency=1)
        assert min(found) > 0
        assert (gc.get_freeze_count() > 0) is frozen
    finally:
        gc.unfreeze()
        if suite:
            gc.freeze()


async def test_jobs_are_taken_only_when_there_is_room() -> None:
    taken = 0

    def jobs() -> object:
        nonlocal taken
        for i in range(100):
            taken += 1
            yield i

    async def work(_: int) -> None:
        assert taken <= finished + 4
        await asyncio.sleep(0)

    finished = 0

    def done(index: int, result: None) -> None:
        nonlocal finished
        finished += 1

    await run_episodes(jobs(), work, done, concurrency=4)  # type: ignore[arg-type]
    assert finished == 100


async def test_a_bug_stops_the_batch() -> None:
    async def work(job: int) -> int:
        if job == 3:
            raise ZeroDivisionError
        return job

    with pytest.raises(ExceptionGroup) as caught:
        await run_episodes(range(10), work, lambda index, result: None, concurrency=2)
    assert caught.value.subgroup(ZeroDivisionError) is not None


async def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        await run_episodes([1], _double, lambda index, result: None, concurrency=0)


async def _double(job: int) -> int:
    await asyncio.sleep(0)
    return 2 * job
