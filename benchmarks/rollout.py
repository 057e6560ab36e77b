"""The rollout driver beside raw generation, beside another agent loop, resumed beside fresh, and its memory.

    python -m benchmarks.rollout                            # the transformers backend
    python -m benchmarks.rollout --vllm .venv-vllm          # also on a vLLM server, beside smolagents
    python -m benchmarks.rollout --parts raw --layers 32 --episodes 256    # with a model eight times as dear
    python -m benchmarks.rollout --parts memory

Every comparison is made in one run, on one engine and the same questions of the embedded world:

- `raw`: the requests of a finished rollout once more, all known beforehand, as one batch: the same prompts, the same
  seeds, hence the same lengths. What the rollout loses to it goes to code, to search and to waiting for the next turn.
- `smolagents`: a `CodeAgent` in a thread for each episode against the same server (`smolagents_loop.py`): N requests a
  step, as its model class offers, and one request for all N, which is kinder to it than its own interface.
- `resumed`: the same rollout again over its own ledger. All other rollouts start with an empty one.
- `memory`: peak resident memory of the process that drives N episodes with a model that answers at once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agentdistill.action import STOP_STRINGS
from agentdistill.agent import Agent, run_episodes
from agentdistill.config import Params, load_params
from agentdistill.models.ledger_model import LedgerModel
from agentdistill.models.openai_model import OpenAIModel
from agentdistill.models.process_model import ProcessModel
from agentdistill.models.tokenizer import link_files
from agentdistill.models.vllm_model import WHOLE_PROMPTS, is_cpu_build
from agentdistill.models.vllm_server import VllmServer
from agentdistill.prompts import load_prompts
from agentdistill.protocols import Model, Session
from agentdistill.records import Completion, Message, Problem, Reply, Sampling, Trajectory, Usage
from agentdistill.retrieval import LuceneRetriever, build_index
from agentdistill.sandbox import LedgerSession, Sandbox
from agentdistill.store.ledger import Ledger
from agentdistill.store.spool import spool
from agentdistill.tools import SearchTool
from agentdistill.world import build
from benchmarks.deepened import deepen
from benchmarks.smolagents_loop import smolagents_loop

MODEL = Path("models/embedded/teacher")
PARTS = ("raw", "resumed", "memory")
MEMORY_EPISODES = (1_000, 20_000)
CONTEXT_TOKENS = 1024
Row = tuple[str, str, str, str]  # what, ours, the other's, the ratio


@dataclass
class Asked:
    """A model that remembers what it was asked, so that it can be asked again."""

    model: Model
    requests: list[dict[str, Any]] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return self.model.fingerprint

    async def sample(
        self, messages: Sequence[Message], *, n: int, sampling: Sampling, seed: int, prefill: str | None = None
    ) -> Reply:
        request: dict[str, Any] = {"messages": messages, "n": n, "sampling": sampling, "seed": seed, "prefill": prefill}
        self.requests.append(request)
        return await self.model.sample(**request)


class Instant:
    """Answers at once: a calculation, then its result."""

    fingerprint = "instant"
    turns = (
        "Thought: I calculate.\nCode:\n```py\nx = 6 * 7\nx\n```",
        "Thought: Done.\nCode:\n```py\nfinal_answer(x)\n```",
    )

    async def sample(self, messages: Sequence[Message], *, n: int, **_: object) -> Reply:
        turn = self.turns[min(len(messages) // 2 - 1, 1)]
        completion = Completion(text=turn, truncated=False, completion_tokens=len(turn) // 3)
        return Reply(completions=(completion,) * n, usage=Usage())


@dataclass
class Tools:
    box: Sandbox
    search: SearchTool


@asynccontextmanager
async def code_tool(params: Params) -> AsyncIterator[Tools]:
    """The sandbox and the search tool of the pipeline, over the world's articles."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "index"
        index = params.index
        build_index(build(7).passages, folder, language=index.language, stemmer=index.stemmer, threads=1)
        retriever = LuceneRetriever(folder, k1=params.search.k1, b=params.search.b)
        search = SearchTool(retriever, k=params.search.top_k, max_chars=params.search.max_chars)
        yield Tools(await stack.enter_async_context(Sandbox(**params.sandbox.model_dump())), search)


def questions(count: int) -> list[Problem]:
    problems = [problem for problem in build(7).problems if problem.split == "train"]
    return [
        problem.model_copy(update={"id": f"{problem.id}-{i}"})
        for i, problem in enumerate(islice(cycle(problems), count))
    ]


