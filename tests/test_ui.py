"""`make ui`: the servers answer where it says, and Ctrl-C leaves none."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import alive, below

ROOT = Path(__file__).parent.parent


@contextmanager
def ui(folder: Path, store: str) -> Iterator[tuple[list[str], list[int]]]:
    """Start it; yield the addresses that it prints and its processes, and press Ctrl-C."""
    environment = {**os.environ, "PREFECT_HOME": str(folder / "prefect"), "MLFLOW_TRACKING_URI": store}
    command = [sys.executable, "-m", "flows.ui"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=_hear_ctrl_c
    )
    assert process.stdout is not None
    with process.stdout:
        addresses = []
        for line in process.stdout:
            addresses += re.findall(r"http://\S+", line)
            if "Ctrl-C" in line:
                break
        try:
            yield addresses, below(process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _hear_ctrl_c() -> None:
    """Undo what a shell does to the programs that it starts in the background, these tests perhaps."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_both_servers_answer_until_ctrl_c(tmp_path: Path) -> None:
    with ui(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}") as (addresses, family):
        assert len(addresses) == 3  # Prefect, MLflow, and Prefect's API for the flow
        for address in addresses[:2]:
            with urllib.request.urlopen(address, timeout=30) as page:
                assert "<html" in page.read().decode().lower()
        with urllib.request.urlopen(f"{addresses[2]}/health", timeout=30) as reply:
            assert reply.status == 200
    assert [pid for pid in family if alive(pid)] == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_mlflow_server_that_runs_elsewhere_is_shown_and_none_is_started(tmp_path: Path) -> None:
    with ui(tmp_path, "http://me:secret@mlflow.example:5000") as (addresses, _):
        assert addresses[1] == "http://mlflow.example:5000"
        with urllib.request.urlopen(f"{addresses[2]}/health", timeout=30) as reply:
            assert reply.status == 200
