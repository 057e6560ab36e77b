"""Stage `evaluate`: one recipe's student on the test questions, under three ways of decoding.

`greedy` is one deterministic episode a question; `single` is one at the temperature of the vote, which is what
self-consistent action generation (SAG) is to be compared with; `sag` votes among N candidates at each step. For the
recipes that reason in one turn, `sag` is self-consistency over the stated answers. Writes, under `data/eval/<recipe>/`,
the trajectories as `<mode>.jsonl` and their grades as `<mode>.grades.jsonl`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from agentdistill.action import STOP_STRINGS
from agentdistill.agent import Agent, Reasoner, Tally, require_same, run_episodes
from agentdistill.boxed import unbox
from agentdistill.config import Params
from agentdistill.evaluation import Run, Score, score
from agentdistill.grading.batch import grade_all
from agentdistill.grading.fact import normalise
from agentdistill.protocols import Model
from agentdistill.records import Grade, Problem, Sampling, Trajectory, Usage, total_usage
from agentdistill.store.atomic import atomic_directory
from agentdistill.store.jsonl import read_jsonl, write_jsonl
from agentdistill.store.spool import spool
from tasks.examined import examined
from tasks.graders import open_graders_of
from tasks.parts import (
    PROTOCOL_FILE,
    CodeTool,
    open_code_tool,
    open_student,
    read_protocol,
    student_prompt,
    student_protocol,
)
from tasks.stage import load_params, log_trajectories, progress, run_stage, write_metrics

PROBLEMS = Path("data/problems/test.jsonl")
ADAPTERS = Path("models/adapters")
FOLDER = Path("data/eval")
MODES = ("greedy", "single", "sag")
LONGEST_READ = 1000  # characters of an answer whose spelling is undone: the time that takes can grow with their square
_NUMBER = re.compile(r"([+-]?)(?=\.?\d)(\d{1,3}(?:,\d{3})+|\d*)(?:\.(\d*))?")

Solve = Callable[[Problem], Awaitable[Trajectory]]


@dataclass(frozen=True)
class Recipe:
    """The form in which the student answers, and the adapter it does it with, if any."""

    form: str  # "cot" or "agent"
    adapter: str | None


RECIPES = {
    "base_cot": Recipe("cot", None),
    "base_agent": Recipe("agent", None),
    "cot": Recipe("cot", "cot"),
    "agent": Recipe("agent", "agent"),
    "agent_ftp": Recipe("agent", "agent_ftp"),
}


def main(variant: str) -> None:
    asyncio.run(_main(variant))


async def _main(variant: str) -> None:
    params = load_params()
    recipe = RECIPES[variant]
    problems = examined(read_jsonl(PROBLEMS, Problem), params.evaluate.limit)
    adapter = ADAPTERS / recipe.adapter if recipe.adapter is not None else None
    async with open_student(params, adapter) as student, _solvers(params, variant, student) as solvers:
        with atomic_directory(FOLDER / variant) as folder:
            tallies = await _answer(problems, solvers, folder, variant, params)
            scores, took = await _grade(problems, folder, variant, params)
        metrics = {mode: {**_accuracy(scores[mode]), **tally.metrics()} for mode, tally in tallies.items()}
    write_metrics(f"evaluate-{variant}", {**metrics, **student.counts(), **took})
    log_trajectories(FOLDER / variant / "sag.jsonl")


@asynccontextmanager
async def _solvers(params: Params, variant: str, model: Model) -> AsyncIterator[dict[str, Solve]]:
    """Yield a way to solve a problem for each mode of decoding; sandbox and index are open only where they are used."""
    prompt = student_prompt(params, RECIPES[variant].form)
    if RECIPES[variant].form == "cot":
        check_protocol(params, variant, prompt, index=None)
        yield {mode: _reasoner(params, variant, model, prompt, mode) for mode in MODES}
        return
    async with open_code_tool(params) as code:
        check_protocol(params, variant, prompt, index=code.index)
        yield {mode: _actor(student_agent(params, variant, model, prompt, mode), code) for mode in MODES}


def check_protocol(params: Params, variant: str, prompt: str, *, index: str | None) -> None:
    """Refuse to examine a student under a protocol that it was not trained under; a base model has none."""
    adapter = RECIPES[variant].adapter
    if adapter is not None:
        from agentdistill.models.tokenizer import load_tokenizer  # and transformers with it

        ours = student_protocol(prompt, load_tokenizer(params.student.path), index=index)
        require_same(ours, read_protocol(ADAPTERS / adapter / PROTOCOL_FILE), we="evaluation", they="training")


def student_agent(params: Params, variant: str, model: Model, prompt: str, mode: str) -> Agent:
    """Return the agent of a recipe that decodes in `mode`."""
    block = params.evaluate
    return Agent(
        model=model,
        system_prompt=prompt,
        sampling=_sampling(params, mode, block.max_tokens, STOP_STRINGS),
        candidates=block.sag.n if mode == "sag" else 1,
        max_steps=block.max_steps,
        deadline_seconds=block.deadline_seconds,
        recipe=variant,
        seed=params.seed,
        early=block.sag.early,
    )


def _actor(agent: Agent, code: CodeTool) -> Solve:
    async def solve(problem: Problem) -> Trajectory:
        return await agent.solve(problem, code.open)

    return solve


def _reasoner(params: Params, variant: str, model: Model, prompt: str, mode: str) -> Solve:
    sampling = _sampling(params, mode, params.evaluate.cot_max_tokens, ())
    reasoner = Reasoner(model, prompt, sampling, recipe=variant, seed=params.seed)
    sag = params.evaluate.sag

    async def vote(problem: Problem) -> Trajectory:
        key = normalise if problem.answer_kind == "fact" else _same_number
        return await reasoner.answer(problem, samples=sag.n, early=sag.early, key=key)

    async def think(problem: Problem) -> Trajectory:
        return (await reasoner.think(problem, samples=1))[0]

    return vote if mode == "sag" else think


def _same_number(answer: str) -> str:
    """Compare mathematical answers as text, spellings of one notation as the same: whether forms are equal is for the
    grader, which can be killed when that takes too long."""
    if len(answer) > LONGEST_READ:
        return "".join(unbox(answer).split())
    from agentdistill.grading.reading import canonical  # and sympy with it

    text = canonical(answer)
    number = _NUMBER.fullmatch(text)
    return _decimal(*number.groups("")) if number else text


def _decimal(sign: str, whole: str, fraction: str) -> str:
    """Write a number without grouped thousands and without zeros that say nothing."""
    whole, fraction = whole.replace(",", "").lstrip("0") or "0", fraction.rstrip("0")
    size = f"{whole}.{fraction}" if fraction else whole
    return f"-{size}" if sign == "-" and size != "0" else size


def _sampling(params: Params, mode: str, max_tokens: int, stop: tuple[str, ...]) -> Sampling:
    if mode == "greedy":
        return Sampling(temperature=0.0, top_p=1.0, max_tokens=max_tokens, stop=stop)
    sag = params.evaluate.sag
    return Sampling(temperature=sag.temperature, top_p=sag.top_p, max_tokens=max_tokens, stop=stop)


async def _answer(
    problems: Sequence[Problem], solvers: Mapping[str, Solve], folder: Path, variant: str, params: Params
) -> dict[str, Tally]:
    """Run all episodes of all modes and write their trajectories, in the order of the problems.

    The modes run side by side: one greedy sample a step would leave most of the model's batch empty."""
    tallies = {mode: Tally() for mode in solvers}

    def spent() -> Usage:
        return total_usage([tally.asked for tally in tallies.values()])

    episodes = len(problems) * len(solvers)
    with progress(episodes, f"evaluate {variant}", "episodes", usage=spent) as advance:

        async def run(mode: str, solve: Solve) -> None:
            with spool() as trajectories:

                def done(index: int, trajectory: Trajectory) -> None:
                    tallies[mode].add(trajectory)
                    tallies[mode].require_sound(params.evaluate.max_failures, len(problems))
                    trajectories.add(index, trajectory)
                    advance()

                await run_episodes(problems, solve, done, concurrency=params.evaluate.concurrency)
                trajectories.write_to(folder / f"{mode}.jsonl")

        async with asyncio.TaskGroup() as group:
            for mode, solve in solvers.items():
                group.create_task(run(mode, solve))
    return tallies


