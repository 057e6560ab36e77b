"""The gates of an embedded model: what it must be able to do before distilling it has anything to show.

All questions are validation questions, or train questions where knowledge by heart is asked for; the test split is
never touched. The model runs through the pipeline's own agent, sandbox and index, with the settings of params.yaml,
greedily.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from agentdistill.action import STOP_STRINGS
from agentdistill.agent import Agent, Reasoner, run_episodes
from agentdistill.config import Params
from agentdistill.first_thought import first_thought
from agentdistill.models.transformers_model import TransformersModel
from agentdistill.prompts import load_prompts
from agentdistill.records import Message, Problem, Sampling, Trajectory
from agentdistill.retrieval import LuceneRetriever, build_index
from agentdistill.sandbox import Sandbox
from agentdistill.tools import SearchTool
from agentdistill.world import World
from agentdistill.world.pretraining.documents import Document
from agentdistill.world.pretraining.episodes import UNCOVERED_CHAINS
from agentdistill.world.pretraining.nursery import Library
from agentdistill.world.pretraining.reading import compared, questions
from agentdistill.world.pretraining.snippets import call_on
from agentdistill.world.sums import UNCOVERED

ASKED = 60  # prompts of the copying and reading gates
KNOWN = 48  # train questions a family
CONCURRENCY = 64
Row = tuple[str, int, int]  # what was asked, right, all


def _share(name: str, verdicts: Sequence[bool]) -> Row:
    return name, sum(verdicts), len(verdicts)


async def _map(jobs: Sequence[Problem], work: Callable[[Problem], Awaitable[Trajectory]]) -> list[Trajectory]:
    found: dict[int, Trajectory] = {}
    await run_episodes(jobs, work, found.__setitem__, concurrency=CONCURRENCY)
    return [found[i] for i in range(len(jobs))]


class Examiner:
    """Runs one model through all gates."""

    def __init__(self, world: World, params: Params, model: TransformersModel) -> None:
        self._world = world
        self._params = params
        self._model = model
        self._prompts = load_prompts("embedded")
        self.plans: dict[str, str | None] = {}  # by problem id, from the chains of thought

    async def _replies(self, name: str, documents: Sequence[Document], expected: Sequence[str]) -> Row:
        """Put each document's first question to the model and compare its reply with what the document says."""
        sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=96)
        verdicts = []
        for document, answer in zip(documents, expected, strict=True):
            before = document.text.split("<|im_start|>assistant\n")[0]
            turns = [turn.split("\n", 1) for turn in before.split("<|im_start|>")[1:]]
            messages = [Message(role=role, text=text.removesuffix("<|im_end|>\n")) for role, text in turns]
            reply = await self._model.sample(messages, n=1, sampling=sampling, seed=0)
            verdicts.append(reply.completions[0].text.strip() == answer)
        return _share(name, verdicts)

    async def copying(self) -> Row:
        names = sorted(self._world.realms["validation"].names())
        rng = random.Random(0)
        documents = [call_on("search", rng.choice(names)) for _ in range(ASKED)]
        return await self._replies("name copied into a call", documents, [_reply(d) for d in documents])

    async def reading(self) -> list[Row]:
        """A question after the passages, and one to three before them, which have to be answered in one go; then a
        question after passages that are all about things of one kind."""
        rng = random.Random(0)
        library = Library(rng, self._world.realms["validation"])
        drawn = [questions(rng, library) for _ in range(4 * ASKED)]
        after = [document for document in drawn if _asked_last(document)][:ASKED]
        before = [document for document in drawn if document not in after][:ASKED]
        drawn = [compared(rng, library) for _ in range(4 * ASKED)]
        alike = [document for document in drawn if _asked_last(document)][:ASKED]
        return [
            await self._replies("passage read, among distractors", after, [_reply(d) for d in after]),
            await self._replies("passage read for one to three questions", before, [_reply(d) for d in before]),
            await self._replies("passage read, among others of its kind", alike, [_reply(d) for d in alike]),
        ]

    async def thoughts(self, problems: Sequence[Problem]) -> list[Trajectory]:
        """Chains of thought; remembers their first thoughts."""
        reasoner = Reasoner(
            model=self._model,
            system_prompt=self._prompts.cot,
            recipe="gates",
            seed=0,
            sampling=Sampling(temperature=0.0, top_p=1.0, max_tokens=self._params.cot.max_tokens),
        )

        async def think(problem: Problem) -> Trajectory:
            return (await reasoner.think(problem, samples=1))[0]

        found = await _map(problems, think)
        for problem, trajectory in zip(problems, found, strict=True):
            self.plans[problem.id] = first_thought(trajectory.messages[-1].text)
        return found

    async def episodes(
        self, box: Sandbox, search: SearchTool, problems: Sequence[Problem], *, prompt: str, planned: bool
    ) -> list[Trajectory]:
        """Greedy agent episodes, with the first thought forced if `planned`."""
        agent = Agent(
            model=self._model,
            system_prompt=prompt,
            candidates=1,
            max_steps=self._params.rollout.max_steps,
            sampling=Sampling(
                temperature=0.0, top_p=1.0, max_tokens=self._params.rollout.max_tokens, stop=STOP_STRINGS
            ),
            deadline_seconds=self._params.rollout.deadline_seconds,
            recipe="gates",
            seed=0,
        )

        async def solve(problem: Problem) -> Trajectory:
            thought = self.plans[problem.id] if planned else None
            return await agent.solve(problem, lambda: box.session((search,)), thought=thought)

        return await _map(problems, solve)


