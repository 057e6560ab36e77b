"""`make ui`: Prefect's server and MLflow's, on loopback, until Ctrl-C; their addresses are printed when they answer."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack
from types import FrameType

from flows import ROOT
from flows.processes import Children

HOST = "127.0.0.1"
LOGS = ROOT / ".cache" / "ui"
RUNS = "#/experiments?workflowType=machine_learning"  # without it MLflow opens a page about traces
SECONDS_TO_START = 180.0  # a first start makes the databases
SECONDS_BETWEEN_LOOKS = 0.5


def free_port(preferred: int) -> int:
    """Return `preferred` if nobody listens there, else any free port."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("No free port on loopback.")


def main() -> None:
    """Start both, print where they are, wait, and stop both."""
    signal.signal(signal.SIGTERM, _interrupt)
    LOGS.mkdir(parents=True, exist_ok=True)
    prefect, mlflow = free_port(4200), free_port(5000)
    store = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"
    commands = {
        "prefect": [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(prefect)],
        "mlflow": [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(mlflow)],
    }
    commands["mlflow"] += ["--backend-store-uri", store, "--workers", "1"]
    pages = {"prefect": f"http://{HOST}:{prefect}/api/health", "mlflow": f"http://{HOST}:{mlflow}/health"}
    children = Children()
    print("Starting the Prefect server and the MLflow UI ...", flush=True)
    try:
        with ExitStack() as stack:
            processes = {
                name: stack.enter_context(children.start(command, ROOT, quiet=LOGS / f"{name}.log"))
                for name, command in commands.items()
            }
            for name, process in processes.items():
                if not _answers(pages[name], process):
                    sys.exit(f"{name} did not start; see {LOGS / f'{name}.log'}.")
            print(
                f"\n  Prefect  http://{HOST}:{prefect}\n  MLflow   http://{HOST}:{mlflow}/{RUNS}\n\n"
                "To see a run in Prefect, start it in another terminal with\n"
                f"  PREFECT_API_URL=http://{HOST}:{prefect}/api .venv/bin/python -m flows.distill\n\n"
                "Ctrl-C stops both.",
                flush=True,
            )
            while all(process.poll() is None for process in processes.values()):
                time.sleep(SECONDS_BETWEEN_LOOKS)
            sys.exit(f"One of the servers ended by itself; see {LOGS}.")
    except KeyboardInterrupt:
        print("\nStopped.")


def _answers(page: str, process: subprocess.Popen[str]) -> bool:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(page, timeout=5) as reply:
                return bool(reply.status == 200)
        except OSError:
            time.sleep(SECONDS_BETWEEN_LOOKS)
    return False


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
