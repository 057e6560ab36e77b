"""A session's log, run again, gives the same log."""

from __future__ import annotations

import pytest

from agentdistill.sandbox import Sandbox
from agentdistill.sandbox.log import LoggingSession, SessionLog, replay

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Clock:
    """A tool that never says the same thing twice."""

    name = "tick"
    parameters = ("who",)
    description = "The next number."

    def __init__(self) -> None:
        self.count = 0

    async def call(self, **arguments: object) -> str:
        self.count += 1
        if arguments["who"] == "nobody":
            raise ValueError("nobody may not ask")
        return f"{arguments['who']} {self.count}"


def timeless(log: SessionLog) -> SessionLog:
    steps = tuple(
        step.model_copy(update={"outcomes": tuple(o.model_copy(update={"seconds": 0.0}) for o in step.outcomes)})
        for step in log.steps
    )
    return log.model_copy(update={"steps": steps})


async def test_a_log_replays_to_itself(box: Sandbox) -> None:
    tool = Clock()
    session = LoggingSession(await box.session([tool]), [tool])
    await session.try_all(["x = tick('a')\nx", "import os"])
    await session.try_more(["x = tick('b')\n{'p', 'q', 'r'}"])
    await session.keep(2)
    await session.try_all(["1 / 0"])
    await session.try_all(["import random\nprint(random.random())\nx", "tick('nobody')"])
    await session.keep(0)
    await session.try_all(["final_answer(x)"])
    await session.close()
    written = SessionLog.model_validate_json(session.log.model_dump_json())
    asked = tool.count
    again = await replay(written, box.session)
    assert timeless(again) == timeless(session.log)
    assert tool.count == asked
