"""What requests to a hosted model cost, the failed ones too, and the caps on it."""

from __future__ import annotations

import asyncio

import pytest

from agentdistill.errors import BudgetExceeded, ModelError
from agentdistill.records import Reply
from tests.models.fake_server import FakeServer, Fault, change, garble, hang_up, refuse
from tests.models.hosted import SAMPLING, ask, make_model

pytestmark = pytest.mark.usefixtures("quick")


async def test_caps_are_checked_before_sending() -> None:
    async with FakeServer() as server, make_model(server.url, max_requests=2) as model:
        await ask(model)
        await ask(model)
        with pytest.raises(BudgetExceeded, match="cap of 2 requests and was not sent"):
            await ask(model)
    assert len(server.bodies) == 2


@pytest.mark.parametrize("cap", [{"max_tokens": 400}, {"max_usd": 0.0004}])
async def test_caps_hold_under_concurrency(cap: dict[str, float]) -> None:
    async with FakeServer() as server, make_model(server.url, **cap) as model:
        results = await asyncio.gather(*(ask(model) for _ in range(40)), return_exceptions=True)
        taken = model.spent
    assert any(isinstance(result, BudgetExceeded) for result in results)
    assert any(isinstance(result, Reply) for result in results)
    assert taken.prompt_tokens + taken.completion_tokens <= cap.get("max_tokens", 10**9)
    assert taken.cost_usd <= cap.get("max_usd", 10**9)


async def test_a_server_that_tells_no_usage_counts_as_the_worst() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.append(change(usage=None))
        usage = (await ask(model)).usage
    assert usage.completion_tokens == 8
    assert usage.prompt_tokens > len("sq")


BROKEN = [{"index": 0, "error": {"code": 429, "message": "gone"}, "message": {"content": "hal"}}]


@pytest.mark.parametrize(
    ("fault", "free"),
    [
        (refuse(429), True),
        (refuse(503), True),
        (garble(b'{"error": {"code": 429, "message": "slow down"}}'), True),
        (refuse(500), False),
        (refuse(504), False),
        (hang_up, False),
        (garble(b'{"error": {"code": 502, "message": "the provider went away"}}'), False),
        (change(choices=BROKEN), False),
    ],
)
async def test_only_what_was_turned_away_at_once_is_free(fault: Fault, free: bool) -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.append(fault)
        tokens = (await ask(model)).usage.completion_tokens
    assert tokens == (7 if free else 7 + SAMPLING.max_tokens)


async def test_a_connection_that_nobody_takes_costs_nothing_and_is_no_sign_of_overload() -> None:
    async with FakeServer() as gone:
        url = gone.url
    async with make_model(url, max_usd=0.001) as model:
        limit = model._limit.limit
        for _ in range(40):
            with pytest.raises(ModelError, match="cannot be reached"):
                await ask(model)
        assert model._limit.limit == limit
        assert model.spent.cost_usd == 0


async def test_the_last_failure_of_a_request_slows_the_others_down_too() -> None:
    async with FakeServer() as server, make_model(server.url, attempts=1) as model:
        limit = model._limit.limit
        server.faults.append(refuse(429, headers={"retry-after": "0.2"}))
        with pytest.raises(ModelError, match="429"):
            await ask(model)
        assert model._limit.limit == limit / 2
        started = asyncio.get_running_loop().time()
        await ask(model)
        assert asyncio.get_running_loop().time() - started > 0.15
