"""The ledger around a model: nothing asked twice, failures never kept."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agentdistill.errors import ModelError
from agentdistill.models.ledger_model import LedgerModel
from agentdistill.records import Completion, Message, Reply, Sampling, Usage
from agentdistill.store.ledger import Ledger

SAMPLING = Sampling(temperature=1.0, top_p=1.0, max_tokens=4)
QUESTION = [Message(role="user", text="q")]


class CountingModel:
    """Answers with the number of times it was asked, once `gate` is open; fails the first `failures` times."""

    fingerprint = "counting"

    def __init__(self, failures: int = 0) -> None:
        self.asked = 0
        self.failures = failures
        self.reached = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def sample(
        self,
        messages: Sequence[Message],
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        first: int = 0,
        prefill: str | None = None,
    ) -> Reply:
        self.asked += 1
        asked = self.asked
        self.reached.set()
        await self.gate.wait()
        if asked <= self.failures:
            raise ModelError("The server is away.")
        completion = Completion(text=str(asked), truncated=False, completion_tokens=1)
        usage = Usage(requests=1, prompt_tokens=5, completion_tokens=1, cost_usd=0.25)
        return Reply(completions=(completion,), usage=usage)


async def test_a_stage_reports_all_that_a_billed_model_took(tmp_path: Path) -> None:
    class Billed(CountingModel):
        spent = Usage(requests=7, prompt_tokens=8, completion_tokens=9, cost_usd=1.5)  # failed requests too

    with Ledger(tmp_path / "l") as ledger:
        free, billed = LedgerModel(CountingModel(), ledger), LedgerModel(Billed(), ledger)
        await free.sample(QUESTION, n=1, sampling=SAMPLING, seed=0)
        assert free.counts() == {"ledger_hits": 0, "ledger_misses": 1}
        assert billed.counts() == {
            "ledger_hits": 0,
            "ledger_misses": 0,
            "requests": 7,
            "billed_prompt_tokens": 8,
            "billed_completion_tokens": 9,
            "cost_usd": 1.5,
        }


async def test_a_hit_counts_tokens_but_neither_request_nor_dollars(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        model = LedgerModel(CountingModel(), ledger)
        first = await model.sample(QUESTION, n=1, sampling=SAMPLING, seed=0)
        again = await model.sample(QUESTION, n=1, sampling=SAMPLING, seed=0)
    assert again.completions == first.completions
    assert again.usage == Usage(requests=0, prompt_tokens=5, completion_tokens=1, cost_usd=0.0)
    assert (model.hits, model.misses) == (1, 1)


class OneByOne(CountingModel):
    """Gives the next `most` samples of whatever it is asked for, and continues a prefill `continues` times."""

    def __init__(self, failures: int = 0, most: int = 1, continues: int = 0) -> None:
        super().__init__(failures)
        self.most = most
        self.continues = continues
        self.firsts: list[int] = []

    async def sample_some(self, messages: Sequence[Message], *, n: int, first: int = 0, **options: Any) -> Reply:
        reply = await self.sample(messages, n=n, first=first, **options)
        self.firsts.append(first)
        samples = [Completion(text=str(first + i), truncated=False, completion_tokens=1) for i in range(self.most)]
        mode = None
        if options["prefill"]:
            mode = "continued" if len(self.firsts) <= self.continues else "prompted"
        return Reply(completions=tuple(samples[:n]), usage=reply.usage, prefill=mode)


def texts(reply: Reply) -> list[str]:
    return [completion.text for completion in reply.completions]


async def test_a_sample_that_was_paid_for_outlives_the_failure_of_the_next(tmp_path: Path) -> None:
    class FailsLast(OneByOne):
        async def sample_some(self, messages: Sequence[Message], **options: Any) -> Reply:
            if options["first"] == 6:
                raise ModelError("The server is away.")
            return await super().sample_some(messages, **options)

    with Ledger(tmp_path / "l") as ledger:
        failing, mended = FailsLast(), OneByOne()
        with pytest.raises(ModelError):
            await LedgerModel(failing, ledger).sample(QUESTION, n=3, sampling=SAMPLING, seed=0, first=4)
        reply = await LedgerModel(mended, ledger).sample(QUESTION, n=3, sampling=SAMPLING, seed=0, first=4)
    assert (failing.firsts, mended.firsts) == ([4, 5], [6])
    assert (texts(reply), reply.usage.requests, reply.usage.prompt_tokens) == (["4", "5", "6"], 1, 15)


@pytest.mark.parametrize(("most", "requests", "rows"), [(1, 4, 4), (3, 2, 2), (4, 1, 1)])
async def test_samples_in_parts_are_found_again_and_cost_once(
    tmp_path: Path, most: int, requests: int, rows: int
) -> None:
    with Ledger(tmp_path / "l") as ledger:
        inner = OneByOne(most=most)
        model = LedgerModel(inner, ledger)
        replies = [await model.sample(QUESTION, n=4, sampling=SAMPLING, seed=0) for _ in range(2)]
        (stats,) = ledger.stats()
    assert [texts(reply) for reply in replies] == [["0", "1", "2", "3"]] * 2
    assert [reply.usage.requests for reply in replies] == [requests, 0]
    assert (inner.asked, model.misses, model.hits) == (requests, 1, 1)
    assert (stats.replies, stats.cost_usd) == (rows, requests * 0.25)


async def test_a_server_that_ceases_to_continue_prefills_gives_no_mixed_reply(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        inner = OneByOne(continues=2)
        model = LedgerModel(inner, ledger)
        replies = [await model.sample(QUESTION, n=3, sampling=SAMPLING, seed=0, prefill="So") for _ in range(2)]
    assert inner.firsts == [0, 1, 2, 0, 1, 2]
    assert [(texts(reply), reply.prefill) for reply in replies] == [(["0", "1", "2"], "prompted")] * 2
    assert [reply.usage.requests for reply in replies] == [6, 0]


async def test_the_loser_of_a_race_has_the_usage_of_the_reply_that_stands(tmp_path: Path) -> None:
    class Longer(CountingModel):
        async def sample(self, messages: Sequence[Message], **options: Any) -> Reply:
            reply = await super().sample(messages, **options)
            return reply.model_copy(update={"usage": reply.usage.model_copy(update={"completion_tokens": 9})})

    with Ledger(tmp_path / "l") as ledger:
        slow = Longer()
        slow.gate.clear()
        loser = asyncio.create_task(LedgerModel(slow, ledger).sample(QUESTION, n=1, sampling=SAMPLING, seed=0))
        await slow.reached.wait()
        await LedgerModel(CountingModel(), ledger).sample(QUESTION, n=1, sampling=SAMPLING, seed=0)
        slow.gate.set()
        usage = (await loser).usage
    assert (usage.completion_tokens, usage.requests, usage.cost_usd) == (1, 1, 0.25)


async def test_equal_requests_in_flight_are_asked_once(tmp_path: Path) -> None:
    inner = CountingModel()
    inner.gate.clear()
    with Ledger(tmp_path / "l") as ledger:
        model = LedgerModel(inner, ledger)
        tasks = [asyncio.create_task(model.sample(QUESTION, n=1, sampling=SAMPLING, seed=0)) for _ in range(20)]
        await inner.reached.wait()
        inner.gate.set()
        replies = await asyncio.gather(*tasks)
    assert inner.asked == 1
    assert {reply.completions[0].text for reply in replies} == {"1"}
    assert sum(reply.usage.requests for reply in replies) == 1


async def test_an_answer_that_came_before_the_deadline_is_stored_after_it(tmp_path: Path) -> None:
    inner = CountingModel()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    busy = asyncio.create_task(asyncio.to_thread(time.sleep, 0.3))  # nothing can be stored meanwhile
    await asyncio.sleep(0.05)
    with Ledger(tmp_path / "l") as ledger:
        model = LedgerModel(inner, ledger)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await model.sample(QUESTION, n=1, sampling=SAMPLING, seed=0)
        await model.sample(QUESTION, n=1, sampling=SAMPLING, seed=0)
    await busy
    assert inner.asked == 1


async def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    inner = CountingModel(failures=1)
    with Ledger(tmp_path / "l") as ledger:
        model = LedgerModel(inner, ledger)
        with pytest.raises(ModelError):
            await model.sample(QUESTION, n=1, sampling=SAMPLING, seed=0)
        assert (await model.sample(QUESTION, n=1, sampling=SAMPLING, seed=0)).completions[0].text == "2"


async def test_a_cancelled_request_is_taken_over_by_the_next_in_line(tmp_path: Path) -> None:
    inner = CountingModel()
    inner.gate.clear()
    with Ledger(tmp_path / "l") as ledger:
        model = LedgerModel(inner, ledger)
        leader = asyncio.create_task(model.sample(QUESTION, n=1, sampling=SAMPLING, seed=0))
        follower = asyncio.create_task(model.sample(QUESTION, n=1, sampling=SAMPLING, seed=0))
        await inner.reached.wait()
        leader.cancel()
        inner.gate.set()
        assert (await follower).completions[0].text == "2"


async def test_a_new_process_finds_the_reply(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        await LedgerModel(CountingModel(), ledger).sample(QUESTION, n=1, sampling=SAMPLING, seed=0)
    inner = CountingModel()
    with Ledger(tmp_path / "l") as ledger:
        await LedgerModel(inner, ledger).sample(QUESTION, n=1, sampling=SAMPLING, seed=0)
    assert inner.asked == 0
