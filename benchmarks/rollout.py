"""The rollout driver beside raw generation, beside another agent loop, resumed beside fresh, and its memory.

    python -m benchmarks.rollout                            # the transformers backend
    python -m benchmarks.rollout --vllm .venv-vllm          # also on a vLLM server, beside smolagents
    python -m benchmarks.rollout --parts raw --layers 16    # of a model four times as dear
    python -m benchmarks.rollout --parts memory

Every comparison is made in one run, on one engine and the same questions of the embedded world. Both sides take turns
`--rounds` times, and the medians are compared: a machine that is shared is not as fast from one minute to the next.

- `raw`: the requests of a finished rollout once more, all known beforehand, as one batch: the same prompts, the same
  seeds, hence the same lengths. What the rollout loses to it goes to code, to search and to waiting for the next turn.
- `samples`: a rollout with N candidates a step, as far as the vote needs them, beside all of them and beside a single
  one. Samples that are the same so far are decoded once (`models/engine.py`), so N of them cost what they differ in.
  The vote that stops early must come to the same conversations, or the benchmark ends.
- `smolagents`: a `CodeAgent` in a thread for each episode against the same server (`smolagents_loop.py`): N requests a
  step, as its model class offers, and one request for all N, which is kinder to it than its own interface. It samples
  all N; ours runs as the stages do, stopping early, and once more with all N sampled.
- `resumed`: the same rollout again over its own ledger. All other rollouts start with an empty one.
- `memory`: peak resident memory of the process that drives N episodes with a model that answers at once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from agentdistill.agent import Agent, run_episodes
from agentdistill.config import Params, load_params
from agentdistill.models.ledger_model import LedgerModel
from agentdistill.models.openai_model import OpenAIModel
from agentdistill.models.process_model import ProcessModel
from agentdistill.models.tokenizer import link_files
from agentdistill.models.vllm_server import VllmServer
from agentdistill.protocols import Model, Session
from agentdistill.records import Message, Problem, Reply, Trajectory
from agentdistill.sandbox import LedgerSession
from agentdistill.store.ledger import Ledger
from benchmarks.deepened import deepen
from benchmarks.embedded_episodes import Tools, agent_of, code_tool, questions
from benchmarks.rollout_memory import EPISODES, peaks
from benchmarks.smolagents_loop import smolagents_loop

MODEL = Path("models/embedded/teacher")
PARTS = ("raw", "samples", "resumed", "memory")
PREFIX_TOKENS = 65536  # kept by each process
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

    async def sample(self, messages: Sequence[Message], **options: Any) -> Reply:
        self.requests.append({"messages": messages, **options})
        return await self.model.sample(messages, **options)


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


async def in_turns(rounds: int, *works: Callable[[], Awaitable[Any]]) -> list[tuple[float, Any]]:
    """Run `works` one after another, `rounds` times. Return each one's median seconds and what it gave last."""
    times: list[list[float]] = [[] for _ in works]
    gave: list[Any] = [None] * len(works)
    for _ in range(rounds):
        for number, work in enumerate(works):
            seconds, gave[number] = await timed(work())
            times[number].append(seconds)
    return [(median(seconds), result) for seconds, result in zip(times, gave, strict=True)]


async def beside_raw(
    model: Model, tools: Tools, problems: Sequence[Problem], concurrency: int, rounds: int, name: str
) -> Row:
    """(a) tokens per second of a rollout, and of its own requests as one batch."""
    asked = Asked(model)
    # Once without the clock, so that all find the prompts in the engine's cache.
    await roll_out(agent_of(asked, candidates=1, temperature=0.7), tools, problems, concurrency)
    agent = agent_of(model, candidates=1, temperature=0.7)
    (seconds, found), (raw_seconds, replies) = await in_turns(
        rounds,
        lambda: roll_out(agent, tools, problems, concurrency),
        lambda: asyncio.gather(*(model.sample(**request) for request in asked.requests)),
    )
    tokens = sum(t.usage.completion_tokens for t in found)
    raw_tokens = sum(reply.usage.completion_tokens for reply in replies)
    rate, raw = tokens / seconds, raw_tokens / raw_seconds
    return f"{name}: rollout / raw, tokens/s", f"{rate:,.0f}", f"{raw:,.0f}", f"{rate / raw:.2f}"


