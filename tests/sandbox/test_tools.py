"""Tools: functions in the code, answered by the host."""

from __future__ import annotations

import asyncio

import pytest

from agentdistill.records import Outcome
from agentdistill.sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Echo:
    """Says what it was given, and counts how often it was asked."""

    name = "echo"
    parameters: tuple[str, ...] = ("text", "times")
    description = "Repeat a text."

    def __init__(self) -> None:
        self.asked = 0

    async def call(self, **arguments: object) -> str:
        self.asked += 1
        text, times = arguments["text"], arguments["times"]
        if not isinstance(text, str) or not isinstance(times, int):
            raise ValueError("echo needs a text and a number")
        if text == "break":
            raise RuntimeError("the index is gone")
        if text == "hang":
            await asyncio.sleep(1000)
        return text * times


async def ask(box: Sandbox, tool: Echo, *codes: str) -> list[str | None]:
    session = await box.session([tool])
    outcomes = await session.try_all(codes)
    await session.close()
    return [outcome.value if outcome.ok else outcome.error for outcome in outcomes]


async def test_a_call_by_position_and_by_name(box: Sandbox) -> None:
    values = await ask(box, Echo(), "echo('a', 2)", "echo(times=3, text='b')", "echo.__doc__")
    assert values == ["aa", "bbb", "Repeat a text."]


async def test_wrong_arguments_are_explained(box: Sandbox) -> None:
    values = await ask(
        box, Echo(), "echo('a')", "echo('a', 1, 2)", "echo('a', 1, text='b')", "echo({1}, 1)", "echo(1, 2)"
    )
    assert [value and value.split("\n")[-1] for value in values] == [
        "TypeError: echo(text, times) is missing the argument 'times'",
        "TypeError: echo(text, times) takes 2 arguments but 3 were given",
        "TypeError: echo(text, times) got an unexpected or repeated argument 'text'",
        "TypeError: echo(text, times): arguments must be strings, numbers, lists or dicts: "
        "Object of type set is not JSON serializable",
        "ToolError: echo needs a text and a number",
    ]


async def test_the_same_call_is_made_once(box: Sandbox) -> None:
    tool = Echo()
    session = await box.session([tool])
    outcomes = await session.try_all(["echo('a', 2)", "echo('a', 2)\necho('a', 2)", "echo('b', 1)"])
    assert tool.asked == 2
    assert [len(outcome.tool_calls) for outcome in outcomes] == [1, 2, 1]
    await session.keep(0)
    await session.try_all(["echo('b', 1)"])
    assert tool.asked == 2
    await session.close()


async def test_calls_beyond_the_limit_are_refused(box: Sandbox) -> None:
    tool = Echo()
    (value,) = await ask(box, tool, "for i in range(9): echo('a', i)")
    assert value is not None
    assert value.split("\n")[-1] == "ToolError: this action has made 5 tool calls already; no more are answered"
    assert tool.asked == 5


async def test_a_flood_of_calls_ends_the_candidate(box: Sandbox) -> None:
    session = await box.session([Echo()])
    outcome, sibling = await session.try_all(["while True:\n  try: echo('a', 1)\n  except Exception: pass", "1"])
    assert (outcome.error_kind, sibling.value) == ("protocol", "1")
    await session.close()


@pytest.mark.parametrize(
    ("code", "written"),
    [
        (r"echo('caf\ud83d', 1)", r'"text":"caf\\ud83d"'),
        (r"echo(['a', {'\ud83d': '\udfff'}], 1)", r'"text":["a",{"\\ud83d":"\\udfff"}]'),
    ],
)
async def test_a_call_with_half_a_character_can_be_written_to_a_file(box: Sandbox, code: str, written: str) -> None:
    session = await box.session([Echo()])
    (outcome,) = await session.try_all([code])
    assert written in outcome.model_dump_json()
    await session.close()


async def test_a_call_can_be_written_and_read_however_deep_its_arguments_are(box: Sandbox) -> None:
    session = await box.session([Echo()])
    deep = "x = 'a'\nfor _ in range({}): x = [x]\necho(x, 1)"
    outcomes = await session.try_all([deep.format(40), deep.format(300)])
    assert [Outcome.model_validate_json(outcome.model_dump_json()) for outcome in outcomes] == [
        outcome.model_copy(update={"seconds": 0.0}) for outcome in outcomes
    ]
    assert [len(outcome.tool_calls) for outcome in outcomes] == [1, 0]
    assert outcomes[1].error_kind == "protocol"
    await session.close()


async def test_huge_arguments_are_refused(box: Sandbox) -> None:
    (value,) = await ask(box, Echo(), "echo('a' * 1_000_000, 1)")
    assert value is not None
    assert "at most 262144 are sent" in value


async def test_a_long_result_is_cut(box: Sandbox) -> None:
    (value,) = await ask(box, Echo(), "'cut' in echo('a', 100_000)")
    assert value == "True"


async def test_a_tool_that_hangs_gives_an_error(box: Sandbox) -> None:
    (value,) = await ask(box, Echo(), "echo('hang', 1)")
    assert value == "Line 1: echo('hang', 1)\nToolError: echo did not answer within 1 seconds"


async def test_a_failure_of_the_tool_itself_passes_through(box: Sandbox) -> None:
    session = await box.session([Echo()])
    with pytest.raises(RuntimeError, match="the index is gone"):
        await session.try_all(["1", "echo('break', 1)"])
    (after,) = await session.try_all(["2"])
    assert after.value == "2"
    await session.close()


async def test_a_tool_is_there_again_after_it_was_overwritten(box: Sandbox) -> None:
    session = await box.session([Echo()])
    await session.try_all(["echo = final_answer = None"])
    await session.keep(0)
    (outcome,) = await session.try_all(["final_answer(echo('a', 2))"])
    assert outcome.final_answer == "aa"
    await session.close()


async def test_waiting_for_a_tool_takes_no_place(box: Sandbox) -> None:
    """Eight places, sixteen candidates that all wait for the last one's call: with places held it would never come."""
    everyone = asyncio.Event()
    waiting = 0

    class Meet(Echo):
        name = "meet"
        parameters = ("me",)

        async def call(self, **arguments: object) -> str:
            nonlocal waiting
            waiting += 1
            if waiting == 16:
                everyone.set()
            await everyone.wait()
            return "met"

    session = await box.session([Meet()])
    outcomes = await session.try_all([f"meet({i})" for i in range(16)])
    assert [outcome.value for outcome in outcomes] == ["met"] * 16
    await session.close()
