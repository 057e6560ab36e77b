"""The driver's processor time for one request to an OpenAI-compatible server, by the number of requests in flight.

`python -m benchmarks.client [--requests N]` sends requests with eight short choices to a server in another process
that answers after 0.3 s, and prints one table: `OpenAIModel`, whose client sends through aiohttp; the official client
as it comes, over httpx, with nothing of ours around it; and aiohttp alone, which is the floor.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import socket
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import aiohttp
import openai
from aiohttp import web
from rich.console import Console
from rich.table import Table

from agentdistill.models.openai_model import OpenAIModel
from agentdistill.records import Message, Sampling

IN_FLIGHT = (32, 256, 1024)
SAMPLES = 8
LATENCY_SECONDS = 0.3
TEXT = "Thought: I compute it.\nCode:\n```py\nx = 6 * 7\nx\n```"
MESSAGES = [Message(role="system", text="s" * 800), Message(role="user", text="q" * 200)]
SAMPLING = Sampling(temperature=0.7, top_p=1.0, max_tokens=96, stop=("Observation:",))
Ask = Callable[[int], Awaitable[Any]]


def serve(listener: socket.socket) -> None:
    choices = [
        {"index": i, "finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}} for i in range(SAMPLES)
    ]
    usage = {"prompt_tokens": 300, "completion_tokens": 200, "total_tokens": 500}
    answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}

    async def complete(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(LATENCY_SECONDS)
        return web.json_response(answer)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    web.run_app(app, sock=listener, print=None)


async def milliseconds(ask: Ask, requests: int, in_flight: int) -> float:
    """Return the processor time of this process for each request."""
    places = asyncio.Semaphore(in_flight)

    async def one(number: int) -> None:
        async with places:
            await ask(number)

    await asyncio.gather(*map(one, range(in_flight)))  # opens the connections
    started = time.process_time()
    await asyncio.gather(*map(one, range(requests)))
    return 1000 * (time.process_time() - started) / requests


async def measure(url: str, requests: int, in_flight: int) -> list[float]:
    fields = {
        "model": "m",
        "messages": [{"role": message.role, "content": message.text} for message in MESSAGES],
        "n": SAMPLES,
        "temperature": SAMPLING.temperature,
        "max_tokens": SAMPLING.max_tokens,
        "stop": list(SAMPLING.stop),
    }
    took = []
    async with OpenAIModel.of_own_server(
        "m",
        url,
        identity="benchmark",
        api_key="none",
        max_concurrency=in_flight,
        timeout_seconds=60,
        attempts=1,
    ) as model:
        sample = partial(model.sample, MESSAGES, n=SAMPLES, sampling=SAMPLING)
        took.append(await milliseconds(lambda seed: sample(seed=seed), requests, in_flight))
    async with openai.AsyncOpenAI(base_url=url, api_key="none", timeout=60) as client:
        create: Any = client.chat.completions.create
        took.append(await milliseconds(lambda seed: create(**fields, seed=seed), requests, in_flight))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post(seed: int) -> Any:
            async with session.post(f"{url}/chat/completions", json={**fields, "seed": seed}) as response:
                return await response.json()

        took.append(await milliseconds(post, requests, in_flight))
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3_000)
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0), backlog=max(IN_FLIGHT)) as listener:
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(listener,), daemon=True)
        server.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        table = Table("in flight", "ours, ms a request", "openai over httpx", "aiohttp alone")
        for in_flight in IN_FLIGHT:
            took = asyncio.run(measure(url, arguments.requests, in_flight))
            table.add_row(str(in_flight), *(f"{milliseconds:.2f}" for milliseconds in took))
        server.terminate()
    Console().print(table)


if __name__ == "__main__":
    main()
