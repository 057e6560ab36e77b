"""The peer of `benchmarks/rollout.py`: a smolagents `CodeAgent` that acts by self-consistency, one thread an episode.

It does so the usual way: sample N candidates, run each in a copy of the interpreter's state, vote, run the winner
again. Prompts, turns and observations are ours, so that the same model understands them.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from smolagents import CodeAgent, LocalPythonExecutor, OpenAIModel, Tool
from smolagents.agents import ActionOutput
from smolagents.memory import ActionStep
from smolagents.models import ChatMessage, MessageRole
from smolagents.monitoring import LogLevel

from agentdistill.action import STOP_STRINGS, parse
from agentdistill.prompts import load_prompts
from agentdistill.records import Problem
from agentdistill.tools import SearchTool

SAMPLING = {"temperature": 0.7, "top_p": 1.0, "max_tokens": 96}


class Search(Tool):  # type: ignore[misc]
    """Our search tool, called from the thread of an episode."""

    name = "search"
    description = "Searches the encyclopedia."
    inputs = {"query": {"type": "string", "description": "what to search for"}}  # noqa: RUF012
    output_type = "string"

    def __init__(self, search: SearchTool, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._search, self._loop = search, loop

    def forward(self, query: str) -> str:
        return asyncio.run_coroutine_threadsafe(self._search.call(query=query), self._loop).result()


class SagAgent(CodeAgent):  # type: ignore[misc]
    """A `CodeAgent` whose step samples `candidates` actions: by a request for each, as its model class offers, or by
    `one_request` for all."""

    def __init__(self, *, candidates: int, one_request: bool, **options: Any) -> None:
        super().__init__(max_steps=4, verbosity_level=LogLevel.OFF, **options)
        self._candidates, self._one_request = candidates, one_request
        self._system = load_prompts("embedded").agent_teacher

    def write_memory_to_messages(self, summary_mode: bool = False) -> list[ChatMessage]:
        said: list[tuple[str, str]] = [("system", self._system), ("user", self.task)]
        for step in self.memory.steps:
            if isinstance(step, ActionStep) and step.model_output:
                said.append(("assistant", step.model_output))
                said.append(("user", f"Observation:\n{step.observations or ''}"))
        return [ChatMessage(role=MessageRole(role), content=[{"type": "text", "text": text}]) for role, text in said]

    def _texts(self) -> list[str]:
        messages = self.write_memory_to_messages()
        stop = list(STOP_STRINGS)
        if not self._one_request:
            return [str(self.model.generate(messages, stop_sequences=stop).content) for _ in range(self._candidates)]
        plain = [{"role": m.role.value, "content": m.content[0]["text"]} for m in messages]
        reply = self.model.client.chat.completions.create(
            model=self.model.model_id, messages=plain, n=self._candidates, stop=stop, **SAMPLING
        )
        return [choice.message.content or "" for choice in reply.choices]

    def _try(self, text: str) -> tuple[Any, str] | None:
        executor = LocalPythonExecutor([])
        executor.send_tools(dict(self.tools))
        executor.state = copy.deepcopy({k: v for k, v in self.python_executor.state.items() if k != "_print_outputs"})
        try:
            output = executor(parse(text).code)
        except Exception:  # no action, or whatever the model's code raises: a candidate that fails is dropped
            return None
        return output.output, output.logs

    def _step_stream(self, memory_step: Any) -> Iterator[Any]:
        texts = self._texts()
        results = [self._try(text) for text in texts]
        votes = Counter(str(result) for result in results if result is not None)
        if not votes:
            memory_step.model_output, memory_step.observations = texts[0], "The code failed."
            yield ActionOutput(output=None, is_final_answer=False)
            return
        most = votes.most_common(1)[0][0]
        chosen = next(text for text, result in zip(texts, results, strict=True) if str(result) == most)
        output = self.python_executor(parse(chosen).code)
        memory_step.model_output, memory_step.observations = chosen, f"{output.logs}{output.output}"
        yield ActionOutput(output=output.output, is_final_answer=output.is_final_answer)


def smolagents_loop(
    url: str, key: str, tool: SearchTool, loop: asyncio.AbstractEventLoop, *, candidates: int, one_request: bool
) -> Callable[[Problem], Any]:
    """Return a function that solves one problem by a `CodeAgent`, to be called in a thread of its own."""
    local = threading.local()

    def solve(problem: Problem) -> Any:
        if not hasattr(local, "model"):  # clients are not shared between threads
            local.model = OpenAIModel("base", api_base=url, api_key=key, flatten_messages_as_text=True, **SAMPLING)
        agent = SagAgent(tools=[Search(tool, loop)], model=local.model, candidates=candidates, one_request=one_request)
        return agent.run(problem.question)

    return solve
