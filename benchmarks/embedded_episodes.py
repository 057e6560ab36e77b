"""Episodes of the embedded world as the benchmarks roll them out: questions, tools, agent."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from agentdistill.action import STOP_STRINGS
from agentdistill.agent import Agent
from agentdistill.config import Params
from agentdistill.prompts import load_prompts
from agentdistill.protocols import Model
from agentdistill.records import Problem, Sampling
from agentdistill.retrieval import LuceneRetriever, build_index
from agentdistill.sandbox import Sandbox
from agentdistill.tools import SearchTool
from agentdistill.world import build


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


def agent_of(model: Model, *, candidates: int, temperature: float, early: bool = False) -> Agent:
    return Agent(
        model=model,
        system_prompt=load_prompts("embedded").agent_teacher,
        sampling=Sampling(temperature=temperature, top_p=1.0, max_tokens=96, stop=STOP_STRINGS),
        candidates=candidates,
        max_steps=4,
        deadline_seconds=600,
        recipe="benchmark",
        seed=0,
        early=early,
    )
