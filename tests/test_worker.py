"""`make worker` deploys the flow when there is something to deploy, and only then."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Keeps a deployment as a server would: a file.
PREFECT = """#!/bin/sh
case "$*" in
  "deployment inspect"*) test -e deployment ;;
  *" deploy "*) echo deployed >> deployment ;;
esac
"""


class Clone:
    """A folder with what `make worker` looks at, and a `prefect` that only remembers deployments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "prefect.yaml", "pyproject.toml", "requirements.lock", "flows/distill.py"):
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
        (folder / ".venv/bin").mkdir(parents=True)
        (folder / ".venv/.installed").touch()
        (folder / ".venv/bin/prefect").write_text(PREFECT)
        (folder / ".venv/bin/prefect").chmod(0o755)

    def work(self) -> int:
        """Start a worker; return how often the flow has been deployed since the clone was made."""
        environment = {**os.environ, "PREFECT_API_URL": "http://127.0.0.1:4200/api"}
        subprocess.run(["make", "worker"], cwd=self.folder, env=environment, check=True, capture_output=True)
        return (self.folder / "deployment").read_text().count("deployed")


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_a_worker_that_starts_again_leaves_the_deployment_and_its_schedule(clone: Clone) -> None:
    assert [clone.work(), clone.work()] == [1, 1]


@pytest.mark.parametrize("changed", ["prefect.yaml", "flows/distill.py"])
def test_what_has_changed_is_deployed_again(clone: Clone, changed: str) -> None:
    clone.work()
    later = time.time() + 1
    os.utime(clone.folder / changed, (later, later))
    assert clone.work() == 2


def test_a_server_that_does_not_know_the_flow_gets_it(clone: Clone) -> None:
    clone.work()
    (clone.folder / "deployment").unlink()  # another server
    assert clone.work() == 1
