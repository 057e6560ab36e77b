"""Speed of the code tool: throughput and latency beside a plain fork, time beside an interpreter that walks the AST.

    python -m benchmarks.sandbox
    python -m benchmarks.sandbox --preload    # nothing imported before the forks, as the embedded default has it

Two tables in Markdown. "plain fork" is `fork` + `exec` of the same code in the same preloaded process with its result
through a pipe, and no isolation, no state, no limits: what is left to lose. smolagents' LocalPythonExecutor runs the
code inside the calling process. Figures hold for a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import io
import os
import select
import statistics
import time
from collections.abc import Iterator
from typing import Any

from agentdistill.errors import SandboxError
from agentdistill.sandbox import Isolation, Sandbox

LIMITS: dict[str, Any] = {
    "wall_seconds": 30,
    "wall_grace_seconds": 5,
    "cpu_seconds": 30,
    "memory_bytes": 1 << 30,
    "descriptors": 128,
    "output_characters": 8000,
    "message_bytes": 1 << 20,
    "tool_calls": 20,
    "tool_seconds": 60,
    "concurrency": None,
    "allowed_imports": ["math", "time", "statistics", "collections", "itertools", "numpy", "sympy"],
}
PRELOAD = ["numpy", "sympy", "statistics"]
TRIVIAL = "1 + 1"
SHAPES = ((1, 1), (1, 8), (64, 1), (64, 8))  # episodes, candidates a step
ACTIONS = {
    "arithmetic": "1234 * 5678 + 91011",
    "strings": "' '.join(sorted('the quick brown fox jumps over the lazy dog'.split()))",
    "list of squares": "sum([i * i for i in range(1000)])",
    "counting words": (
        "counts = {}\nfor w in ('a b c d e f g h ' * 200).split():\n    counts[w] = counts.get(w, 0) + 1\ncounts"
    ),
    "loop of 100,000": "total = 0\nfor i in range(100000):\n    total = total + i * 3 % 7\ntotal",
    "primes to 10,000": (
        "primes = []\nfor n in range(2, 10000):\n    prime = True\n    for p in primes:\n        if p * p > n:\n"
        "            break\n        if n % p == 0:\n            prime = False\n            break\n"
        "    if prime:\n        primes.append(n)\nlen(primes)"
    ),
    "Collatz to 1,500": (
        "best = 0\nfor n in range(1, 1500):\n    steps = 0\n    x = n\n    while x != 1:\n"
        "        x = x // 2 if x % 2 == 0 else 3 * x + 1\n        steps += 1\n    best = max(best, steps)\nbest"
    ),
    "recursive Fibonacci of 18": "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\nfib(18)",
    "numpy": "import numpy as np\nfloat(np.arange(100000).reshape(100, 1000).mean())",
    "statistics": "import statistics\nstatistics.stdev([1, 4, 9, 16, 25, 36])",
}


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


async def throughput(box: Sandbox, episodes: int, candidates: int, steps: int) -> tuple[float, list[float]]:
    """Return actions per second and the seconds that each step took, its `keep` included."""
    sessions = [await box.session() for _ in range(episodes)]
    waits: list[float] = []

    async def play(number: int) -> None:
        for _ in range(steps):
            started = time.perf_counter()
            outcomes = await sessions[number].try_all([TRIVIAL] * candidates)
            await sessions[number].keep(0)
            waits.append(time.perf_counter() - started)
            failed = [outcome.error for outcome in outcomes if outcome.value != "2"]
            if failed:
                raise SystemExit(f"An action failed: {failed[0]}")

    started = time.perf_counter()
    await asyncio.gather(*(play(number) for number in range(episodes)))
    seconds = time.perf_counter() - started
    for session in sessions:
        await session.close()
    return episodes * candidates * steps / seconds, waits


def plain_fork(code: str, actions: int, in_flight: int) -> tuple[float, list[float]]:
    """Return actions per second and the seconds of each, at most `in_flight` at a time."""
    started, waits = time.perf_counter(), []
    live: dict[int, tuple[int, float]] = {}
    left = actions
    while left or live:
        while left and len(live) < in_flight:
            left -= 1
            begun = time.perf_counter()
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                with contextlib.redirect_stdout(io.StringIO()):
                    os.write(writing, repr(eval(code)).encode())
                os._exit(0)
            os.close(writing)
            live[reading] = (pid, begun)
        for reading in select.select(list(live), [], [])[0]:
            os.read(reading, 1000)
            os.close(reading)
            pid, begun = live.pop(reading)
            os.waitpid(pid, 0)
            waits.append(time.perf_counter() - begun)
    return actions / (time.perf_counter() - started), waits


def milliseconds(waits: list[float]) -> tuple[str, str]:
    return f"{statistics.median(waits) * 1e3:.1f}", f"{percentile(waits, 0.95) * 1e3:.1f}"


async def compare_throughput(rungs: list[Isolation], rounds: int, limits: dict[str, Any]) -> None:
    """Measure everything in turn, `rounds` times over, and print medians: a noisy machine then disturbs all alike."""
    for module in limits["preload"]:
        importlib.import_module(module)  # what a plain fork has to copy as well
    in_flight = 2 * (os.cpu_count() or 1)
    rates: dict[tuple[str, int, int], list[float]] = {}
    waits: dict[tuple[str, int, int], list[float]] = {}

    def note(key: tuple[str, int, int], rate: float, seconds: list[float]) -> None:
        rates.setdefault(key, []).append(rate)
        waits.setdefault(key, []).extend(seconds)

    async with contextlib.AsyncExitStack() as stack:
        boxes: dict[Isolation, Sandbox] = {}
        for rung in rungs:
            started = time.perf_counter()
            try:
                boxes[rung] = await stack.enter_async_context(Sandbox(**limits, only=rung))
            except SandboxError as error:
                print(f"Rung {rung} is not available: {error}")
            else:
                print(f"Rung {rung} started in {time.perf_counter() - started:.2f} s.")
        for _ in range(rounds):
            for episodes, candidates in SHAPES:
                for rung, box in boxes.items():
                    steps = 1 if episodes > 1 else 32 // candidates
                    note((rung, episodes, candidates), *await throughput(box, episodes, candidates, steps))
            for at_once in (1, in_flight):
                note(("plain fork", at_once, 1), *plain_fork(TRIVIAL, 200, at_once))
    print(f"A plain process forks for one action at a time and for {in_flight}, as many as the sandbox lets compute.\n")
    row("isolation", "episodes", "N", "actions/s", "step p50 ms", "step p95 ms")
    row(*["---"] * 6)
    for key in sorted(rates, key=lambda key: (key[0] == "plain fork", key[1], key[2])):
        isolation, episodes, candidates = key
        rate = statistics.median(rates[key])
        row(isolation, str(episodes), str(candidates), f"{rate:.0f}", *milliseconds(waits[key]))
    print()


def interpreted() -> Iterator[tuple[str, float]]:
    """Yield name and seconds of each action in smolagents' interpreter."""
    from smolagents.local_python_executor import LocalPythonExecutor

    executor = LocalPythonExecutor(["numpy", "statistics"])
    executor.send_tools({})
    for name, code in ACTIONS.items():
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            executor(code)
            seconds.append(time.perf_counter() - started)
        yield name, min(seconds)


