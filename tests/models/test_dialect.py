"""What a server takes is found out from what it refuses."""

import asyncio

import pytest

from agentdistill.errors import ModelError
from tests.models.fake_server import FakeServer, change, refuse
from tests.models.hosted import SAMPLING, ask, make_model

pytestmark = pytest.mark.usefixtures("quick")


async def test_a_server_with_one_choice_is_asked_several_times() -> None:
    async with FakeServer(choices=1) as server, make_model(server.url) as model:
        first = await ask(model, n=3)
        assert [body["n"] for body in server.bodies] == [3, 1, 1]
        await ask(model, n=2)
        assert [body["n"] for body in server.bodies[3:]] == [1, 1]
    assert len(first.completions) == first.usage.requests == 3
    assert len({body["seed"] for body in server.bodies[:3]}) == 3


async def test_a_server_that_refuses_n_is_asked_several_times() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.append(refuse(400, "n must be 1", param="n"))
        assert len((await ask(model, n=2)).completions) == 2
    assert [body["n"] for body in server.bodies] == [2, 1, 1]


async def test_the_other_name_of_the_token_limit_is_learnt() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.append(refuse(400, "Unsupported parameter: use max_completion_tokens instead"))
        await ask(model)
        await ask(model)
    assert ["max_tokens" in body for body in server.bodies] == [True, False, False]
    assert server.bodies[-1]["max_completion_tokens"] == 8


async def test_all_requests_in_flight_learn_from_the_same_refusal() -> None:
    refuses = {"max_tokens": "Unsupported parameter: use 'max_completion_tokens'"}
    async with FakeServer(refuses=refuses) as server, make_model(server.url) as model:
        replies = await asyncio.gather(*(ask(model, seed=seed) for seed in range(30)))
    assert len(replies) == 30
    assert "max_completion_tokens" in server.bodies[-1]


async def test_a_reasoning_model_is_asked_for_its_own_sampling_and_its_text_is_cut_here() -> None:
    said = [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "fine END of it"}}]
    refuses = {name: f"Unsupported parameter: '{name}'" for name in ("temperature", "top_p", "stop", "seed")}
    async with FakeServer(refuses=refuses) as server, make_model(server.url, fixed_sampling=True) as model:
        await ask(model)
        server.faults.append(change(choices=said))
        assert (await ask(model)).completions[0].text == "fine "
    assert server.bodies[-1].keys() == {"model", "messages", "n", "max_tokens"}


async def test_a_temperature_that_is_refused_is_dropped_only_where_it_says_nothing() -> None:
    ordinary, greedy = (SAMPLING.model_copy(update={"temperature": value}) for value in (1.0, 0.0))
    refuses = {"temperature": "Unsupported value: 'temperature'"}
    async with FakeServer(refuses=refuses) as server, make_model(server.url) as model:
        for _ in range(2):
            assert await ask(model, sampling=ordinary)
            with pytest.raises(ModelError, match="set fixed_sampling: true"):
                await ask(model, sampling=greedy)


async def test_a_refusal_that_repeats_the_request_blames_none_of_its_fields() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        said = "[{'loc': ('body', 'messages', 0), 'input': {'n': 4, 'temperature': 1.0, 'seed': 7, 'stop': ['END']}}]"
        server.faults.append(refuse(400, said))
        with pytest.raises(ModelError, match="status 400"):
            await ask(model)
        await ask(model, n=2)
    assert server.bodies[-1].keys() >= {"n", "temperature", "top_p", "seed", "stop"}


async def test_nothing_is_learnt_from_a_refusal_that_had_another_reason() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.extend([refuse(400, "seed is odd"), refuse(400, "It is not the seed, it is the question.")])
        with pytest.raises(ModelError, match="it is the question"):
            await ask(model)
        await ask(model)
    assert "seed" in server.bodies[-1]
