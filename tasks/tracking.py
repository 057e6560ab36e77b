"""MLflow's view of the pipeline: one parent run a pipeline state, one child run for each stage that ran.

The stages' journals are read as they grow (`tasks.follow`) or at the end (`tasks.finalise`). Everything here can be
repeated: a run is found again by its tags, and a journal is removed when all of it has arrived. One that MLflow refuses
is put aside; while MLflow is away all of them wait. The store is mlflow.db beside dvc.yaml, or what MLFLOW_TRACKING_URI
says.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from agentdistill.errors import DataError
from tasks.journal import flatten, is_locked
from tasks.traces import log_traces

PIPELINE = "pipeline.key"
JOURNAL = "pipeline.journal"
STAGE = "pipeline.stage"
PARENT = "mlflow.parentRunId"
BATCH = 100  # MLflow takes at most 1,000 metrics and 100 params or tags a request
KEY_CHARACTERS = 250  # MLflow refuses longer names
PARAM_CHARACTERS = 6000  # and longer values
# What MLflow calls a store that lets nobody in, or nobody now; a database that is locked or full is one too.
AWAY = (
    "UNAUTHENTICATED",
    "CUSTOMER_UNAUTHORIZED",
    "PERMISSION_DENIED",
    "REQUEST_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
    "TEMPORARILY_UNAVAILABLE",
)
LAST_STAGE = "report"  # needs all others, so a pipeline in which it finished is complete


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
        pending = [RunTag(allowed(key), value) for key, value in tags.items()]
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
    _parent: str = ""
    _stage: str = ""
    _offset: int = 0
    _status: str = ""
    _files: list[Path] = field(default_factory=list)

    def read(self) -> bool:
        """Send what was written since the last time; return whether that was the end, and the file is gone."""
        orphaned = not is_locked(self.path)  # asked first: what is written after this is read next time
        metrics: list[Metric] = []
        results: list[Metric] = []
        now = int(time.time() * 1000)
        for event in self._events():
            now = int(event["time"] * 1000)
            match event["event"]:
                case "start":
                    self._start(event)
                case "metrics":
                    metrics += as_metrics(event["values"], now, step=event["step"] or 0)
                    if event["step"] is None:
                        results += as_metrics(event["values"], now, stage=self._stage)
                case "usage":
                    metrics += as_metrics(event["values"], now)
                case "trajectories":
                    self._files.append(Path(event["path"]))
                case "end":
                    self._status = event["status"]
                    if self.run and event["error"]:
                        self.tracker.tag(self.run, {"error": event["error"], "mlflow.note.content": event["error"]})
        if self.run:
            self.tracker.log(self.run, metrics)
            self.tracker.log(self._parent, results)
        if not (self._status or orphaned):
            return False
        if self.run:
            self._end(now)
        self.path.unlink()
        return True

    def refuse(self, error: Exception) -> None:
        """Put the journal aside, so that it holds up no other, and say why."""
        kept = self.path.rename(self.path.with_suffix(".refused"))
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"MLflow did not take {self.path.name}, kept as {kept}; all others go on. {reason}", file=sys.stderr)
        if self.run:
            with suppress(MlflowException):  # such as a run that the user has deleted
                self.tracker.client.set_terminated(self.run, self._status or "KILLED")

    def _events(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # still being written
                self._offset += len(line)
                try:
                    event = json.loads(line)
                except ValueError:  # cut by a full disk; what stands around it counts
                    continue
                yield event

    def _start(self, event: Mapping[str, Any]) -> None:
        self._stage = event["stage"]
        self._parent = self.tracker.parent(event["pipeline"], event["params"])
        found = self.tracker.find({JOURNAL: self.path.name})
        if found:
            self.run = str(found[0].info.run_id)
            return
        tags = {PARENT: self._parent, STAGE: self._stage, JOURNAL: self.path.name}
        made = self.tracker.client.create_run(
            self.tracker.experiment, start_time=int(event["time"] * 1000), tags=tags, run_name=self._stage
        )
        self.run = str(made.info.run_id)
        self.tracker.client.log_batch(self.run, params=_params(event["params"]))

    def _end(self, time_ms: int) -> None:
        for file in self._files:
            with suppress(DataError):  # gone or made anew since; the run's numbers stand without its traces
                log_traces(file, run=self.run, experiment=self.tracker.experiment, limit=self.traces)
        self.tracker.client.set_terminated(self.run, self._status or "KILLED", time_ms)
        if self._stage == LAST_STAGE and self._status == "FINISHED":
            # `finalise` looks at the pipeline of the checkout only; that of a queued experiment ends here.
            self.tracker.client.set_terminated(self._parent, "FINISHED", time_ms)


def publish(tracker: Tracker, folder: Path, traces: int, readers: dict[Path, Reader]) -> bool:
    """Read every journal in `folder` once; return whether one is still open. `readers` remembers how far each was."""
    with FileLock(folder / "publish.lock"):
        paths = sorted(folder.glob("*.jsonl"))
        for gone in readers.keys() - set(paths):
            del readers[gone]  # another process has published the rest of it
        ended = [_read(readers.setdefault(path, Reader(path, tracker, traces))) for path in paths]
    return not all(ended)


def _read(reader: Reader) -> bool:
    try:
        return reader.read()
    except Exception as error:
        if is_away(error):
            raise
        reader.refuse(error)
        return True


def is_away(error: BaseException | None) -> bool:
    """Tell whether the store cannot be reached or cannot work now, as against refusing what it was sent."""
    if isinstance(error, MlflowException) and error.error_code in AWAY:
        return True
    return isinstance(error, OSError) or (error is not None and is_away(error.__context__))


def allowed(key: str) -> str:
    """Return `key` as a name that MLflow takes: of few characters, not long, and a path in its shortest form."""
    key = re.sub(r"[^\w\-. :/]", "_", key)[:KEY_CHARACTERS]
    return posixpath.normpath(key).lstrip("./") or "_"


def label(stage: str) -> str:
    """Return a stage's address as a name that MLflow takes."""
    return allowed(stage.replace("@", "."))


def as_metrics(values: Mapping[str, float], time_ms: int, *, step: int = 0, stage: str = "") -> list[Metric]:
    """Return numbers as MLflow takes them; with `stage` under the names that a parent has for that stage's results."""
    prefix = f"{label(stage)}." if stage else ""
    return [Metric(allowed(prefix + key), value, time_ms, step) for key, value in values.items()]


def _params(params: Mapping[str, Any]) -> list[Param]:
    values = {allowed(key): str(value)[:PARAM_CHARACTERS] for key, value in flatten(params).items()}
    return [Param(key, value) for key, value in values.items()]
