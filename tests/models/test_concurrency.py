"""The number of requests in flight: grows when used and fast, halves on overload, stays within its bounds."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from agentdistill.models.concurrency import AdaptiveLimit


async def run_round(limit: AdaptiveLimit, seconds: float = 1.0) -> int:
    """Fill the limit, let every request succeed in `seconds`, and return how many there were."""
    number = int(limit.limit)
    async with AsyncExitStack() as stack:
        for _ in range(number):
            await stack.enter_async_context(limit.slot())
        for _ in range(number):
            limit.succeeded(seconds, tokens=10)
    return number


async def test_it_doubles_at_first_and_stops_at_its_maximum() -> None:
    limit = AdaptiveLimit(maximum=50)
    rounds = [await run_round(limit) for _ in range(5)]
    assert rounds[0] == 8
    assert rounds[1] == 16
    assert rounds[-1] == 50


async def test_it_halves_on_overload_then_grows_by_one_a_round() -> None:
    limit = AdaptiveLimit(maximum=50)
    for _ in range(5):
        await run_round(limit)
    limit.overloaded(time.monotonic())
    assert limit.limit == 25
    await run_round(limit)
    assert 25.9 < limit.limit <= 26


async def test_requests_of_one_round_halve_it_once() -> None:
    limit = AdaptiveLimit(maximum=50)
    started = time.monotonic()
    for _ in range(8):
        limit.overloaded(started)
    assert limit.limit == 4
    for _ in range(20):
        limit.overloaded(time.monotonic())
    assert limit.limit == 1


async def test_it_does_not_grow_when_replies_get_slow() -> None:
    limit = AdaptiveLimit(maximum=10_000)
    await run_round(limit)
    for _ in range(6):
        await run_round(limit, seconds=100.0)
    slow = limit.limit
    await run_round(limit, seconds=100.0)
    assert limit.limit == slow < 10_000


async def test_it_does_not_grow_when_it_is_not_used() -> None:
    limit = AdaptiveLimit(maximum=50)
    for _ in range(20):
        async with limit.slot():
            limit.succeeded(1.0, tokens=10)
    assert limit.limit == 8


async def test_no_more_than_the_limit_are_in_flight() -> None:
    limit = AdaptiveLimit(maximum=3)
    running, most = 0, 0

    async def request() -> None:
        nonlocal running, most
        async with limit.slot():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(request() for _ in range(20)))
    assert most == 3


async def test_a_pause_holds_back_new_requests() -> None:
    limit = AdaptiveLimit(maximum=3)
    limit.pause(0.05)
    start = time.monotonic()
    async with limit.slot():
        assert time.monotonic() - start >= 0.05


async def test_a_pause_that_grows_while_it_lasts_is_kept_to_its_end() -> None:
    limit = AdaptiveLimit(maximum=3)
    limit.pause(0.05)
    start = time.monotonic()

    async def wait() -> float:
        async with limit.slot():
            return time.monotonic() - start

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0.02)
    limit.pause(0.1)
    assert await waiting >= 0.12


async def test_a_server_of_known_capacity_is_filled_at_once() -> None:
    limit = AdaptiveLimit(maximum=50, start=50)
    assert limit.limit == 50
    limit.overloaded(started=time.monotonic())
    assert limit.limit == 25


async def test_one_that_gives_up_when_its_turn_comes_passes_it_on() -> None:
    limit = AdaptiveLimit(maximum=1)
    entered: list[str] = []

    async def enter(name: str) -> None:
        async with limit.slot():
            entered.append(name)

    async with limit.slot():
        first, second = asyncio.create_task(enter("first")), asyncio.create_task(enter("second"))
        await asyncio.sleep(0)
    first.cancel()  # it was woken, and has not run yet
    await asyncio.wait_for(second, timeout=5)
    assert entered == ["second"]


async def test_a_free_place_wakes_no_more_than_can_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    free = AdaptiveLimit._free

    def counted(limit: AdaptiveLimit) -> int:
        nonlocal looked
        looked += 1
        return free(limit)

    monkeypatch.setattr(AdaptiveLimit, "_free", counted)
    limit = AdaptiveLimit(maximum=2)

    async def one() -> None:
        async with limit.slot():
            await asyncio.sleep(0)

    await asyncio.gather(*(one() for _ in range(500)))
    assert looked < 10 * 500
