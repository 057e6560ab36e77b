"""Complete the pipeline's parent run in MLflow: what every stage of the graph gave, also those that had nothing to do.

`python -m tasks.finalise` after `dvc repro`; the flow and the background reader do the same. The parent gets the
metrics of all stages, a table of where each result comes from, and the report. Each child that made a current result
gets the files it read as datasets, with DVC's md5. Repeating it changes nothing.
"""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Dataset, DatasetInput, InputTag, Run
from mlflow.exceptions import MlflowException

from agentdistill.config import read_yaml
from agentdistill.config.tracking import TrackingParams
from tasks.graph import Lock, Node, outdated, read_graph, read_locks
from tasks.journal import FOLDER, numbers, root
from tasks.stage import PARAMS, load_params, pipeline_key, run_command
from tasks.tracking import PARENT, STAGE, Tracker, as_metrics, is_away, label, open_tracker, publish

MADE_BY = "pipeline.made_by"  # by stage: digest of its entry in dvc.lock, and the run that made it
FINALISED = "pipeline.finalised"  # time in ms of the last completion
DIGEST_CHARACTERS = 36  # that MLflow stores; an md5 of a folder has 32 and ".dir"
# MLflow's own patience with a server that is down takes minutes; this command is the last of `make repro`.
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}  # timeout in seconds
INCOMPLETE = ("failed", "running", "waiting")
# No dvc.yaml: DVC would take the copy for a pipeline of its own.
STATE = ("params.yaml", "dvc.lock")
REPORT = ("reports/metrics.json", "reports/report.html")


@dataclass(frozen=True)
class Origin:
    """Where a stage's result comes from. `state` is "ran" under this parent, "unchanged" since the pipeline before,
    "restored" from DVC's cache of earlier runs; or, without a current result, "failed", "running" or "waiting"."""

    state: str
    run: str | None


def finalise(tracker: Tracker, base: Path) -> str:
    """Complete the parent run of the current params.yaml and dvc.yaml and return its id."""
    params = load_params()
    parent = tracker.parent(pipeline_key(params), params.model_dump(mode="json"))
    nodes, locks = read_graph(base), read_locks(base)
    origins = _origins(tracker, parent, nodes, locks, outdated(locks, read_yaml(base / PARAMS)))
    now = int(time.time() * 1000)
    # What is on the disk of a stage that has no current result belongs to other parameters.
    done = [node for node in nodes if origins[node.name].state not in INCOMPLETE]
    tracker.log(parent, [metric for node in done for metric in as_metrics(_metrics(base, node), now, stage=node.name)])
    for node in nodes:
        origin = origins[node.name]
        if origin.state == "ran" and origin.run is not None:
            _log_inputs(tracker, origin.run, locks[node.name].inputs)
    tags = {FINALISED: str(now), "mlflow.note.content": _table(tracker, origins)}
    tags |= {f"stage.{label(name)}": origin.state for name, origin in origins.items()}
    current = {name: origin.run for name, origin in origins.items() if origin.state not in INCOMPLETE}
    tags[MADE_BY] = json.dumps({name: [locks[name].digest, run] for name, run in current.items() if run is not None})
    tracker.tag(parent, tags)
    reported = any(node.name == "report" for node in done)
    for file in STATE + (REPORT if reported else ()):
        if (base / file).exists():
            tracker.client.log_artifact(parent, str(base / file))
    complete = not any(origin.state in INCOMPLETE for origin in origins.values())
    tracker.client.set_terminated(parent, "FINISHED" if complete else "FAILED", now)
    _close_abandoned(tracker, parent)
    return parent


def _close_abandoned(tracker: Tracker, parent: str) -> None:
    """End the parents that were left for another params.yaml before they were complete."""
    for run in tracker.find({STAGE: "pipeline"}):
        if run.info.run_id == parent or run.info.status != "RUNNING":
            continue
        if all(child.info.status != "RUNNING" for child in tracker.children(run.info.run_id)):
            tracker.client.set_terminated(run.info.run_id, "KILLED")


