"""The key of a hosted teacher is in no file that a stage, its ledger or its MLflow run leaves behind."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from agentdistill.records import Problem
from agentdistill.store.jsonl import write_jsonl
from tasks.journal import FOLDER, READER_LOCK
from tasks.tracking import Reader, open_tracker, publish
from tests.models.fake_server import FakeServer, refuse

ROOT = Path(__file__).parents[2]
KEY = "sk-a-key-that-must-not-be-written"


def prepare(folder: Path, url: str) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder / name)
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    params["teacher"] = {
        "backend": "openai",
        "model": "m",
        "base_urls": [url],
        "identity": None,
        "api_key_env": "TEACHER_KEY",
        "max_concurrency": 4,
        "timeout_seconds": 30.0,
        "attempts": 2,
        "max_requests": None,
        "max_tokens": None,
        "max_usd": 1.0,
        "usd_per_million_prompt_tokens": 1.0,
        "usd_per_million_completion_tokens": 1.0,
        "fixed_sampling": False,
    }
    yaml.dump(params, folder / "params.yaml")
    problems = [
        Problem.create(question=f"q{i}", answer="1", source="s", split="train", answer_kind="math", family="f")
        for i in range(3)
    ]
    write_jsonl(folder / "data/problems/train.jsonl", problems)


async def ask_teacher(folder: Path) -> tuple[int | None, str]:
    """Run the stage `cot`; return its status and everything that it said."""
    stage = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tasks.cot"),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TEACHER_KEY": KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await stage.communicate()
    return stage.returncode, said.decode()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_teachers_key_is_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    with (tmp_path / FOLDER / READER_LOCK).open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # no reader in the background: the test publishes by itself
        async with FakeServer() as server:
            prepare(tmp_path, server.url)
            answered = await ask_teacher(tmp_path)
            (tmp_path / ".cache/ledger.sqlite").unlink()
            server.faults.extend([refuse(401, f"Incorrect API key provided: {KEY}.")] * 8)
            refused = await ask_teacher(tmp_path)
        assert set(server.keys) == {f"Bearer {KEY}"}
        assert answered[0] == 0, answered[1]
        assert refused[0] == 1
        monkeypatch.chdir(tmp_path)
        readers: dict[Path, Reader] = {}
        publish(open_tracker(tmp_path, "agentdistill"), tmp_path / FOLDER, 10, readers)
    assert KEY not in answered[1] + refused[1]
    written = contents(tmp_path)
    assert {"mlflow.db", "cot.jsonl", "ledger.sqlite"} <= {path.name for path in written}
    assert [path for path, content in written.items() if KEY.encode() in content] == []
