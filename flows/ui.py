"""`make ui`: Prefect's server and MLflow's, on loopback, until Ctrl-C; their addresses are printed when they answer.

If MLFLOW_TRACKING_URI is the address of an MLflow server, that one is shown and none is started.
"""

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
from urllib.parse import urlsplit

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


def running(store: str) -> str | None:
    """Return where to look at `store` if it is an MLflow server, without user and password, else None."""
    parts = urlsplit(store)
    if parts.scheme not in ("http", "https"):
        return None
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def main() -> None:
    """Start what does not run yet, print where all is, wait, and stop what was started."""
    signal.signal(signal.SIGTERM, _interrupt)
    LOGS.mkdir(parents=True, exist_ok=True)
    prefect, mlflow = free_port(4200), free_port(5000)
    store = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"
    runs = running(store)
    commands = {"prefect": [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(prefect)]}
    if runs is None:
        commands["mlflow"] = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(mlflow)]
        commands["mlflow"] += ["--backend-store-uri", store, "--workers", "1"]
        runs = f"http://{HOST}:{mlflow}/{RUNS}"
    pages = {"prefect": f"http://{HOST}:{prefect}/api/health", "mlflow": f"http://{HOST}:{mlflow}/health"}
    children = Children()
    print(f"Starting {' and '.join(commands)} ...", flush=True)
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
                f"\n  Prefect  http://{HOST}:{prefect}\n  MLflow   {runs}\n\n"
                "To see a run in Prefect, start it in another terminal with\n"
                f"  PREFECT_API_URL=http://{HOST}:{prefect}/api .venv/bin/python -m flows.distill\n\n"
                f"Ctrl-C stops {' and '.join(commands)}.",
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