def _origins(
    tracker: Tracker, parent: str, nodes: Iterable[Node], locks: Mapping[str, Lock], old: set[str]
) -> dict[str, Origin]:
    pipelines = tracker.find({STAGE: "pipeline"}, order="attributes.end_time DESC")
    finalised = [run for run in pipelines if FINALISED in run.data.tags]
    since = max((int(run.data.tags[FINALISED]) for run in finalised), default=0)
    newest: dict[str, Run] = {}
    for child in tracker.stages():
        newest.setdefault(child.data.tags[STAGE], child)
    origins: dict[str, Origin] = {}
    for node in nodes:
        last = newest.get(node.name)
        mine = last is not None and last.data.tags[PARENT] == parent
        if last is not None and mine and last.info.status != "FINISHED":
            origins[node.name] = Origin("running" if last.info.status == "RUNNING" else "failed", last.info.run_id)
        elif (
            node.name not in locks
            or node.name in old
            or any(origins[name].state in INCOMPLETE for name in node.upstream)
        ):
            origins[node.name] = Origin("waiting", None)
        elif last is not None and last.info.status == "FINISHED" and last.info.end_time > since:
            origins[node.name] = Origin("ran" if mine else "unchanged", last.info.run_id)
        else:
            origins[node.name] = _earlier(node.name, locks[node.name].digest, parent, finalised)
    return origins


def _earlier(name: str, digest: str, parent: str, finalised: Sequence[Run]) -> Origin:
    """Say which pipeline had the result with this digest; `finalised` are all that were completed, newest first."""

    def maker(run: Run) -> str | None:
        known, by = json.loads(run.data.tags[MADE_BY]).get(name, (None, None))
        return by if known == digest else None

    for run in finalised:
        if run.info.run_id == parent and maker(run):
            return Origin(run.data.tags[f"stage.{label(name)}"], maker(run))
    others = [run for run in finalised if run.info.run_id != parent]
    if others and maker(others[0]):
        return Origin("unchanged", maker(others[0]))
    return Origin("restored", next(filter(None, map(maker, others)), None))


def _metrics(base: Path, node: Node) -> dict[str, float]:
    found: dict[str, float] = {}
    for path in node.metrics:
        if (base / path).exists():
            found |= numbers(json.loads((base / path).read_text(encoding="utf-8")))
    return found


def _log_inputs(tracker: Tracker, run: str, inputs: Mapping[str, str]) -> None:
    data = {path: md5 for path, md5 in inputs.items() if path.startswith("data/")}
    datasets = [
        DatasetInput(
            Dataset(path, md5[:36], "dvc", json.dumps({"path": path, "md5": md5})),
            [InputTag("mlflow.data.context", "input")],
        )
        for path, md5 in data.items()
    ]
    if datasets:
        tracker.client.log_inputs(run, datasets)


def _table(tracker: Tracker, origins: Mapping[str, Origin]) -> str:
    """Return the parent's description: one row a stage, with a link to the run that made its result."""
    rows = ["| stage | state | made by |", "|---|---|---|"]
    for name, origin in origins.items():
        link = (
            f"[{origin.run[:8]}](#/experiments/{tracker.experiment}/runs/{origin.run})" if origin.run else "unrecorded"
        )
        rows.append(f"| {name} | {origin.state} | {link} |")
    return "\n".join(rows)


def main() -> None:
    """Publish what the stages wrote and complete the parent; called by `make repro` and by the flow.

    Results stand without MLflow, so a store that cannot be reached is a warning and no failure.
    """
    for key, value in PATIENCE.items():
        os.environ.setdefault(key, value)
    params = load_params().tracking
    if not params.enabled:
        print("Tracking is off (tracking.enabled in params.yaml), so there is no run to complete.")
        return
    try:
        print(_complete(root(), params))
    except MlflowException as error:
        if not is_away(error):
            raise
        print(
            f"MLflow cannot be reached ({_innermost(error)}). No result depends on it, and the journals wait in "
            f"{FOLDER}. Run `python -m tasks.finalise` when it is back.",
            file=sys.stderr,
        )


def _complete(base: Path, params: TrackingParams) -> str:
    (base / FOLDER).mkdir(parents=True, exist_ok=True)
    tracker = open_tracker(base, params.experiment)
    publish(tracker, base / FOLDER, params.traces, {})
    parent = finalise(tracker, base)
    status = tracker.client.get_run(parent).info.status.lower()
    return f"MLflow run {parent} of experiment {params.experiment!r} is {status}. See it with: make ui"


def _innermost(error: BaseException) -> BaseException:
    return error if error.__context__ is None else _innermost(error.__context__)


if __name__ == "__main__":
    ArgumentParser(prog="python -m tasks.finalise", description=main.__doc__).parse_args()
    run_command(main)
