"""The host's answers to tool calls: each distinct call of an episode is made once, however many candidates make it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentdistill.protocols import Tool
from agentdistill.records import ToolCall
from agentdistill.sandbox.guest.output import cut


class ToolDesk:
    """Answers the calls of one episode.

    A tool's `ValueError` and its running out of time are answers for the model. Any other exception is a failure of
    the infrastructure and passes through `answer`; it is not remembered.
    """

    def __init__(self, tools: Sequence[Tool], *, seconds: float, characters: int) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._seconds = seconds
        self._characters = characters
        self._calls: dict[str, asyncio.Task[ToolCall]] = {}

    def describe(self) -> list[dict[str, Any]]:
        """What the guest needs to offer the tools as functions."""
        return [
            {"name": tool.name, "parameters": list(tool.parameters), "description": tool.description}
            for tool in self._tools.values()
        ]

    async def answer(self, name: str, arguments: Mapping[str, Any]) -> ToolCall:
        """Return the call with its result or error."""
        key = json.dumps([name, arguments], sort_keys=True)
        task = self._calls.get(key)
        if task is None:
            task = self._calls[key] = asyncio.create_task(self._call(name, dict(arguments)))
        try:
            return await asyncio.shield(task)  # one candidate's death must not cancel another's answer
        except Exception:  # a broken tool ends the episode; what it broke on must not be kept as its answer
            self._calls.pop(key, None)
            raise

    async def _call(self, name: str, arguments: dict[str, Any]) -> ToolCall:
        result = error = None
        tool = self._tools.get(name)
        if tool is None or set(arguments) != set(tool.parameters):
            error = f"there is no tool {name!r} with the parameters {sorted(arguments)}"
        else:
            try:
                async with asyncio.timeout(self._seconds):
                    result = cut(await tool.call(**arguments), self._characters)
            except TimeoutError:
                error = f"{name} did not answer within {self._seconds:g} seconds"
            except ValueError as problem:
                error = str(problem)
        return ToolCall(name=name, arguments=arguments, result=result, error=error)

    async def close(self) -> None:
        """Cancel the calls that nobody waits for any more."""
        for task in self._calls.values():
            task.cancel()
        await asyncio.gather(*self._calls.values(), return_exceptions=True)
        self._calls.clear()
