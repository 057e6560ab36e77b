"""Killed with -9 at any moment and started again, a run ends as an undisturbed one and asks almost nothing twice."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path

import pytest

from tests.models.fake_server import Body, FakeServer
from tests.models.hosted import make_options

ROOT = Path(__file__).parents[2]
QUESTIONS = 60
CONCURRENCY = 4
KILLS = 20

PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from agentdistill.models.factory import open_model
from agentdistill.records import Message, Sampling

options, ledger, count = json.loads(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=8)

async def main():
    async with open_model("openai", options, ledger=ledger) as model:
        ask = lambda i: model.sample([Message(role="user", text=f"q{i}")], n=2, sampling=sampling, seed=i)
        replies = await asyncio.gather(*map(ask, range(count)))
    print(json.dumps([reply.completions[1].text for reply in replies]))

asyncio.run(main())
"""


class CountingServer(FakeServer):
    """Says every text once only: the answers of two runs are equal only where the second one did not ask."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.reached = asyncio.Event()
        self.target = -1

    def completion(self, body: Body) -> Body:
        self.asked += 1
        if self.asked == self.target:
            self.reached.set()
        made = super().completion(body)
        for choice in made["choices"]:
            choice["message"]["content"] += f" at {self.asked}"
        return made


async def start(server: FakeServer, ledger: Path) -> asyncio.subprocess.Process:
    options = make_options(
        server.url, identity="same", api_key_env=None, max_concurrency=CONCURRENCY, timeout_seconds=60.0, attempts=1
    )
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, json.dumps(options), str(ledger), str(QUESTIONS)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_run_killed_many_times_asks_almost_nothing_twice(tmp_path: Path) -> None:
    moments = random.Random(0)
    async with CountingServer() as server:
        for _ in range(KILLS):
            server.target = server.asked + moments.randint(1, QUESTIONS // KILLS)
            server.reached.clear()
            process = await start(server, tmp_path / "ledger")
            reached = asyncio.create_task(server.reached.wait())
            ended = asyncio.create_task(process.communicate())
            await asyncio.wait({reached, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                process.kill()
            reached.cancel()
            await ended
        process = await start(server, tmp_path / "ledger")
        first, _ = await process.communicate()
        asked = server.asked
        process = await start(server, tmp_path / "ledger")
        again, _ = await process.communicate()
    texts = json.loads(first)
    assert [text.split(" at ")[0] for text in texts] == [f"reply 1 to q{i}" for i in range(QUESTIONS)]
    assert json.loads(again) == texts
    assert server.asked == asked  # a finished run asks nothing
    assert asked <= QUESTIONS + KILLS * CONCURRENCY  # only what was in flight at a kill is asked again
