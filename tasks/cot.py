"""Stage `cot`: the teacher's chains of thought, and the first thought of each question.

Reads the training problems. Writes `data/trajectories/cot.jsonl`, all chains, and `data/first_thoughts.jsonl`, cut from
the greedy one of each question, attempt 0; the other attempts are sampled, for the CoT-distillation baseline.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from agentdistill.agent import Reasoner, Tally, run_episodes
from agentdistill.first_thought import first_thought
from agentdistill.prompts import load_prompts
from agentdistill.records import FirstThought, Problem, Sampling, Trajectory
from agentdistill.store.jsonl import iter_jsonl, read_jsonl, write_jsonl
from agentdistill.store.spool import spool
from tasks.parts import open_teacher
from tasks.stage import load_params, log_trajectories, progress, run_stage, write_metrics

PROBLEMS = Path("data/problems/train.jsonl")
TRAJECTORIES = Path("data/trajectories/cot.jsonl")
THOUGHTS = Path("data/first_thoughts.jsonl")
FEW = 0.5  # share of the problems with a first thought below which that is said


def main() -> None:
    asyncio.run(_main())


async def _main() -> None:
    params = load_params()
    problems = read_jsonl(PROBLEMS, Problem)
    prompt = load_prompts(params.prompts.set).cot
    greedy = Sampling(temperature=0.0, top_p=1.0, max_tokens=params.cot.max_tokens)
    sampled = Sampling(temperature=params.cot.temperature, top_p=params.cot.top_p, max_tokens=params.cot.max_tokens)
    tally = Tally()
    async with open_teacher(params) as teacher:
        with (
            spool() as chains,
            progress(len(problems), "chains of thought", "questions", usage=lambda: tally.asked) as advance,
        ):

            async def think(problem: Problem) -> list[Trajectory]:
                def reasoner(sampling: Sampling) -> Reasoner:
                    return Reasoner(teacher, prompt, sampling, recipe="cot", seed=params.seed)

                found = await reasoner(greedy).think(problem, samples=1)
                if params.cot.samples > 1:
                    found += await reasoner(sampled).think(problem, samples=params.cot.samples - 1, first_attempt=1)
                return found

            def done(index: int, found: list[Trajectory]) -> None:
                for trajectory in found:
                    tally.add(trajectory)
                    tally.require_sound(params.cot.max_failures, len(problems) * params.cot.samples)
                    chains.add(index * params.cot.samples + trajectory.attempt, trajectory)
                advance()

            await run_episodes(problems, think, done, concurrency=params.cot.concurrency)
            chains.write_to(TRAJECTORIES)
        spent = teacher.counts()
    thoughts = list(_first_thoughts())
    if len(thoughts) < FEW * len(problems):
        print(
            f"Only {len(thoughts)} of {len(problems)} chains of thought have a first step; for the others the rollout "
            f"first_thought goes without. See {TRAJECTORIES} for what the teacher wrote.",
            file=sys.stderr,
        )
    write_jsonl(THOUGHTS, thoughts)
    write_metrics(
        "cot",
        {
            "problems": len(problems),
            "first_thoughts": len(thoughts),
            "without_first_thought": len(problems) - len(thoughts),
            **tally.metrics(),
            **spent,
        },
    )
    log_trajectories(TRAJECTORIES)


def _first_thoughts() -> list[FirstThought]:
    found = []
    for chain in iter_jsonl(TRAJECTORIES, Trajectory):
        if chain.attempt == 0 and chain.messages[-1].sampled:
            text = first_thought(chain.messages[-1].text)
            if text is not None:
                found.append(FirstThought(problem_id=chain.problem_id, trajectory_id=chain.id, text=text))
    return found


if __name__ == "__main__":
    run_stage(main)