def agent_of(model: Model, *, candidates: int, temperature: float) -> Agent:
    return Agent(
        model=model,
        system_prompt=load_prompts("embedded").agent_teacher,
        sampling=Sampling(temperature=temperature, top_p=1.0, max_tokens=96, stop=STOP_STRINGS),
        candidates=candidates,
        max_steps=4,
        deadline_seconds=600,
        recipe="benchmark",
        seed=0,
    )


async def roll_out(
    agent: Agent, tools: Tools, problems: Sequence[Problem], concurrency: int, ledger: Ledger | None = None
) -> list[Trajectory]:
    """Roll out as the stages do, over `ledger` or an empty one."""
    found: list[Trajectory] = []

    async def open_session() -> Session:
        return LedgerSession(lambda: tools.box.session((tools.search,)), actions, "benchmark")

    async def solve(problem: Problem) -> Trajectory:
        return await agent.solve(problem, open_session)

    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as empty:
        actions = ledger or empty
        await run_episodes(problems, solve, lambda _, trajectory: found.append(trajectory), concurrency=concurrency)
    failed = Counter(t.stop for t in found if t.stop.endswith("error"))
    if failed:
        raise SystemExit(f"Episodes failed: {dict(failed)}; {next(t.error for t in found if t.error)}")
    return found