async def samples(
    model: Model, tools: Tools, problems: Sequence[Problem], concurrency: int, rounds: int, candidates: int
) -> list[Row]:
    """Episodes per second with N candidates a step, as far as the vote needs them, all of them, and with one."""
    agents = decoding(model, candidates)
    agents["N = 1"] = agent_of(model, candidates=1, temperature=0.7)
    await roll_out(agents[ALL], tools, problems, concurrency)
    ran = await in_turns(rounds, *(partial(roll_out, agent, tools, problems, concurrency) for agent in agents.values()))
    (early, some), (every, all_of_them), (single, _) = ran
    if conversations(some) != conversations(all_of_them):
        raise SystemExit("A vote that stopped early chose otherwise.")
    count = len(problems)
    return [
        (f"N = {candidates}, stopping early / {other}, episodes/s", *beside(count / early, count / seconds))
        for other, seconds in ((ALL, every), ("N = 1", single))
    ] + [sampled("transformers", some, candidates)]


ALL = "all sampled"


def decoding(model: Model, candidates: int) -> dict[str, Agent]:
    """The two ways of drawing the candidates of a vote."""
    return {
        name: agent_of(model, candidates=candidates, temperature=0.7, early=early)
        for name, early in (("stopping early", True), (ALL, False))
    }


def conversations(found: Sequence[Trajectory]) -> dict[str, object]:
    return {trajectory.id: trajectory.messages for trajectory in found}


def sampled(name: str, found: Sequence[Trajectory], candidates: int) -> Row:
    """Candidates that a step took."""
    steps = [step for trajectory in found for step in trajectory.steps]
    mean = sum(len(step.candidates) for step in steps) / len(steps)
    return f"{name}: candidates a step, stopping early / {ALL}", *beside(mean, candidates, 2)


def beside(ours: float, other: float, digits: int = 1) -> tuple[str, str, str]:
    return f"{ours:.{digits}f}", f"{other:.{digits}f}", f"{ours / other:.2f}"


async def resumed(model: Model, tools: Tools, problems: Sequence[Problem], concurrency: int) -> Row:
    """(c) seconds of a rollout, and of the same one when the ledger has every answer."""
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        agent = agent_of(LedgerModel(model, ledger), candidates=1, temperature=0.7)
        fresh, first = await timed(roll_out(agent, tools, problems, concurrency, ledger))
        again, second = await timed(roll_out(agent, tools, problems, concurrency, ledger))
    if conversations(first) != conversations(second):
        raise SystemExit("The resumed rollout is another one.")
    return "resumed / fresh, seconds", f"{again:.1f}", f"{fresh:.1f}", f"{again / fresh:.3f}"


async def beside_smolagents(
    server: VllmServer,
    model: Model,
    tools: Tools,
    problems: Sequence[Problem],
    concurrency: int,
    rounds: int,
    candidates: int,
) -> list[Row]:
    """(b) episodes per second of ours and of threads of `CodeAgent`, on one server."""
    loop = asyncio.get_running_loop()
    agents = decoding(model, candidates)

    async def in_threads(one_request: bool) -> list[Any]:
        solve = smolagents_loop(
            server.url, server.key, tools.search, loop, candidates=candidates, one_request=one_request
        )
        with ThreadPoolExecutor(concurrency) as pool:
            return await asyncio.gather(*(loop.run_in_executor(pool, solve, problem) for problem in problems))

    await roll_out(agents[ALL], tools, problems, concurrency)  # all find the server's caches warm
    *ours, by_many, by_one = await in_turns(
        rounds,
        *(partial(roll_out, agent, tools, problems, concurrency) for agent in agents.values()),
        partial(in_threads, one_request=False),
        partial(in_threads, one_request=True),
    )
    gold = {problem.id: problem.answer for problem in problems}
    rows: list[Row] = [sampled("vLLM", ours[0][1], candidates)]
    for way, (took, found) in zip(agents, ours, strict=True):
        rate = len(problems) / took
        right = sum(trajectory.answer == gold[trajectory.problem_id] for trajectory in found) / len(problems)
        for how, (others, answers) in ((f"{candidates} requests", by_many), ("one request", by_one)):
            theirs = sum(str(answer) == p.answer for answer, p in zip(answers, problems, strict=True)) / len(problems)
            name = f"ours, {way}, right {right:.2f} / smolagents, {how} a step, right {theirs:.2f}, episodes/s"
            rows.append((name, *beside(rate, len(problems) / others, 2)))
    return rows


