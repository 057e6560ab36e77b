"""The DVC graph as a Prefect flow: one task run for each stage, in the graph's order.

The graph is read from DVC, so no stage is named here. Each stage runs as `dvc repro --single-item`, so DVC alone
decides what has to run, and `dvc repro` after the flow finds nothing to do. A stage that fails holds up those that need
it and no others. Stages run one after the other: they share one machine.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from agentdistill.errors import AgentDistillError
from flows import ROOT
from flows.processes import Children
from tasks.graph import Node, is_target, read_graph
from tasks.journal import numbers

CACHED = re.compile(r"didn't change, skipping")
RESTORED = re.compile(r"is cached - skipping run")
LINES_KEPT = 30  # of a failed stage's output, to find its last words in
METRICS_SHOWN = 8  # numbers of a stage in the table

children = Children()


@task(name="stage", task_run_name="{node.name}", cache_policy=NO_CACHE, persist_result=False)
def run_stage(node: Node, force: bool, root: Path) -> State[Any]:
    """Have DVC bring one stage up to date, its output going to Prefect's log; its upstream must be up to date."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", node.name]
    code, lines = _logged([*command, "--force"] if force else command, root)
    if code != 0:
        return Failed(message=_last_words(lines, node.name))
    if any(RESTORED.search(line) for line in lines):
        return Completed(name="Restored", message="DVC had the result of this very run in its cache.")
    if any(CACHED.search(line) for line in lines):
        return Completed(name="Cached", message="Nothing that it depends on has changed.")
    return Completed()


@task(name="finalise", task_run_name="finalise", cache_policy=NO_CACHE, persist_result=False)
def finalise(root: Path) -> State[Any]:
    """Complete the parent run in MLflow."""
    code, lines = _logged([sys.executable, "-m", "tasks.finalise"], root)
    return Completed() if code == 0 else Failed(message=_last_words(lines, "finalise"))


@flow(name="distill", task_runner=ThreadPoolTaskRunner(max_workers=1), persist_result=False)  # type: ignore[arg-type]
def distill(targets: list[str] | None = None, force: bool = False, root: Path = ROOT) -> State[Any]:
    """Bring the pipeline up to date.

    Args:
        targets: stages to bring up to date, with all that they need; "rollout" stands for its variants. None is all.
        force: run the targets even if nothing has changed; what they need still runs only if it has.
        root: the folder of dvc.yaml.
    """
    nodes = read_graph(root, tuple(targets or ()))
    forced = {node.name for node in nodes if force and (not targets or is_target(node.name, targets))}
    started: dict[str, PrefectFuture[Any]] = {}
    seconds: dict[str, float] = {}
    children.reopen()  # a flow of this process may have been cancelled before this one
    try:
        for node in nodes:
            above = [started[name] for name in node.upstream if name in started]
            # Prefect's overloads ask for futures of one type here.
            started[node.name] = run_stage.submit(node, node.name in forced, root, wait_for=above)  # type: ignore[call-overload]
        for name, future in started.items():
            begun = time.monotonic()
            future.wait()
            seconds[name] = time.monotonic() - begun
    except BaseException:  # cancelled: no stage is left behind
        children.stop()
        raise
    states = {name: future.state for name, future in started.items()}
    _show(root, nodes, states, seconds)
    finalise(root, return_state=True)
    failed = [name for name, state in states.items() if not state.is_completed()]
    counts = Counter(state.name for state in states.values())
    summary = ", ".join(f"{count} {str(name).lower()}" for name, count in counts.items())
    return Failed(message=f"{summary}: {', '.join(failed)}.") if failed else Completed(message=f"{summary}.")


def _logged(command: list[str], root: Path) -> tuple[int, deque[str]]:
    """Run `command`, log what it prints, and return its exit status and its last lines."""
    logger = get_run_logger()
    lines: deque[str] = deque(maxlen=LINES_KEPT)
    with children.start(command, root) as process:
        assert process.stdout is not None
        for line in process.stdout:
            text = line.rstrip()
            if text:
                lines.append(text)
                logger.info(text)
        return process.wait(), lines


def _last_words(lines: Iterable[str], name: str) -> str:
    """Return the line that says why: the last one before DVC's own account of the failure."""
    told = [line for line in lines if not line.startswith(("ERROR:", "Running stage", "> "))]
    return told[-1] if told else " ".join(lines) or f"{name} said nothing."


def _show(root: Path, nodes: Iterable[Node], states: dict[str, State[Any]], seconds: dict[str, float]) -> None:
    table = [
        {
            "stage": node.name,
            "state": states[node.name].name,
            "seconds": round(seconds[node.name], 1),
            "metrics": _metrics(root, node),
            "message": states[node.name].message or "",
        }
        for node in nodes
    ]
    create_table_artifact(table, key="stages", description="What each stage came to, and its metrics.")


def _metrics(root: Path, node: Node) -> str:
    found: dict[str, float] = {}
    for path in node.metrics:
        if (root / path).exists():
            found |= numbers(json.loads((root / path).read_text(encoding="utf-8")))
    shallow = sorted(found.items(), key=lambda item: item[0].count("."))[:METRICS_SHOWN]
    return ", ".join(f"{key} {value:.4g}" for key, value in shallow)


def main() -> None:
    """Run the flow from the command line; status 1 if a stage failed."""
    parser = argparse.ArgumentParser(prog="python -m flows.distill", description="Run the pipeline as a Prefect flow.")
    parser.add_argument("targets", nargs="*", help="stages to bring up to date, with what they need; none is all")
    parser.add_argument("--force", action="store_true", help="run the targets even if nothing has changed")
    arguments = parser.parse_args()
    try:
        read_graph(ROOT, tuple(arguments.targets))  # a wrong name is said before a server starts
    except AgentDistillError as error:
        sys.exit(str(error))
    state = distill(arguments.targets or None, arguments.force, return_state=True)
    sys.exit(0 if state.is_completed() else f"The flow did not complete: {state.message}")


if __name__ == "__main__":
    main()
