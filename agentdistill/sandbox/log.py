"""A session's log, and running it again: the actions, what the tools replied, what came out, which state was kept."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from agentdistill.protocols import Tool
from agentdistill.records import Outcome, Record, ToolCall
from agentdistill.sandbox.session import Session


class LoggedTool(Record):
    """How the code saw a tool."""

    name: str
    parameters: tuple[str, ...]
    description: str


class LoggedStep(Record):
    """One `try_all`, with what `try_more` added. `kept` is the index of the candidate that became the state, None when
    the old state stayed."""

    codes: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    kept: int | None


class SessionLog(Record):
    """Everything that `replay` needs."""

    tools: tuple[LoggedTool, ...]
    steps: tuple[LoggedStep, ...]


class LoggingSession:
    """A session that remembers what was done with it. Grows with every step."""

    def __init__(self, session: Session, tools: Sequence[Tool]) -> None:
        self._session = session
        self._tools = tuple(
            LoggedTool(name=tool.name, parameters=tool.parameters, description=tool.description) for tool in tools
        )
        self._steps: list[LoggedStep] = []

    @property
    def log(self) -> SessionLog:
        return SessionLog(tools=self._tools, steps=tuple(self._steps))

    async def try_all(self, codes: Sequence[str]) -> list[Outcome]:
        """As `Session.try_all`."""
        outcomes = await self._session.try_all(codes)
        self._steps.append(LoggedStep(codes=tuple(codes), outcomes=tuple(outcomes), kept=None))
        return outcomes

    async def try_more(self, codes: Sequence[str]) -> list[Outcome]:
        """As `Session.try_more`."""
        outcomes = await self._session.try_more(codes)
        step = self._steps[-1]
        longer = {"codes": (*step.codes, *codes), "outcomes": (*step.outcomes, *outcomes)}
        self._steps[-1] = step.model_copy(update=longer)
        return outcomes

    async def keep(self, index: int) -> None:
        """As `Session.keep`."""
        await self._session.keep(index)
        self._steps[-1] = self._steps[-1].model_copy(update={"kept": index})

    async def close(self) -> None:
        """As `Session.close`. The log stays."""
        await self._session.close()


class RecordedTool:
    """Answers as the log says, and refuses what the log does not have."""

    def __init__(self, tool: LoggedTool, calls: Sequence[ToolCall]) -> None:
        self.name = tool.name
        self.parameters = tool.parameters
        self.description = tool.description
        self._calls = {_key(call.arguments): call for call in calls if call.name == tool.name}

    async def call(self, **arguments: object) -> str:
        """Raises ValueError with the recorded error, or when this call was never made."""
        call = self._calls.get(_key(arguments))
        if call is None or call.result is None:
            raise ValueError(f"the log has no such call of {self.name}" if call is None else call.error)
        return call.result


async def replay(log: SessionLog, open_session: Callable[[Sequence[Tool]], Awaitable[Session]]) -> SessionLog:
    """Run every action of `log` again in a session from `open_session`, such as `box.session`; return the new log.

    The same up to `seconds`, unless the code reads a clock, asks the system for randomness, or ran into a time limit.
    """
    calls = [call for step in log.steps for outcome in step.outcomes for call in outcome.tool_calls]
    tools = [RecordedTool(tool, calls) for tool in log.tools]
    session = LoggingSession(await open_session(tools), tools)
    try:
        for step in log.steps:
            await session.try_all(step.codes)
            if step.kept is not None:
                await session.keep(step.kept)
    finally:
        await session.close()
    return session.log


def _key(arguments: object) -> str:
    return json.dumps(arguments, sort_keys=True)
