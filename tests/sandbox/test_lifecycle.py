"""Processes, descriptors and memory: nothing outlives what it belongs to."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from agentdistill.errors import SandboxError
from agentdistill.sandbox import Isolation, Sandbox, Session, parent
from tests.processes import alive, below
from tests.sandbox.conftest import LIMITS, started

ROOT = Path(__file__).resolve().parents[2]
RUNGS: list[Isolation] = ["A", "B"]


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def running() -> int:
    """How many descendants this process has. The undead are not counted: they wait for their parent's next fork."""
    return sum(alive(pid) for pid in below(os.getpid()))


async def settled(expected: int) -> int:
    """Wait until `expected` descendants are running, at most three seconds; return how many are."""
    for _ in range(300):
        count = running()
        if count == expected:
            break
        await asyncio.sleep(0.01)
    return count


async def steady() -> int:
    """Return how many descendants are running, once those of the canary have had half a second to be gone."""
    count, same = -1, 0
    while same < 50:
        now = running()
        count, same = now, same + 1 if now == count else 0
        await asyncio.sleep(0.01)
    return count


@pytest.mark.parametrize("rung", RUNGS)
async def test_nothing_is_left_after_leaving(rung: Isolation) -> None:
    before = await steady(), len(os.listdir("/proc/self/fd"))
    box = await started(rung)
    session = await box.session()
    await session.try_all(["1"] * 3)
    await box.session()
    await box.__aexit__(None, None, None)
    assert (await settled(before[0]), len(os.listdir("/proc/self/fd"))) == before


@pytest.mark.parametrize("rung", RUNGS)
async def test_a_step_makes_exactly_as_many_processes_as_candidates(rung: Isolation) -> None:
    box = await started(rung)
    idle = await steady()
    session = await box.session()
    await session.try_all(["1"] * 5)
    assert await settled(idle + 5) == idle + 5
    await session.keep(3)
    assert await settled(idle + 1) == idle + 1
    await session.try_all(["1"] * 2)
    assert await settled(idle + 3) == idle + 3
    await session.close()
    assert await settled(idle) == idle
    await box.__aexit__(None, None, None)


@pytest.mark.parametrize("rung", RUNGS)
async def test_a_hundred_steps_leave_no_zombies_and_no_descriptors(rung: Isolation) -> None:
    box = await started(rung)
    session = await box.session()
    processes, descriptors = await steady(), len(os.listdir("/proc/self/fd"))
    for step in range(100):
        await session.try_all(
            ["x = 1", "1 / 0"] if step % 10 else ["print.__self__.__import__('os')._exit(0)", "x = 1"]
        )
        if step % 3 == 0:
            await session.keep(0 if step % 10 else 1)
    await session.close()
    assert await settled(processes) == processes
    assert len(os.listdir("/proc/self/fd")) == descriptors
    another = await box.session()
    await another.try_all(["1"])  # the zygote reaps when it forks
    assert len(below(os.getpid())) == processes + 1
    await box.__aexit__(None, None, None)


def test_a_killed_host_takes_all_with_it(offered_rung: Isolation) -> None:
    script = f"""
    import asyncio
    from agentdistill.sandbox import Sandbox

    async def main():
        box = await Sandbox(**{LIMITS!r}, only={offered_rung!r}).__aenter__()
        session, idle = await box.session(), await box.session()
        await idle.try_all(["1"])
        await idle.keep(0)
        asyncio.get_running_loop().call_later(1, lambda: print("running", flush=True))
        await session.try_all(["while True: pass", "print.__self__.__import__('time').sleep(1000)", "1"])

    asyncio.run(main())
    """
    host = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert host.stdout is not None
    with host.stdout:
        assert host.stdout.readline().strip() == "running"
        family = below(host.pid)
        assert len(family) >= 5  # the zygote, the idle session's state, three candidates
        host.send_signal(signal.SIGKILL)
        host.wait()
    deadline = time.monotonic() + 3
    while any(alive(pid) for pid in family) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in family if alive(pid)] == []


async def opened(box: Sandbox, kept: bool) -> Session:
    """Open a session: `kept` says whether its state is a process of its own or still the zygote's."""
    session = await box.session()
    if kept:
        await session.try_all(["1"])
        await session.keep(0)
    return session


