"""What importing `flows` prepares for Prefect."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows import distill

ROOT = Path(__file__).parent.parent


def test_prefect_has_a_home_in_a_fresh_clone(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "flows", tmp_path / "flows")
    environment = {key: value for key, value in os.environ.items() if key != "PREFECT_HOME"}
    subprocess.run([sys.executable, "-c", "import flows"], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / ".cache" / "prefect").is_dir()


def test_a_stage_that_does_not_exist_is_said_before_a_server_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["distill", "nope"])
    monkeypatch.setattr(distill, "distill", lambda *_, **__: pytest.fail("the flow was started"))
    with pytest.raises(SystemExit, match="There is no stage 'nope'"):
        distill.main()
