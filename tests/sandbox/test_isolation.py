"""Which rung of isolation is taken, and what is said when none holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentdistill.errors import SandboxError
from agentdistill.sandbox import Sandbox, canary
from tests.sandbox.conftest import LIMITS, require, started


@pytest.fixture
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_bubblewrap")
async def test_without_bubblewrap_the_next_rung_is_taken() -> None:
    await require("B")
    async with Sandbox(**LIMITS) as box:
        assert box.isolation == "B"


@pytest.mark.usefixtures("no_bubblewrap")
async def test_a_refusal_says_what_is_missing_and_how_to_get_it() -> None:
    with pytest.raises(SandboxError, match=r"bubblewrap \(bwrap\) is not installed.*package 'bubblewrap'"):
        await Sandbox(**LIMITS, only="A").__aenter__()


async def test_a_bubblewrap_that_fails_gives_its_own_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SandboxError, match="setting up uid map: Permission denied"):
        await Sandbox(**LIMITS, only="A").__aenter__()


async def test_the_canary_notices_an_open_cage() -> None:
    async with Sandbox(**LIMITS, only="unsafe") as box:
        leaks = await canary.leaks(box.session)
    assert {"read a file", "list a directory", "open a socket", "fork"} <= set(leaks)


async def test_unsafe_weakens_nothing_where_isolation_works() -> None:
    box = await started("B")
    await box.__aexit__(None, None, None)
    async with Sandbox(**LIMITS, unsafe=True) as box:
        assert box.isolation in ("A", "B")


async def test_unsafe_is_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with Sandbox(**LIMITS, only="unsafe"):
        assert "unsafe (resource limits only)" in caplog.text


async def test_the_host_s_environment_does_not_reach_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "canary-5")
    box = await started("B")
    session = await box.session()
    (outcome,) = await session.try_all(["print.__self__.__import__('os').environ.get('API_KEY')"])
    assert outcome.ok
    assert outcome.value is None
    await box.__aexit__(None, None, None)


async def test_a_module_that_cannot_be_preloaded_is_named() -> None:
    with pytest.raises(SandboxError, match=r"sandbox.preload cannot be preloaded.*no_such_module"):
        await Sandbox(**{**LIMITS, "preload": ["no_such_module"]}).__aenter__()


@pytest.mark.slow
async def test_data_frames_survive() -> None:
    pytest.importorskip("pandas")
    box = await started("B", allowed_imports=["pandas"], preload=["pandas"])
    session = await box.session()
    await session.try_all(["import pandas as pd\nframe = pd.DataFrame({'a': [1, 2, 3]})"])
    await session.keep(0)
    (outcome,) = await session.try_all(["frame['a'] += 1\nint(frame['a'].sum())"])
    assert outcome.value == "9"
    await box.__aexit__(None, None, None)