def holds(pid: int, text: bytes) -> bool:
    """Whether the memory of the process contains `text`."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            if line.split()[1].startswith("rw"):
                memory.seek(start)
                if text in memory.read(end - start):
                    return True
    return False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of a process that cannot be dumped")
@pytest.mark.parametrize("rung", RUNGS)
async def test_the_code_of_an_episode_never_reaches_the_process_that_the_next_one_is_forked_from(
    rung: Isolation,
) -> None:
    box = await started(rung)
    await steady()
    parents = {pid for pid in below(os.getpid()) if alive(pid)}
    session = await box.session()
    await session.try_all(["x = 'tangerine' + str(6 * 7)"])
    await session.keep(0)
    assert session._node is not None
    assert holds(session._node.process.pid, b"tangerine42")
    assert [pid for pid in parents if holds(pid, b"tangerine")] == []
    await box.__aexit__(None, None, None)


async def test_a_cancelled_step_leaves_the_session_usable() -> None:
    box = await started("B")
    session = await box.session()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await session.try_all(["while True: pass"] * 3)
    (outcome,) = await session.try_all(["1"])
    assert outcome.value == "1"
    await box.__aexit__(None, None, None)


async def test_a_session_whose_process_is_gone_fails_softly() -> None:
    box = await started("B")
    session = await box.session()
    await session.try_all(["x = 1"])
    await session.keep(0)
    assert session._node is not None
    session._node.process.signal(signal.SIGKILL)
    outcomes = await session.try_all(["1", "2"])
    assert [outcome.error_kind for outcome in outcomes] == ["killed", "killed"]
    await box.__aexit__(None, None, None)


async def test_a_closed_session_starts_nothing() -> None:
    box = await started("B")
    session = await box.session()
    await session.close()
    (outcome,) = await session.try_all(["1"])
    assert outcome.error_kind == "killed"
    await box.__aexit__(None, None, None)


async def test_a_sandbox_that_was_killed_says_so() -> None:
    box = await started("B")
    assert box._zygote is not None
    box._zygote._process.kill()
    box._zygote._process.wait()
    session = await box.session()
    with pytest.raises(SandboxError, match="could not start an episode"):
        await session.try_all(["1", "2"])
    await box.__aexit__(None, None, None)


async def test_more_episodes_open_at_once_than_the_sockets_buffer_holds() -> None:
    box = await started("B")
    sessions = [await box.session() for _ in range(400)]
    steps = await asyncio.gather(*(session.try_all([f"{number}"]) for number, session in enumerate(sessions)))
    assert [outcome.value for (outcome,) in steps] == [str(number) for number in range(400)]
    await box.__aexit__(None, None, None)


async def test_too_few_descriptors_are_an_error_that_names_the_cure() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    box = await started("B")
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 20, hard))
    try:
        with pytest.raises(SandboxError, match="ulimit -n"):
            await (await box.session()).try_all(["1"] * 40)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await box.__aexit__(None, None, None)


@pytest.mark.parametrize("kept", [False, True])
async def test_a_candidate_that_cannot_be_held_does_not_run(monkeypatch: pytest.MonkeyPatch, kept: bool) -> None:
    box = await started("B")
    session = await opened(box, kept)
    before = await steady()

    def no_descriptor(pid: int) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(parent, "Process", no_descriptor)
    with pytest.raises(SandboxError, match="ulimit -n"):
        await session.try_all(["while True: pass"])
    assert await settled(before) == before
    await box.__aexit__(None, None, None)


@pytest.mark.parametrize("kept", [False, True])
async def test_a_candidate_that_is_given_up_while_it_starts_does_not_run(kept: bool) -> None:
    box = await started("B")
    session = await opened(box, kept)
    before = await steady()
    for turns in range(1, 8):
        step = asyncio.create_task(session.try_all(["while True: pass"]))
        for _ in range(turns):
            await asyncio.sleep(0)
        time.sleep(0.05)  # noqa: ASYNC251 - the event loop is busy: the process greets, and nobody has read it
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
    assert await settled(before) == before
    await box.__aexit__(None, None, None)


async def test_using_it_before_entering_is_an_error() -> None:
    box = Sandbox(**LIMITS)
    with pytest.raises(SandboxError, match="async with"):
        await box.session()
    with pytest.raises(SandboxError, match="async with"):
        _ = box.isolation


async def test_the_unsafe_rung_runs_code_and_is_named() -> None:
    async with Sandbox(**LIMITS, only="unsafe") as box:
        assert box.isolation == "unsafe"
        session = await box.session()
        (outcome,) = await session.try_all(["6 * 7"])
        assert outcome.value == "42"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rung", RUNGS)
async def test_two_thousand_steps_in_flat_memory(rung: Isolation) -> None:
    box = await started(rung)
    sizes = []
    for episode in range(200):
        session = await box.session()
        for step in range(10):
            await session.try_all([f"x = {step}\nprint('y' * 1000)\nx", "1 / 0"])
            await session.keep(0)
        await session.close()
        if episode in (50, 199):
            sizes.append(resident_bytes())
    assert sizes[1] - sizes[0] < 8 << 20
    await box.__aexit__(None, None, None)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rung", RUNGS)
async def test_many_episodes_at_once_time_nothing_out(rung: Isolation) -> None:
    box = await started(rung, concurrency=None)

    async def episode(number: int) -> None:
        session = await box.session()
        for step in range(2):
            outcomes = await session.try_all([f"sum(range({number} + {step} + {i}))" for i in range(8)])
            assert [outcome.error for outcome in outcomes] == [None] * 8
            await session.keep(7)
        await session.close()

    await asyncio.gather(*(episode(number) for number in range(64)))
    await box.__aexit__(None, None, None)
