"""Stage `rollout`: the teacher's agent trajectories, plain or with the first-thought prefix.

Reads the training problems, the index and, for the variant `first_thought`, the first thoughts. Writes
`data/trajectories/<variant>.jsonl` with every attempt, failed ones too, and the protocol they were made under.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agentdistill.action import STOP_STRINGS
from agentdistill.agent import Agent, Protocol, Tally, run_episodes
from agentdistill.agent.protocol import text_digest, tools_digest
from agentdistill.prompts import agent_prompt, load_prompts
from agentdistill.records import FirstThought, Problem, Sampling, Trajectory
from agentdistill.store.atomic import write_json
from agentdistill.store.jsonl import read_jsonl
from agentdistill.store.spool import spool
from tasks.parts import TOOLS, open_code_tool, open_teacher
from tasks.stage import load_params, log_trajectories, progress, run_stage, write_metrics

PROBLEMS = Path("data/problems/train.jsonl")
THOUGHTS = Path("data/first_thoughts.jsonl")
FOLDER = Path("data/trajectories")
VARIANTS = ("plain", "first_thought")
MANY = 0.5  # share of turns or trajectories above which what is wrong with them is said


def main(variant: str) -> None:
    asyncio.run(_main(variant))


async def _main(variant: str) -> None:
    params = load_params()
    rollout = params.rollout
    problems = read_jsonl(PROBLEMS, Problem)
    thoughts = {t.problem_id: t.text for t in read_jsonl(THOUGHTS, FirstThought)} if variant == "first_thought" else {}
    jobs = list(_jobs(problems, rollout.attempts))
    tally = Tally()
    prompt = agent_prompt(load_prompts(params.prompts.set).agent_teacher, TOOLS, params.sandbox.allowed_imports)
    async with open_teacher(params) as teacher, open_code_tool(params) as code:
        agent = Agent(
            model=teacher,
            system_prompt=prompt,
            sampling=Sampling(
                temperature=rollout.temperature,
                top_p=rollout.top_p,
                max_tokens=rollout.max_tokens,
                stop=STOP_STRINGS,
            ),
            candidates=1,
            max_steps=rollout.max_steps,
            deadline_seconds=rollout.deadline_seconds,
            recipe=variant,
            seed=params.seed,
        )
        with (
            spool() as trajectories,
            progress(len(jobs), f"rollout {variant}", "episodes", usage=lambda: tally.asked) as advance,
        ):

            async def solve(job: tuple[Problem, int]) -> Trajectory:
                problem, attempt = job
                return await agent.solve(problem, code.open, attempt=attempt, thought=thoughts.get(problem.id))

            def done(index: int, trajectory: Trajectory) -> None:
                tally.add(trajectory)
                tally.require_sound(rollout.max_failures, len(jobs))
                trajectories.add(index, trajectory)
                advance()

            await run_episodes(jobs, solve, done, concurrency=rollout.concurrency)
            trajectories.write_to(FOLDER / f"{variant}.jsonl")
        protocol = Protocol(
            system_prompt=text_digest(prompt), tools=tools_digest(TOOLS), chat_template=None, index=code.index
        )
        write_json(FOLDER / f"{variant}.protocol.json", protocol.model_dump())
        metrics = tally.metrics()
        for warning in warnings(metrics, params.prompts.set):
            print(warning, file=sys.stderr)
        write_metrics(f"rollout-{variant}", {**metrics, **teacher.counts(), "isolation": code.box.isolation})
    log_trajectories(FOLDER / f"{variant}.jsonl")


def warnings(metrics: Mapping[str, Any], prompts: str) -> list[str]:
    """Return what a user should know before the students are trained on this, from the metrics of a rollout."""
    told = []
    unreadable, turns = metrics["candidate_failures"].get("parse", 0), metrics["candidates"]
    if unreadable > MANY * turns:
        told.append(
            f"{unreadable} of {turns} turns held no code block to run. Either the prompts of {prompts!r} (prompts.set) "
            "do not tell this teacher what a turn looks like, as those of 'paper' do, or rollout.max_tokens is too low."
        )
    prefills = metrics["prefills"]
    disregarded, given = prefills.get("disregarded", 0), sum(prefills.values()) - prefills.get("unused", 0)
    if disregarded > MANY * given:
        told.append(
            f"The teacher began {disregarded} of {given} trajectories otherwise than with the first thought it was "
            "given, so they are as those without one. A server that continues a prefill, as vLLM does, cannot do that."
        )
    return told


def _jobs(problems: list[Problem], attempts: int) -> Iterator[tuple[Problem, int]]:
    return ((problem, attempt) for problem in problems for attempt in range(attempts))


if __name__ == "__main__":
    run_stage(main, variants=VARIANTS)