async def compare_actions(rungs: list[Isolation], limits: dict[str, Any]) -> None:
    async with Sandbox(**limits, only=rungs[0]) as box:
        session = await box.session()
        await session.try_all(["import time"])
        await session.keep(0)
        row(
            "action",
            f"{rungs[0]}: step ms",
            "of it the code ms",
            "LocalPythonExecutor ms",
            "code alone, times faster",
            "whole step, times faster",
        )
        row(*["---"] * 6)
        for name, slow in interpreted():
            timed = f"clock = time.perf_counter()\n{ACTIONS[name]}\nfinal_answer(time.perf_counter() - clock)"
            steps, computing = [], []
            for _ in range(5):
                started = time.perf_counter()
                (outcome,) = await session.try_all([timed])
                steps.append(time.perf_counter() - started)
                if outcome.final_answer is None:
                    raise SystemExit(f"{name} failed: {outcome.error}")
                computing.append(float(outcome.final_answer))
            fast = min(computing)
            row(
                name,
                f"{min(steps) * 1e3:.1f}",
                f"{fast * 1e3:.3f}",
                f"{slow * 1e3:.1f}",
                f"{slow / fast:.0f}",
                f"{slow / min(steps):.1f}",
            )
        await session.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rungs", nargs="+", default=["A", "B", "unsafe"], choices=["A", "B", "unsafe"])
    parser.add_argument("--rounds", type=int, default=7, help="how often every shape is measured on every rung")
    parser.add_argument("--preload", nargs="*", default=PRELOAD, help="modules imported before the forks")
    options = parser.parse_args()
    limits = {**LIMITS, "preload": options.preload}
    asyncio.run(compare_throughput(options.rungs, options.rounds, limits))
    asyncio.run(compare_actions(options.rungs, limits))


if __name__ == "__main__":
    main()