def _asked_last(document: Document) -> bool:
    """Whether its passages come before its questions."""
    return document.text.startswith("<|im_start|>user\n[")


def _reply(document: Document) -> str:
    """The first assistant's text of a document."""
    return document.text.split("<|im_start|>assistant\n")[1].split("<|im_end|>")[0]


def _group(world: World, problem: Problem) -> str:
    """A problem's family, and whether the teacher saw demonstrations of its kind."""
    kind = world.items[problem.id].kind
    missing = kind in UNCOVERED or tuple(kind.split("/")) in UNCOVERED_CHAINS
    if problem.family == "fact-1hop":
        return "fact-1hop"
    family = "fact-2hop" if problem.family == "fact-2hop" else "word problem"
    return f"{family}, {'not demonstrated' if missing else 'demonstrated'}"


def _by_group(label: str, keys: Sequence[str], problems: Sequence[Problem], found: Sequence[Trajectory]) -> list[Row]:
    right = [t.answer is not None and t.answer.strip() == p.answer for p, t in zip(problems, found, strict=True)]
    return [
        _share(f"{label}: {key}", [ok for ok, of in zip(right, keys, strict=True) if of == key])
        for key in sorted(set(keys))
    ]


async def examine(folder: Path, world: World, params: Params) -> list[Row]:
    """All gates of the model in `folder`: (gate, right, all)."""
    validation = [p for p in world.problems if p.split == "validation"]
    known = [
        p
        for family in ("fact-1hop", "fact-2hop")
        for p in [q for q in world.problems if q.split == "train" and q.family == family][:KNOWN]
    ]
    sums = [p for p in validation if p.answer_kind == "math"]
    async with AsyncExitStack() as stack:
        index = Path(stack.enter_context(TemporaryDirectory())) / "index"
        build_index(world.passages, index, language=params.index.language, stemmer=params.index.stemmer, threads=1)
        retriever = LuceneRetriever(index, k1=params.search.k1, b=params.search.b)
        search = SearchTool(retriever, k=params.search.top_k, max_chars=params.search.max_chars)
        box = await stack.enter_async_context(Sandbox(**params.sandbox.model_dump()))
        model = await stack.enter_async_context(
            TransformersModel(
                str(folder),
                dtype="float32",
                device="cpu",
                threads=1,
                max_rows=CONCURRENCY,
                prompt_tokens_per_step=4096,
                prefix_cache_tokens=65536,
            )
        )
        examiner = Examiner(world, params, model)
        rows = [await examiner.copying(), *await examiner.reading()]
        thoughts = await examiner.thoughts(known)
        rows += _by_group("chain of thought, train", [p.family for p in known], known, thoughts)
        thoughts = await examiner.thoughts(sums)
        rows += _by_group("chain of thought", [p.family for p in sums], sums, thoughts)
        await examiner.thoughts([p for p in validation if p.answer_kind == "fact"])
        prompts = load_prompts("embedded")
        prompt = prompts.agent_student if folder.name == "student" else prompts.agent_teacher
        groups = [_group(world, p) for p in validation]
        for planned in (False, True):
            found = await examiner.episodes(box, search, validation, prompt=prompt, planned=planned)
            rows += _by_group("agent + first thought" if planned else "agent", groups, validation, found)
    return rows


def table(rows: Sequence[Row]) -> str:
    """The gates as a Markdown table."""
    lines = ["| gate | right | of | share |", "|---|---|---|---|"]
    lines += [f"| {name} | {right} | {of} | {right / of:.2f} |" for name, right, of in rows]
    return "\n".join(lines)
