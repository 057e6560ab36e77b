"""What the ledger has is not run again, and nobody can tell: the law, on an interpreter without isolation."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentdistill.errors import SandboxError
from agentdistill.protocols import Session
from agentdistill.records import Outcome, ToolCall
from agentdistill.sandbox import LedgerSession, Sandbox
from agentdistill.store.ledger import Ledger, Request
from tests.sandbox.conftest import started
from tests.scripted import LocalSession

CODES = ["x = 1\nx", "x += 1\nx", "x", "1 / 0", "print('seen')\ny = 2", "final_answer(x)"]
Step = tuple[list[str], int] | tuple[list[str], int, int]  # codes, which to keep if it succeeded, how many at first
steps = st.lists(
    st.tuples(st.lists(st.sampled_from(CODES), min_size=1, max_size=4), st.integers(0, 3), st.integers(0, 4)),
    max_size=5,
)


class Answering:
    """Gives the outcomes it was made with, one for each code."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.ran: list[str] = []

    async def open(self) -> Session:
        return self

    async def try_all(self, codes: Sequence[str]) -> list[Outcome]:
        self.ran += codes
        return [self.outcome for _ in codes]

    async def try_more(self, codes: Sequence[str]) -> list[Outcome]:
        return await self.try_all(codes)

    async def keep(self, index: int) -> None: ...

    async def close(self) -> None: ...


def dumped(outcomes: list[list[Outcome]]) -> list[list[str]]:
    """Without seconds."""
    return [[outcome.model_dump_json() for outcome in step] for step in outcomes]


async def play(session: Session, script: Sequence[Step]) -> list[list[Outcome]]:
    seen = []
    for codes, choice, *at_first in script:
        first = at_first[0] if at_first else len(codes)
        outcomes = await session.try_all(codes[:first])
        outcomes += await session.try_more(codes[first:]) if codes[first:] else []
        seen.append(outcomes)
        if choice < len(codes) and outcomes[choice].ok:
            await session.keep(choice)
    await session.close()
    return seen


@settings(deadline=None, max_examples=60)
@given(st.lists(steps, max_size=3), steps)
async def test_outcomes_are_those_of_the_bare_session_whatever_the_ledger_has(
    earlier: list[list[Step]], script: list[Step]
) -> None:
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger") as ledger:
        for other in earlier:
            await play(LedgerSession(LocalSession().open, ledger, "code"), other)
        first, again = LocalSession(), LocalSession()
        expected = await play(LocalSession(), [step[:2] for step in script])  # without `try_more`
        assert await play(LedgerSession(first.open, ledger, "code"), script) == expected
        assert await play(LedgerSession(again.open, ledger, "code"), script) == expected
        assert again.ran == []


async def test_state_is_made_again_when_an_unknown_action_comes(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        await play(LedgerSession(LocalSession().open, ledger, "code"), [(["x = 1\nx"], 0), (["x += 1\nx"], 0)])
        bare = LocalSession()
        session = LedgerSession(bare.open, ledger, "code")
        (*_, (last,)) = await play(session, [(["x = 1\nx"], 0), (["x += 1\nx"], 0), (["x * 10"], 0)])
    assert last.value == "20"
    assert bare.ran == ["x = 1\nx", "x += 1\nx", "x * 10"]


async def test_another_code_tool_is_asked_anew(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        for fingerprint, runs in (("one", 1), ("two", 1), ("one", 0)):
            bare = LocalSession()
            await play(LedgerSession(bare.open, ledger, fingerprint), [(["1"], 0)])
            assert len(bare.ran) == runs


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(ok=False, error="slow", error_kind="wall"),
        Outcome(ok=False, error="large", error_kind="memory"),
        Outcome(ok=True, tool_calls=(ToolCall(name="search", arguments={}, result=None, error="did not answer"),)),
    ],
)
async def test_what_the_machine_did_to_an_action_is_not_kept(tmp_path: Path, outcome: Outcome) -> None:
    bare = Answering(outcome)
    with Ledger(tmp_path / "l") as ledger:
        for _ in range(2):
            await play(LedgerSession(bare.open, ledger, "code"), [(["work()"], 9)])
    assert len(bare.ran) == 2


async def test_nothing_is_kept_of_a_state_that_a_failing_tool_made(tmp_path: Path) -> None:
    failed = ToolCall(name="search", arguments={}, result=None, error="did not answer")
    bare = Answering(Outcome(ok=True, tool_calls=(failed,)))
    with Ledger(tmp_path / "l") as ledger:
        session = LedgerSession(bare.open, ledger, "code")
        await session.try_all(["found = search('x')"])
        await session.keep(0)
        bare.outcome = Outcome(ok=True, value="nothing")
        await session.try_all(["found"])
        assert ledger.get(Request.action("code", ["found = search('x')"], "found")) is None