async def timed(work: Awaitable[Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = await work
    return time.perf_counter() - started, result


async def beside_raw(model: Model, tools: Tools, problems: Sequence[Problem], concurrency: int, name: str) -> Row:
    """(a) tokens per second of a rollout, and of its own requests as one batch."""
    asked = Asked(model)
    agent = agent_of(asked, candidates=1, temperature=0.7)
    await roll_out(agent, tools, problems, concurrency)  # so that both find the prompts in the engine's cache
    asked.requests.clear()
    seconds, found = await timed(roll_out(agent, tools, problems, concurrency))
    tokens = sum(t.usage.completion_tokens for t in found)
    raw_seconds, replies = await timed(asyncio.gather(*(model.sample(**request) for request in asked.requests)))
    raw_tokens = sum(reply.usage.completion_tokens for reply in replies)
    rate, raw = tokens / seconds, raw_tokens / raw_seconds
    return f"{name}: rollout / raw, tokens/s", f"{rate:,.0f}", f"{raw:,.0f}", f"{rate / raw:.2f}"


async def resumed(model: Model, tools: Tools, problems: Sequence[Problem], concurrency: int) -> Row:
    """(c) seconds of a rollout, and of the same one when the ledger has every answer."""
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        agent = agent_of(LedgerModel(model, ledger), candidates=1, temperature=0.7)
        fresh, first = await timed(roll_out(agent, tools, problems, concurrency, ledger))
        again, second = await timed(roll_out(agent, tools, problems, concurrency, ledger))
    same = {t.id: t.messages for t in first} == {t.id: t.messages for t in second}
    if not same:
        raise SystemExit("The resumed rollout is another one.")
    return "resumed / fresh, seconds", f"{again:.1f}", f"{fresh:.1f}", f"{again / fresh:.3f}"


async def beside_smolagents(
    server: VllmServer, model: Model, tools: Tools, problems: Sequence[Problem], concurrency: int, candidates: int
) -> list[Row]:
    """(b) episodes per second of ours and of threads of `CodeAgent`, on one server."""
    agent = agent_of(model, candidates=candidates, temperature=0.7)
    await roll_out(agent, tools, problems, concurrency)  # theirs finds the server's caches warm as well
    seconds, found = await timed(roll_out(agent, tools, problems, concurrency))
    gold = {problem.id: problem.answer for problem in problems}
    right = sum(trajectory.answer == gold[trajectory.problem_id] for trajectory in found)
    ours = len(problems) / seconds
    rows: list[Row] = [("answers that are right, of all", f"{right / len(problems):.2f}", "", "")]
    loop = asyncio.get_running_loop()
    for one_request in (False, True):
        solve = smolagents_loop(
            server.url, server.key, tools.search, loop, candidates=candidates, one_request=one_request
        )
        with ThreadPoolExecutor(concurrency) as pool:
            work = asyncio.gather(*(loop.run_in_executor(pool, solve, problem) for problem in problems))
            seconds, answers = await timed(work)
        theirs = len(problems) / seconds
        right = sum(str(answer) == p.answer for answer, p in zip(answers, problems, strict=True))
        how = "one request" if one_request else f"{candidates} requests"
        name = f"ours / smolagents ({how} a step, right {right / len(problems):.2f}), episodes/s"
        rows.append((name, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.1f}"))
    return rows


async def drive(episodes: int, params: Params) -> None:
    """Roll out `episodes` and print the peak memory of this process in MiB."""
    agent = agent_of(Instant(), candidates=1, temperature=0.7)
    question = {"question": "What is 6 * 7?", "answer": "42", "answer_kind": "math", "family": "sum"}
    asked = Problem(id="0", source="benchmark", split="train", **question)
    jobs = (asked.model_copy(update={"id": str(i)}) for i in range(episodes))
    async with Sandbox(**params.sandbox.model_dump()) as box:

        async def solve(problem: Problem) -> Trajectory:
            return await agent.solve(problem, box.session)

        with spool() as records, tempfile.TemporaryDirectory() as folder:
            await run_episodes(jobs, solve, records.add, concurrency=256)
            records.write_to(Path(folder) / "trajectories.jsonl")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def memory() -> Row:
    """(d) peak memory at two numbers of episodes, each in a process of its own."""
    peaks = []
    for episodes in MEMORY_EPISODES:
        command = [sys.executable, "-m", "benchmarks.rollout", "--drive", str(episodes)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks.append(float(done.stdout.split()[-1]))
    few, many = MEMORY_EPISODES
    name = f"peak memory at {many:,} / {few:,} episodes, MiB"
    return name, f"{peaks[1]:.0f}", f"{peaks[0]:.0f}", f"{peaks[1] / peaks[0]:.2f}"


async def in_process(arguments: argparse.Namespace, params: Params) -> list[Row]:
    rows: list[Row] = []
    if not {"raw", "resumed"} & set(arguments.parts):
        return rows
    model = ProcessModel(
        str(arguments.model),
        dtype="float32",
        device="cpu",
        processes=arguments.processes,
        threads=1,
        max_rows=max(128, arguments.concurrency),
        prompt_tokens_per_step=2048,
        prefix_cache_tokens=65536,
    )
    problems = questions(arguments.episodes)
    async with code_tool(params) as tools, model:
        if "raw" in arguments.parts:
            rows.append(await beside_raw(model, tools, problems, arguments.concurrency, "transformers"))
        if "resumed" in arguments.parts:
            rows.append(await resumed(model, tools, problems, arguments.concurrency))
    return rows


async def on_a_server(arguments: argparse.Namespace, params: Params) -> list[Row]:
    problems = questions(arguments.episodes)
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = Path(scratch) / "tokenizer"
        tokenizer.mkdir()
        link_files(arguments.model, tokenizer)
        options = [
            str(arguments.model),
            "--served-model-name=base",
            f"--tokenizer={tokenizer}",
            "--dtype=float32",
            f"--max-model-len={CONTEXT_TOKENS}",
            "--max-num-seqs=256",
            "--gpu-memory-utilization=0.2",
            "--generation-config=vllm",
        ]
        if is_cpu_build(arguments.vllm):
            options.append(WHOLE_PROMPTS)
        log = Path(scratch) / "vllm.log"
        async with (
            code_tool(params) as tools,
            VllmServer(arguments.vllm, options, log=log, start_seconds=900) as server,
            OpenAIModel(
                "base",
                base_urls=[server.url],
                identity="benchmark",
                api_key_env=None,
                api_key=server.key,
                max_concurrency=256,
                start_concurrency=256,
                timeout_seconds=600,
                attempts=3,
                max_requests=None,
                max_tokens=None,
                max_usd=None,
                usd_per_million_prompt_tokens=0.0,
                usd_per_million_completion_tokens=0.0,
            ) as model,
        ):
            rows = [await beside_raw(model, tools, problems, arguments.concurrency, "vLLM")]
            few = problems[: arguments.sag_episodes]
            rows += await beside_smolagents(server, model, tools, few, arguments.concurrency, arguments.candidates)
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--layers", type=int, help="deepen the model to so many, at the same answers (`deepened.py`)")
    parser.add_argument("--vllm", type=Path, metavar="ENVIRONMENT", help="environment that holds vLLM (`make vllm`)")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="of those without a server")
    parser.add_argument("--episodes", type=int, default=479)
    parser.add_argument("--sag-episodes", type=int, default=128, help="beside smolagents")
    parser.add_argument("--candidates", type=int, default=8, help="N of self-consistent action generation")
    parser.add_argument("--concurrency", type=int, default=128, help="episodes, and threads of smolagents")
    parser.add_argument("--processes", type=int, default=2, help="copies of the model of the transformers backend")
    parser.add_argument("--drive", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    params = load_params(Path("params.yaml"))
    if arguments.drive:
        asyncio.run(drive(arguments.drive, params))
        return
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.layers:
            deepen(arguments.model, arguments.layers, Path(folder))
            arguments.model = Path(folder)
        rows = asyncio.run(in_process(arguments, params))
        if arguments.vllm:
            rows += asyncio.run(on_a_server(arguments, params))
    if "memory" in arguments.parts:
        rows.append(memory())
    table = Table("what", "ours", "other", "ratio")
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
