"""The ledger around a model: nothing asked twice, failures never kept."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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
