"""The OpenAI backend against a server that misbehaves in every way a server can."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentdistill.errors import ContextOverflow, ModelError, ModelUnusable
from agentdistill.models.factory import open_model
from agentdistill.models.openai_model import OpenAIModel
from agentdistill.records import Message
from tests.models.fake_server import FakeServer, Fault, change, garble, hang_up, refuse
from tests.models.hosted import KEY, QUESTION, SAMPLING, ask, make_model, make_options

pytestmark = pytest.mark.usefixtures("quick")


async def test_a_request_says_what_was_asked() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        reply = await ask(model, n=3)
    (body,) = server.bodies
    assert body["messages"] == [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    wanted = {"model": "m", "n": 3, "temperature": 0.7, "top_p": 0.9, "max_tokens": 8, "stop": ["END"], "seed": 5}
    assert wanted.items() <= body.items()
    assert [c.text for c in reply.completions] == [f"reply {i} to q" for i in range(3)]
    assert (reply.usage.requests, reply.usage.prompt_tokens, reply.usage.completion_tokens) == (1, 25, 21)
    assert reply.usage.cost_usd == pytest.approx((25 * 1 + 21 * 2) / 1e6)
    assert sum(c.completion_tokens for c in reply.completions) == 21


@pytest.mark.parametrize(
    "fault",
    [
        refuse(429, headers={"retry-after": "0.01"}),
        refuse(429, headers={"retry-after-ms": "1"}),
        refuse(429, headers={"retry-after": "nan"}),
        refuse(429, headers={"retry-after": "-5"}),
        refuse(500),
        refuse(503),
        hang_up,
        garble(b'{"choices": [{"mess'),
        garble(b"<html>gateway</html>"),
        garble(b"[]"),
        garble(b"\xff\xfe"),
        change(choices=[]),
        change(choices=None),
        change(choices=[None]),
        change(choices=[{"index": 0, "finish_reason": "stop"}]),
        change(choices=[{"index": 0, "finish_reason": "error", "message": {"role": "assistant", "content": "hal"}}]),
        change(choices=[{"index": 0, "error": {"code": 502, "message": "gone"}, "message": {"content": "hal"}}]),
        garble(b'{"error": {"code": 429, "message": "slow down"}}'),
    ],
)
async def test_a_passing_fault_is_retried(fault: Fault) -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.append(fault)
        reply = await ask(model)
    assert reply.completions[0].text == "reply 0 to q"
    assert reply.usage.requests == len(server.bodies) == 2


async def test_retries_end() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.extend([refuse(500, "on fire")] * 9)
        with pytest.raises(ModelError, match=r"on fire.*failed 3 times in a row"):
            await ask(model)
    assert len(server.bodies) == 3


async def test_retry_after_holds_back_every_request() -> None:
    loop = asyncio.get_running_loop()
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.append(refuse(429, headers={"retry-after": "0.3"}))
        start = loop.time()
        first = asyncio.create_task(ask(model))
        while not server.bodies:  # noqa: ASYNC110 - the server is not told what it is tested for
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        await asyncio.gather(first, *(ask(model) for _ in range(3)))
        assert loop.time() - start > 0.3
        assert len(server.bodies) == 5


@pytest.mark.parametrize(
    ("fault", "kind", "sentence"),
    [
        (refuse(401, f"bad key {KEY}"), ModelError, "refused the key in the environment variable TEST_MODEL_KEY"),
        (refuse(404, "no such model"), ModelError, "has no model 'm'.*Correct the model's name"),
        (refuse(400, "maximum context length is 4096 tokens"), ContextOverflow, "do not fit into 'm'"),
        (refuse(429, "pay first", code="insufficient_quota"), ModelError, "pay first"),
        (refuse(429, headers={"retry-after": "86400"}), ModelUnusable, "429.*wait for 86400 seconds: run the"),
        (refuse(400, "temperature out of range"), ModelError, "status 400: .*temperature out of range.*fixed_sampling"),
        (garble(b'{"error": {"code": 402, "message": "Insufficient credits"}}'), ModelUnusable, "Insufficient credits"),
        (
            garble(b'{"error": {"code": 400, "message": "Provider error", "metadata": {"raw": "bad schema"}}}'),
            ModelError,
            "Provider error: bad schema",
        ),
    ],
)
async def test_a_lasting_fault_is_one_sentence_at_once(fault: Fault, kind: type[Exception], sentence: str) -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.append(fault)
        with pytest.raises(kind, match=sentence) as caught:
            await ask(model)
    assert len(server.bodies) == 1
    assert KEY not in str(caught.value)


async def test_a_missing_key_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_MODEL_KEY")
    with pytest.raises(ModelError, match="environment variable TEST_MODEL_KEY is not set"):
        make_model("http://127.0.0.1:9/v1")


async def test_further_samples_have_the_seeds_that_a_larger_request_would_have_given_them() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        await ask(model, n=2, seed=2**31 - 1, first=4)
    (body,) = server.bodies
    assert (body["n"], body["seed"]) == (2, 3)  # of 31 bits


async def test_more_choices_than_asked_for_are_dropped() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.append(
            change(choices=server.completion({"messages": [{"content": "q"}], "model": "m", "n": 4})["choices"])
        )
        assert len((await ask(model, n=2)).completions) == 2


async def test_after_a_lasting_fault_of_the_account_nothing_more_is_sent() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.append(refuse(401, "no"))
        for _ in range(3):
            with pytest.raises(ModelUnusable, match="refused the key"):
                await ask(model)
    assert len(server.bodies) == 1


async def test_odd_but_whole_replies_are_read() -> None:
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": "two \ud83d"}, {"type": "image"}]
    message = {"role": "assistant", "content": parts}
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.append(change(choices=[{"index": 0, "finish_reason": None, "message": message}]))
        server.faults.append(change(usage={"prompt_tokens": None, "completion_tokens": None}))
        reply = await ask(model)
        assert reply.completions[0].text == "one two \ufffd"
        assert reply.model_dump_json()
        assert (await ask(model)).usage.completion_tokens == SAMPLING.max_tokens  # the most it could take


@pytest.mark.parametrize("stored", [f"{KEY}\n", f" {KEY} "])
async def test_space_around_a_key_is_not_part_of_it(monkeypatch: pytest.MonkeyPatch, stored: str) -> None:
    monkeypatch.setenv("TEST_MODEL_KEY", stored)
    async with FakeServer() as server, make_model(server.url) as model:
        await ask(model)
    assert server.keys == [f"Bearer {KEY}"]


def test_what_cannot_be_a_key_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_MODEL_KEY", f"{KEY}\nsecond line")
    with pytest.raises(ModelError, match="TEST_MODEL_KEY holds no key") as caught:
        make_model("http://127.0.0.1:9/v1")
    assert KEY not in str(caught.value)


async def test_finish_reason_length_is_truncated() -> None:
    async with FakeServer(finish="length") as server, make_model(server.url) as model:
        assert (await ask(model)).completions[0].truncated


async def test_a_filtered_reply_is_an_empty_text() -> None:
    empty = [{"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": None}}]
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.append(change(choices=empty))
        assert (await ask(model)).completions[0].text == ""


async def test_a_prefill_is_continued_where_the_server_can() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        replies = [await ask(model, prefill="Thought: x") for _ in range(2)]
    assert [reply.prefill for reply in replies] == ["continued"] * 2
    assert len(server.bodies) == 4  # two to find out
    assert server.bodies[-1]["messages"][-1] == {"role": "assistant", "content": "Thought: x"}
    assert server.bodies[-1]["continue_final_message"] is True
    assert server.bodies[-1]["add_generation_prompt"] is False


@pytest.mark.parametrize("refusing", [True, False])
async def test_a_prefill_is_prompted_for_where_the_server_cannot(refusing: bool) -> None:
    async with FakeServer(continues=False) as server, make_model(server.url) as model:
        if refusing:
            server.faults.append(refuse(400, "Unrecognized request argument: continue_final_message"))
        reply = await ask(model, prefill="Thought: x")
    assert reply.prefill == "prompted"
    last = server.bodies[-1]["messages"][-1]
    assert last["role"] == "user"
    assert last["content"].startswith("q\n")
    assert last["content"].endswith("Thought: x")
    assert "continue_final_message" not in server.bodies[-1]


async def test_a_server_that_refuses_to_continue_only_later_is_asked_in_the_prompt() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        await ask(model, prefill="Thought: x")
        server.faults.append(refuse(400, "continue_final_message is set but the final message does not appear"))
        assert (await ask(model, prefill="Thought: x")).prefill == "prompted"


async def test_a_server_that_refuses_to_be_probed_is_asked_in_the_prompt() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        server.faults.append(refuse(400, "Invalid request"))
        assert (await ask(model, prefill="Thought: x")).prefill == "prompted"


async def test_what_a_model_wrote_to_a_prompted_prefill_is_whole() -> None:
    text = [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Thought: x and more"}}]
    async with FakeServer(continues=False) as server, make_model(server.url) as model:
        await ask(model, prefill="Thought: x")
        server.faults.append(change(choices=text))
        assert (await ask(model, prefill="Thought: x")).completions[0].text == "Thought: x and more"


async def test_a_conversation_stays_at_its_replica() -> None:
    async with FakeServer() as one, FakeServer() as two, make_model(one.url, two.url) as model:
        for i in range(20):
            begun = [Message(role="system", text="s"), Message(role="user", text=f"q{i}")]
            turn = [Message(role="assistant", text="a"), Message(role="user", text="o")]
            await ask(model, messages=begun)
            await ask(model, messages=begun + turn)
    questions = [{body["messages"][1]["content"] for body in server.bodies} for server in (one, two)]
    assert questions[0].isdisjoint(questions[1])
    assert all(questions)


async def test_a_conversation_stays_at_its_copy_of_the_model() -> None:
    async with FakeServer() as server, make_model(server.url, copies=3) as model:
        for i in range(20):
            begun = [Message(role="system", text="s"), Message(role="user", text=f"q{i}")]
            turn = [Message(role="assistant", text="a"), Message(role="user", text="o")]
            await ask(model, messages=begun)
            await ask(model, messages=begun + turn)
    ranks = [headers["x-data-parallel-rank"] for headers in server.headers]
    assert ranks[::2] == ranks[1::2]
    assert set(ranks) == {"0", "1", "2"}


async def test_one_copy_is_not_asked_for() -> None:
    async with FakeServer() as server, make_model(server.url) as model:
        await ask(model)
    assert "x-data-parallel-rank" not in server.headers[0]


async def test_a_dead_replica_hands_over_to_the_next() -> None:
    async with FakeServer() as dead:
        url = dead.url
    async with FakeServer() as alive, make_model(url, alive.url) as model:
        for i in range(8):
            await ask(model, messages=[Message(role="user", text=f"q{i}")])


def fingerprints() -> Iterator[str]:
    one, two = "http://a/v1", "http://b/v1"
    for model, urls, identity in (
        ("m", [one], None),
        ("k", [one], None),
        ("m", [two], None),
        ("m", [one, two], None),
        ("m", [one], "v1"),
        ("m", [one], "v2"),
    ):
        yield OpenAIModel(**{**make_options(*urls, identity=identity), "model": model}).fingerprint
    yield make_model(one, fixed_sampling=True).fingerprint


def test_fingerprints_differ_where_the_answers_may() -> None:
    assert all(one != two for one, two in itertools.combinations(fingerprints(), 2))


def test_an_identity_stands_for_the_urls() -> None:
    one, two = (make_model(url, identity="v1").fingerprint for url in ("http://a/v1", "http://b/v1"))
    assert one == two


async def test_the_key_reaches_the_server_and_no_file(tmp_path: Path) -> None:
    async with FakeServer() as server:
        options = make_options(server.url)
        async with open_model("openai", options, ledger=tmp_path / "ledger") as model:
            await model.sample(QUESTION, n=1, sampling=SAMPLING, seed=0)
            files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}  # noqa: ASYNC240
    assert server.keys == [f"Bearer {KEY}"]
    assert "ledger" in files
    assert not any(KEY.encode() in content for content in files.values())


async def test_an_adapter_for_an_openai_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="takes no adapter"):
        async with open_model("openai", make_options("http://a/v1"), ledger=tmp_path / "l", adapter=tmp_path):
            pass
