"""`make ui`: both servers answer where it says, and Ctrl-C leaves neither."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.processes import alive, below

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_both_servers_answer_until_ctrl_c(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
    }
    command = [sys.executable, "-m", "flows.ui"]
    ui = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert ui.stdout is not None
    with ui.stdout:
        addresses = []
        for line in ui.stdout:
            addresses += re.findall(r"http://127\.0\.0\.1:\d+\S*", line)
            if "Ctrl-C" in line:
                break
        family = below(ui.pid)
        try:
            assert len(addresses) == 3  # Prefect, MLflow, and Prefect's API for the flow
            for address in addresses[:2]:
                with urllib.request.urlopen(address, timeout=30) as page:
                    assert "<html" in page.read().decode().lower()
            with urllib.request.urlopen(f"{addresses[2]}/health", timeout=30) as reply:
                assert reply.status == 200
        finally:
            ui.send_signal(signal.SIGINT)
            ui.wait(60)
    assert [pid for pid in family if alive(pid)] == []