async def _grade(
    problems: Sequence[Problem], folder: Path, variant: str, params: Params
) -> tuple[dict[str, Score], dict[str, object]]:
    """Grade each mode's trajectories in `folder` and write the grades beside them. Return the scores, and what a judge
    took for them."""
    scores = {}
    async with open_graders_of(params.grading) as opened:
        for mode in MODES:
            trajectories = read_jsonl(folder / f"{mode}.jsonl", Trajectory)
            pairs = [(problem, trajectory.answer) for problem, trajectory in zip(problems, trajectories, strict=True)]
            verdicts = await grade_all(opened.graders, pairs)
            grades = [
                Grade(trajectory_id=trajectory.id, problem_id=trajectory.problem_id, **verdict.model_dump())
                for trajectory, verdict in zip(trajectories, verdicts, strict=True)
            ]
            write_jsonl(folder / f"{mode}.grades.jsonl", grades)
            run = Run(variant, mode, trajectories, {grade.trajectory_id: grade for grade in grades})
            scores[mode] = score(run, problems, params.report.confidence)
        return scores, opened.counts()


def _accuracy(result: Score) -> dict[str, object]:
    """Return the part of a score that the stage's metrics show; the report computes the rest."""
    accuracy = result.accuracy
    return {
        "accuracy": accuracy.interval.estimate,
        "accuracy_low": accuracy.interval.low,
        "accuracy_high": accuracy.interval.high,
        "questions": accuracy.asked,
        "correct": accuracy.correct,
        "ungraded": accuracy.ungraded,
        "errors": accuracy.errors,
        "by_family": {family: found.interval.estimate for family, found in result.families.items()},
    }


if __name__ == "__main__":
    run_stage(main, variants=tuple(RECIPES))