def memory() -> Row:
    """(d) peak memory at two numbers of episodes."""
    few, many = EPISODES
    low, high = peaks()
    return f"peak memory at {many:,} / {few:,} episodes, MiB", f"{high:.0f}", f"{low:.0f}", f"{high / low:.2f}"


async def in_process(arguments: argparse.Namespace, params: Params) -> list[Row]:
    rows: list[Row] = []
    if not {"raw", "samples", "resumed"} & set(arguments.parts):
        return rows
    rounds = arguments.rounds
    model = ProcessModel(
        str(arguments.model),
        dtype="float32",
        device="cpu",
        processes=arguments.processes,
        threads=1,
        max_rows=arguments.rows,
        prompt_tokens_per_step=2048,
        prefix_cache_tokens=arguments.prefix_tokens,
    )
    problems = questions(arguments.episodes)
    async with code_tool(params) as tools, model:
        if "raw" in arguments.parts:
            rows.append(await beside_raw(model, tools, problems, arguments.concurrency, rounds, "transformers"))
        if "samples" in arguments.parts:
            few = problems[: arguments.sag_episodes]
            rows += await samples(model, tools, few, arguments.concurrency, rounds, arguments.candidates)
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
            f"--max-num-seqs={arguments.sequences}",
            "--gpu-memory-utilization=0.2",
            "--generation-config=vllm",
        ]
        log = Path(scratch) / "vllm.log"
        async with (
            code_tool(params) as tools,
            VllmServer(arguments.vllm, options, log=log, start_seconds=900) as server,
            OpenAIModel.of_own_server(
                "base",
                server.url,
                identity="benchmark",
                api_key=server.key,
                max_concurrency=arguments.concurrency,
                timeout_seconds=600,
                attempts=3,
            ) as model,
        ):
            concurrency, rounds = arguments.concurrency, arguments.rounds
            rows = [await beside_raw(model, tools, problems, concurrency, rounds, "vLLM")]
            few = problems[: arguments.sag_episodes]
            rows += await beside_smolagents(server, model, tools, few, concurrency, rounds, arguments.candidates)
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--layers", type=int, help="deepen the model to so many, at the same answers (`deepened.py`)")
    parser.add_argument("--vllm", type=Path, metavar="ENVIRONMENT", help="environment that holds vLLM (`make vllm`)")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="of those without a server")
    parser.add_argument("--episodes", type=int, default=958, help="of `raw` and `resumed`")
    parser.add_argument("--rounds", type=int, default=3, help="times that both sides of a comparison run")
    parser.add_argument("--sag-episodes", type=int, default=128, help="of `samples` and beside smolagents")
    parser.add_argument("--candidates", type=int, default=8, help="N of self-consistent action generation")
    parser.add_argument("--concurrency", type=int, default=384, help="episodes, requests, and threads of smolagents")
    # As many as 128 episodes ask for, eight candidates each.
    parser.add_argument("--sequences", type=int, default=1024, help="that the vLLM server decodes at once")
    parser.add_argument("--processes", type=int, default=2, help="copies of the model of the transformers backend")
    parser.add_argument("--rows", type=int, default=128, help="sequences that each of those decodes at once")
    arguments = parser.parse_args()
    arguments.prefix_tokens = PREFIX_TOKENS
    params = load_params(Path("params.yaml"))
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.layers:
            present = deepen(arguments.model, arguments.layers, Path(folder))
            arguments.prefix_tokens = PREFIX_TOKENS * present // arguments.layers  # which take the same memory
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
