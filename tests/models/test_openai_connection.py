"""The OpenAI backend's connections: used again while fresh, as many as there are requests, and given up in time."""

import asyncio

import pytest

from agentdistill.errors import ModelError
from agentdistill.models import client
from tests.models.fake_server import FakeServer, crowd, drip, hang_up
from tests.models.hosted import ask, make_model

pytestmark = pytest.mark.usefixtures("quick")


async def test_a_server_that_drips_is_given_up_in_time() -> None:
    async with FakeServer() as server, make_model(server.url, timeout_seconds=0.3, attempts=1) as model:
        server.faults.append(drip)
        with pytest.raises(ModelError, match="did not answer in time"):
            await ask(model)


async def test_a_server_that_hangs_up_is_not_said_to_be_slow() -> None:
    async with FakeServer() as server, make_model(server.url, attempts=1) as model:
        server.faults.append(hang_up)
        with pytest.raises(ModelError, match=r"cannot be reached: Response payload is not completed"):
            await ask(model)


async def test_a_connection_is_used_again_only_while_it_is_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    # A server closes idle connections, and what is sent at that moment is lost.
    monkeypatch.setattr(client, "IDLE_SECONDS", 0.2)
    async with FakeServer() as server, make_model(server.url) as model:
        await ask(model)
        await ask(model)
        assert server.connected == 1
        await asyncio.sleep(0.3)
        await ask(model)
        assert server.connected == 2


async def test_more_requests_than_a_thousand_are_in_flight() -> None:
    async with FakeServer() as server:
        server.faults.extend([crowd(1200)] * 1200)
        async with make_model(server.url, max_concurrency=1200, start_concurrency=1200, timeout_seconds=60) as model:
            await asyncio.gather(*(ask(model) for _ in range(1200)))
    assert len(server.bodies) == 1200


async def test_an_unreachable_server_is_one_sentence() -> None:
    async with FakeServer() as server:
        url = server.url
    async with make_model(url) as model:
        with pytest.raises(ModelError, match=r"cannot be reached.*Start the server"):
            await ask(model)


async def test_a_proxy_never_stands_before_this_machines_own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FakeServer() as proxy, FakeServer() as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with make_model(server.url) as model:
            await ask(model)
    assert len(server.bodies) == 1
    assert proxy.keys == []