async def test_of_two_processes_the_first_answer_stands(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        clock = Request.action("code", [], "time.time()")

        class Late(Answering):
            async def try_all(self, codes: Sequence[str]) -> list[Outcome]:
                ledger.put(clock, Outcome(ok=True, value="1"))  # by the other process, meanwhile
                return await super().try_all(codes)

        (outcome,) = await LedgerSession(Late(Outcome(ok=True, value="2")).open, ledger, "code").try_all(
            ["time.time()"]
        )
        assert outcome.value == "1"


async def test_an_action_that_succeeded_elsewhere_and_failed_here_is_tried_again_for_its_state(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        flaky = Request.action("code", [], "flaky()")

        class Raced(LocalSession):
            async def try_all(self, codes: Sequence[str]) -> list[Outcome]:
                if codes == ["flaky()"] and not self.ran:
                    ledger.put(flaky, Outcome(ok=True, value="1"))  # by another episode, meanwhile
                    self.ran += codes
                    return [Outcome(ok=False, error="unlucky", error_kind="exception")]
                return await super().try_all(["x = 1" if code == "flaky()" else code for code in codes])

        session = LedgerSession(Raced().open, ledger, "code")
        await session.try_all(["flaky()"])
        await session.keep(0)
        (outcome,) = await session.try_all(["x"])
        assert outcome.value == "1"


async def test_nothing_is_kept_of_a_state_that_came_out_otherwise_than_it_was_shown(tmp_path: Path) -> None:
    bare = Answering(Outcome(ok=True, value="0.1"))
    with Ledger(tmp_path / "l") as ledger:
        await play(LedgerSession(bare.open, ledger, "code"), [(["x = random()\nx"], 0)])
        bare.outcome = Outcome(ok=True, value="0.7")
        ((shown,), _) = await play(LedgerSession(bare.open, ledger, "code"), [(["x = random()\nx"], 0), (["x"], 9)])
        assert shown.value == "0.1"
        assert ledger.get(Request.action("code", ["x = random()\nx"], "x")) is None


async def test_nothing_is_kept_of_a_state_whose_action_another_process_answered_otherwise(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:

        class Late(Answering):
            async def try_all(self, codes: Sequence[str]) -> list[Outcome]:
                ledger.put(Request.action("code", [], "x = random()\nx"), Outcome(ok=True, value="0.1"))
                return await super().try_all(codes)

        session = LedgerSession(Late(Outcome(ok=True, value="0.7")).open, ledger, "code")
        await play(session, [(["x = random()\nx"], 0), (["x"], 9)])
        assert ledger.get(Request.action("code", ["x = random()\nx"], "x")) is None


async def test_after_a_step_that_broke_off_nothing_of_the_step_before_can_be_kept(tmp_path: Path) -> None:
    class Broken(Answering):
        async def try_all(self, codes: Sequence[str]) -> list[Outcome]:
            if "broken" in codes:
                raise SandboxError("no tool")
            return await super().try_all(codes)

    with Ledger(tmp_path / "l") as ledger:
        session = LedgerSession(Broken(Outcome(ok=True)).open, ledger, "code")
        await session.try_all(["1"])
        with pytest.raises(SandboxError):
            await session.try_all(["broken"])
        with pytest.raises(ValueError, match="cannot be kept"):
            await session.keep(0)


async def test_a_kept_action_that_now_fails_is_one_sentence(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        await play(LedgerSession(Answering(Outcome(ok=True)).open, ledger, "code"), [(["work()"], 0)])
        slow = Answering(Outcome(ok=False, error="slow", error_kind="wall"))
        session = LedgerSession(slow.open, ledger, "code")
        with pytest.raises(SandboxError, match="fails when it is run again"):
            await play(session, [(["work()"], 0), (["more()"], 0)])


async def test_a_failed_candidate_cannot_be_kept(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        for _ in range(2):  # run, then known
            session = LedgerSession(LocalSession().open, ledger, "code")
            await session.try_all(["1 / 0"])
            for index in (-1, 0, 1):
                with pytest.raises(ValueError, match="cannot be kept"):
                    await session.keep(index)


async def test_in_the_sandbox(box: Sandbox, tmp_path: Path) -> None:
    draw = "import random\nrandom.random()"
    script: list[Step] = [(["x = 1\nx", "x = 2\nx"], 1, 1), (["1 / 0", "x += 1\nx"], 1, 1), ([draw], 0), ([draw], 0)]
    with Ledger(tmp_path / "l") as ledger:
        expected = await play(await box.session(), script)
        for _ in range(2):
            found = await play(LedgerSession(box.session, ledger, box.fingerprint), script)
            assert dumped(found) == dumped(expected)


async def test_a_sandbox_with_other_limits_has_another_fingerprint(box: Sandbox) -> None:
    assert box.isolation != "unsafe"
    other = await started(box.isolation, wall_seconds=9)
    assert other.fingerprint != box.fingerprint
    await other.__aexit__(None, None, None)
