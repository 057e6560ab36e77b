"""The cage: every attempt on every rung, beside an innocent sibling candidate and a bystander session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from agentdistill.records import Outcome
from agentdistill.sandbox import Sandbox, Session
from tests.sandbox.conftest import LIMITS, started
from tests.sandbox.hazards import DENIED, ENDLESS, FAILING, PRELUDE

pytestmark = pytest.mark.asyncio(loop_scope="module")
MEANS = "ctypes io mmap multiprocessing os resource signal socket stat struct subprocess sys threading time"
INNOCENT = "kept.append(4)\nsum(kept)"


class Scene:
    """A session that has the means to attack, and one that has nothing to do with it."""

    def __init__(self, box: Sandbox, session: Session, bystander: Session) -> None:
        self.box = box
        self.session = session
        self.bystander = bystander
        self.counted = 0

    async def attempt(self, code: str) -> Outcome:
        """Run `code` beside the innocent sibling; assert that sibling and bystander are well."""
        outcome, sibling = await self.session.try_all([code, INNOCENT])
        assert sibling.value == "10", sibling
        self.counted += 1
        (count,) = await self.bystander.try_all(["count += 1\ncount"])
        assert count.value == str(self.counted)
        await self.bystander.keep(0)
        return outcome

    async def attempt_first(self, code: str) -> Outcome:
        """Run `code` as the first action of an episode, beside an innocent sibling; assert that the sibling is well."""
        session = await self.box.session()
        outcome, sibling = await session.try_all([f"{PRELUDE}\n{code}", f"{PRELUDE}\n{INNOCENT}"])
        assert sibling.value == "10", sibling
        await session.keep(1)
        await session.close()
        return outcome


async def arm(box: Sandbox) -> Scene:
    session, bystander = await box.session(), await box.session()
    (armed,) = await session.try_all([PRELUDE])
    assert armed.ok, armed
    await session.keep(0)
    await bystander.try_all(["count = 0"])
    await bystander.keep(0)
    return Scene(box, session, bystander)


def permissive(**changes: Any) -> dict[str, Any]:
    return {"allowed_imports": [*LIMITS["allowed_imports"], *MEANS.split()], **changes}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["A", "B"])
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    box = await started(request.param, **permissive())
    yield await arm(box)
    await box.__aexit__(None, None, None)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["A", "B"])
async def hurried(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    box = await started(request.param, **permissive(wall_seconds=2, wall_grace_seconds=1, cpu_seconds=1))
    yield await arm(box)
    await box.__aexit__(None, None, None)


@pytest.mark.parametrize("name", DENIED)
async def test_the_kernel_refuses(scene: Scene, name: str) -> None:
    for attempt in (scene.attempt, scene.attempt_first):
        outcome = await attempt(denied(name))
        assert outcome.logs == "refused\n", outcome


@pytest.mark.parametrize("name", FAILING)
async def test_failing_code_is_reported(scene: Scene, name: str) -> None:
    code, kinds = FAILING[name]
    for attempt in (scene.attempt, scene.attempt_first):
        outcome = await attempt(code)
        assert not outcome.ok
        assert outcome.error_kind in kinds, outcome
        assert outcome.error


@pytest.mark.parametrize("status", [50, 1 << 40, -9, 1 << 80])
async def test_a_state_that_forges_how_its_candidates_ended_deceives_itself_alone(scene: Scene, status: int) -> None:
    session = await scene.box.session()
    answers = f"b''.join(frame(json.dumps({{'id': i, 'status': {status}}}).encode()) for i in range(1, 12))"
    report = 'frame(b\'{"ok": true, "logs": ""}\')'
    forged = f"{PRELUDE}\nimport json\nos.write(channel(), {report} + {answers})"
    (outcome,) = await session.try_all([forged])
    assert outcome.ok, outcome
    await session.keep(0)
    (died,) = await session.try_all(["os._exit(3)"])
    assert died.error_kind == "killed"
    assert died.error
    await session.close()


async def test_the_standard_streams_carry_nothing_to_another_candidate(scene: Scene) -> None:
    flags = "[fcntl.fcntl(i, fcntl.F_GETFL) & os.O_NONBLOCK for i in range(3)]"
    mark = "for i in range(3): fcntl.fcntl(i, fcntl.F_SETFL, os.O_NONBLOCK)"
    header = "fcntl = print.__self__.__import__('fcntl')\nos = print.__self__.__import__('os')"
    for session in (scene.session, await scene.box.session()):  # the candidates of a kept state; those of a new episode
        (marking,) = await session.try_all([f"{header}\n{mark}\n{flags}"])
        assert marking.value is not None
        assert "0" not in marking.value.strip("[]").split(", "), marking
        for other in (session, await scene.box.session()):
            (seen,) = await other.try_all([f"{header}\n{flags}"])
            assert seen.value == "[0, 0, 0]"


def denied(name: str) -> str:
    body = "\n".join(f"    {line}" for line in DENIED[name].strip().split("\n"))
    return f"try:\n{body}\nexcept (OSError, ValueError):\n    print('refused')\nelse:\n    print('done')"


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDLESS)
async def test_endless_code_is_stopped(hurried: Scene, name: str) -> None:
    code, kinds = ENDLESS[name]
    outcome = await hurried.attempt(code)
    assert outcome.error_kind in kinds, outcome
    assert outcome.seconds < 6
