"""MLflow's view of the pipeline: one parent run a pipeline state, one child run for each stage that ran.

The stages' journals are read as they grow (`tasks.follow`) or at the end (`tasks.finalise`). Everything here can be
repeated: a run is found again by its tags, and a journal is removed when all of it has arrived. The store is mlflow.db
beside dvc.yaml, or what MLFLOW_TRACKING_URI says.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from tasks.journal import flatten, is_locked
from tasks.traces import log_traces

PIPELINE = "pipeline.key"
JOURNAL = "pipeline.journal"
STAGE = "pipeline.stage"
PARENT = "mlflow.parentRunId"
BATCH = 100  # MLflow takes at most 1,000 metrics and 100 params or tags a request
PARAM_CHARACTERS = 6000  # MLflow refuses longer values


@dataclass(frozen=True)
class Tracker:
    """The experiment in MLflow."""

    client: MlflowClient
    experiment: str

    def find(self, tags: Mapping[str, str], *, order: str = "attributes.start_time DESC") -> list[Run]:
        """Return the runs that have all `tags`, newest first."""
        query = " AND ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        return list(self.client.search_runs([self.experiment], query, order_by=[order]))

    def parent(self, key: str, params: Mapping[str, Any]) -> str:
        """Return the id of the parent run of a pipeline state; make the run if there is none."""
        found = self.find({PIPELINE: key, STAGE: "pipeline"})
        if found:
            return str(found[0].info.run_id)
        tags = {PIPELINE: key, STAGE: "pipeline"}
        run = self.client.create_run(self.experiment, tags=tags, run_name=f"pipeline {key[:6]}")
        self.client.log_batch(run.info.run_id, params=_params(params))
        return str(run.info.run_id)

    def children(self, parent: str) -> list[Run]:
        """Return the runs of stages under a parent, newest first."""
        return self.find({PARENT: parent})

    def stages(self) -> list[Run]:
        """Return the runs of stages under all parents, newest first."""
        query = f"tags.`{STAGE}` != 'pipeline'"
        return list(self.client.search_runs([self.experiment], query, order_by=["attributes.start_time DESC"]))

    def log(self, run: str, metrics: Iterable[Metric]) -> None:
        """Send metrics in as few requests as MLflow permits; sending one twice is harmless."""
        pending = list(metrics)
        for start in range(0, len(pending), BATCH):
            self.client.log_batch(run, metrics=pending[start : start + BATCH])

    def tag(self, run: str, tags: Mapping[str, str]) -> None:
        """Set tags, replacing older values."""
        pending = [RunTag(key, value) for key, value in tags.items()]
        for start in range(0, len(pending), BATCH):
            self.client.log_batch(run, tags=pending[start : start + BATCH])


def open_tracker(folder: Path, experiment: str) -> Tracker:
    """Open the store of the pipeline in `folder`, making it and the experiment if they are not there."""
    import mlflow

    folder = folder.resolve()
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}")
    client = MlflowClient()
    found = client.get_experiment_by_name(experiment)
    if found is not None:
        return Tracker(client, str(found.experiment_id))
    local = None if os.environ.get("MLFLOW_TRACKING_URI") else (folder / "mlruns").as_uri()
    made = client.create_experiment(experiment, artifact_location=local)
    return Tracker(client, str(made))


@dataclass
class Reader:
    """One journal on its way to MLflow."""

    path: Path
    tracker: Tracker
    traces: int
    run: str = ""
    _offset: int = 0
    _status: str = ""
    _files: list[Path] = field(default_factory=list)

    def read(self) -> bool:
        """Send what was written since the last time; return whether that was the end, and the file is gone."""
        orphaned = not is_locked(self.path)  # asked first: what is written after this is read next time
        metrics: list[Metric] = []
        last = time.time()
        for event in self._events():
            last = event["time"]
            match event["event"]:
                case "start":
                    self.run = self._start(event)
                case "metrics":
                    metrics += _metrics(event)
                case "trajectories":
                    self._files.append(Path(event["path"]))
                case "end":
                    self._status = event["status"]
                    if event["error"]:
                        self.tracker.tag(self.run, {"error": event["error"], "mlflow.note.content": event["error"]})
        if self.run:
            self.tracker.log(self.run, metrics)
        if not (self._status or orphaned):
            return False
        if self.run:
            for file in self._files:
                log_traces(file, run=self.run, experiment=self.tracker.experiment, limit=self.traces)
            self.tracker.client.set_terminated(self.run, self._status or "KILLED", int(last * 1000))
        self.path.unlink()
        return True

    def _events(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # still being written
                self._offset += len(line)
                yield json.loads(line)

    def _start(self, event: Mapping[str, Any]) -> str:
        parent = self.tracker.parent(event["pipeline"], event["params"])
        found = self.tracker.find({JOURNAL: self.path.name})
        if found:
            return str(found[0].info.run_id)
        tags = {PARENT: parent, STAGE: event["stage"], JOURNAL: self.path.name}
        run = self.tracker.client.create_run(
            self.tracker.experiment, start_time=int(event["time"] * 1000), tags=tags, run_name=event["stage"]
        ).info.run_id
        self.tracker.client.log_batch(run, params=_params(event["params"]))
        return str(run)


def publish(tracker: Tracker, folder: Path, traces: int, readers: dict[Path, Reader]) -> bool:
    """Read every journal in `folder` once; return whether one is still open. `readers` remembers how far each was."""
    with FileLock(folder / "publish.lock"):
        paths = sorted(folder.glob("*.jsonl"))
        for gone in readers.keys() - set(paths):
            del readers[gone]  # another process has published the rest of it
        ended = [readers.setdefault(path, Reader(path, tracker, traces)).read() for path in paths]
    return not all(ended)


def _params(params: Mapping[str, Any]) -> list[Param]:
    return [Param(key, str(value)[:PARAM_CHARACTERS]) for key, value in flatten(params).items()]


def _metrics(event: Mapping[str, Any]) -> list[Metric]:
    time_ms = int(event["time"] * 1000)
    return [Metric(key, value, time_ms, event["step"] or 0) for key, value in event["values"].items()]
