from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agentdistill.errors import DataError
from tasks.ask import answer

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("question", ["", " \n"])
async def test_an_empty_question_is_refused(question: str) -> None:
    with pytest.raises(DataError, match="is empty"):
        await answer(question, "agent_ftp", greedy=True)


async def test_what_the_shell_could_not_decode_is_refused_at_its_place() -> None:
    with pytest.raises(DataError, match="no text at character 4"):
        await answer("Who\udce9 founded it?", "agent_ftp", greedy=True)


async def test_before_a_run_there_is_nobody_to_ask() -> None:
    with pytest.raises(DataError, match=r"models/adapters/agent_ftp yet\. Distil one first"):
        await answer("Who founded it?", "agent_ftp", greedy=True)
