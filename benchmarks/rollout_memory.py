"""Peak memory of the process that drives many episodes, with a model that answers at once.

python -m benchmarks.rollout_memory 20000      # prints MiB
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agentdistill.agent import run_episodes
from agentdistill.config import Params, load_params
from agentdistill.records import Completion, Message, Problem, Reply, Trajectory, Usage
from agentdistill.sandbox import Sandbox
from agentdistill.store.spool import spool
from benchmarks.embedded_episodes import agent_of

EPISODES = (1_000, 20_000)


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


async def drive(episodes: int, params: Params) -> None:
    """Roll out so many episodes and print the peak memory of this process in MiB."""
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


def peaks() -> list[float]:
    """Peak memory in MiB at each number of `EPISODES`, each in a process of its own."""
    found = []
    for episodes in EPISODES:
        command = [sys.executable, "-m", "benchmarks.rollout_memory", str(episodes)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(float(done.stdout.split()[-1]))
    return found


if __name__ == "__main__":
    asyncio.run(drive(int(sys.argv[1]), load_params(Path("params.yaml"))))
