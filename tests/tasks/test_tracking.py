"""MLflow's view of a toy pipeline, in a store of its own."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_metric_name

from agentdistill.records import Candidate, Message, Outcome, Step, Trajectory, Usage
from agentdistill.store.jsonl import write_jsonl
from tasks.finalise import MADE_BY, finalise
from tasks.graph import read_locks
from tasks.journal import FOLDER, Journal
from tasks.stage import load_params, pipeline_key
from tasks.tracking import KEY_CHARACTERS, Tracker, allowed, open_tracker, publish
from tests.toy import Toy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
NOBODY = "http://127.0.0.1:9"  # where nothing listens


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return Toy(tmp_path, tracking=True)


@pytest.fixture
def tracker(toy: Toy) -> Tracker:
    return open_tracker(toy.root, "toy")


def begin(stage: str) -> Journal:
    journal = Journal(FOLDER, stage)
    params = load_params()
    journal.write("start", stage=stage, pipeline=pipeline_key(params), params=params.model_dump(mode="json"))
    return journal


def end(journal: Journal, status: str = "FINISHED", error: str = "") -> None:
    journal.write("end", status=status, error=error)
    journal.close()


def reproduce(toy: Toy, tracker: Tracker) -> str:
    """Run what DVC finds to run, publish a journal for each stage that ran, finalise, return the parent."""
    toy.reproduce()
    for call in toy.calls():
        end(begin(call.replace("-", "@")))
    assert not publish(tracker, FOLDER, 5, {})
    return finalise(tracker, toy.root)


def states(tracker: Tracker, parent: str) -> dict[str, str]:
    tags = tracker.client.get_run(parent).data.tags
    return {key.removeprefix("stage."): value for key, value in tags.items() if key.startswith("stage.")}


def maker(tracker: Tracker, parent: str, stage: str) -> str:
    """Return the run that made a stage's result, as the parent tells it."""
    return str(json.loads(tracker.client.get_run(parent).data.tags[MADE_BY])[stage][1])


def only(runs: list[Run]) -> Run:
    (run,) = runs
    return run


def test_a_first_run_has_a_child_for_each_stage_and_a_complete_parent(toy: Toy, tracker: Tracker) -> None:
    parent = reproduce(toy, tracker)
    run = tracker.client.get_run(parent)
    assert run.info.status == "FINISHED"
    assert run.data.params["sft.lora_r"] == str(load_params().sft.lora_r)
    assert run.data.metrics == {"second.x.score.all": 0.0, "second.y.score.all": 0.0}
    assert set(states(tracker, parent).values()) == {"ran"}
    assert {child.info.run_name for child in tracker.children(parent)} == {"first", "second@x", "second@y", "third"}
    assert {item.path for item in tracker.client.list_artifacts(parent)} == {"params.yaml", "dvc.lock"}


@pytest.mark.parametrize(("last", "logged"), [("third", set()), ("report", {"metrics.json"})])
def test_a_report_is_shown_where_its_stage_has_made_it(toy: Toy, tracker: Tracker, last: str, logged: set[str]) -> None:
    """Where it has not, the file in the checkout is that of other parameters."""
    graph = toy.root / "dvc.yaml"
    graph.write_text(graph.read_text().replace("  third:", f"  {last}:"))
    (toy.root / "reports").mkdir()
    (toy.root / "reports/metrics.json").write_text("{}")
    parent = reproduce(toy, tracker)
    shown = {item.path for item in tracker.client.list_artifacts(parent)}
    assert shown == {"params.yaml", "dvc.lock"} | logged


def test_a_child_has_the_files_that_it_read_with_dvcs_md5(toy: Toy, tracker: Tracker) -> None:
    parent = reproduce(toy, tracker)
    child = next(child for child in tracker.children(parent) if child.info.run_name == "second@x")
    inputs = tracker.client.get_run(child.info.run_id).inputs
    assert inputs is not None
    (read,) = inputs.dataset_inputs
    assert read.dataset.name == "data/first.txt"
    assert read.dataset.digest == read_locks(toy.root)["second@x"].inputs["data/first.txt"]


def test_a_changed_parameter_is_a_new_parent_that_points_at_what_did_not_run(toy: Toy, tracker: Tracker) -> None:
    before = reproduce(toy, tracker)
    first = maker(tracker, before, "first")
    toy.seed(1)
    after = reproduce(toy, tracker)
    assert after != before
    assert states(tracker, after) == {"first": "unchanged", "second.x": "ran", "second.y": "ran", "third": "ran"}
    assert maker(tracker, after, "first") == first
    assert first[:8] in tracker.client.get_run(after).data.tags["mlflow.note.content"]
    assert tracker.client.get_run(after).data.metrics["second.x.score.all"] == 0.5


def test_what_has_not_run_with_new_parameters_is_no_result_of_theirs(toy: Toy, tracker: Tracker) -> None:
    reproduce(toy, tracker)
    toy.seed(1)
    parent = finalise(tracker, toy.root)
    assert states(tracker, parent) == {
        "first": "unchanged",
        "second.x": "waiting",
        "second.y": "waiting",
        "third": "waiting",
    }
    run = tracker.client.get_run(parent)
    assert run.data.metrics == {}
    assert run.info.status == "FAILED"


def test_what_read_files_that_have_been_written_anew_since_has_no_result(toy: Toy, tracker: Tracker) -> None:
    reproduce(toy, tracker)
    (toy.root / "source.txt").write_text("another source ")
    with Repo(str(toy.root)) as repo:
        repo.reproduce("first")
    end(begin("first"))
    publish(tracker, FOLDER, 5, {})
    parent = finalise(tracker, toy.root)
    assert states(tracker, parent) == {"first": "ran", "second.x": "waiting", "second.y": "waiting", "third": "waiting"}


def test_going_back_finds_the_first_parent_again(toy: Toy, tracker: Tracker) -> None:
    before = reproduce(toy, tracker)
    toy.seed(1)
    reproduce(toy, tracker)
    toy.seed(0)
    assert reproduce(toy, tracker) == before
    assert set(states(tracker, before).values()) == {"ran"}


def test_results_from_dvcs_cache_are_restored_and_linked(toy: Toy, tracker: Tracker) -> None:
    before = reproduce(toy, tracker)
    first = maker(tracker, before, "third")
    toy.seed(1)
    reproduce(toy, tracker)
    toy.seed(0)
    path = toy.root / "dvc.yaml"
    path.write_text(path.read_text() + "# another key, the same graph\n")
    after = reproduce(toy, tracker)
    assert states(tracker, after)["third"] == "restored"
    assert maker(tracker, after, "third") == first


def test_finalising_twice_changes_nothing(toy: Toy, tracker: Tracker) -> None:
    parent = reproduce(toy, tracker)
    before = states(tracker, parent)
    assert finalise(tracker, toy.root) == parent
    assert states(tracker, parent) == before


def test_a_failed_stage_is_told_and_what_waits_for_it_has_no_result(toy: Toy, tracker: Tracker) -> None:
    reproduce(toy, tracker)
    toy.seed(1)
    end(begin("second@x"), "FAILED", "The file is empty. Fill it.")
    publish(tracker, FOLDER, 5, {})
    parent = finalise(tracker, toy.root)
    assert tracker.client.get_run(parent).info.status == "FAILED"
    assert states(tracker, parent)["second.x"] == "failed"
    assert states(tracker, parent)["third"] == "waiting"
    assert "second.x.score.all" not in tracker.client.get_run(parent).data.metrics  # the file is of the time before
    child = only(tracker.children(parent))
    assert (child.info.status, child.data.tags["error"]) == ("FAILED", "The file is empty. Fill it.")


def test_a_pipeline_that_was_left_for_another_does_not_run_for_ever(toy: Toy, tracker: Tracker) -> None:
    end(begin("first"))
    publish(tracker, FOLDER, 5, {})
    toy.seed(1)
    after = reproduce(toy, tracker)
    left = only([run for run in tracker.find({"pipeline.stage": "pipeline"}) if run.info.run_id != after])
    assert left.info.status == "KILLED"


def test_a_queued_experiment_ends_complete_without_being_the_checkouts_pipeline(toy: Toy, tracker: Tracker) -> None:
    toy.seed(1)  # what the experiment's own folder would have
    end(begin("second@x"))
    end(begin("report"))
    toy.seed(0)
    publish(tracker, FOLDER, 5, {})
    checkout = reproduce(toy, tracker)
    experiment = only([run for run in tracker.find({"pipeline.stage": "pipeline"}) if run.info.run_id != checkout])
    assert experiment.info.status == "FINISHED"


def test_a_parent_has_the_results_of_a_stage_as_soon_as_their_journal_is_read(toy: Toy, tracker: Tracker) -> None:
    journal = begin("second@x")
    journal.write("metrics", values={"loss": 2.0}, step=1)
    journal.write("metrics", values={"score.all": 0.5}, step=None)
    journal.write("usage", values={"seconds": 3.0})
    publish(tracker, FOLDER, 5, {})
    assert only(tracker.find({"pipeline.stage": "pipeline"})).data.metrics == {"second.x.score.all": 0.5}
    end(journal)


def test_a_killed_stage_is_killed_in_mlflow_too(toy: Toy, tracker: Tracker) -> None:
    begin("first").close()  # no end: as after SIGKILL, when the system lets go of the lock
    publish(tracker, FOLDER, 5, {})
    parent = finalise(tracker, toy.root)
    assert only(tracker.children(parent)).info.status == "KILLED"


def test_a_curve_arrives_whole_and_once(toy: Toy, tracker: Tracker) -> None:
    journal = begin("first")
    for step in range(150):
        journal.write("metrics", values={"loss": 1 / (step + 1)}, step=step)
    content = journal.path.read_bytes()
    end(journal)
    publish(tracker, FOLDER, 5, {})
    journal.path.write_bytes(content)  # a reader that died after sending and before removing the file
    publish(tracker, FOLDER, 5, {})
    child = only(tracker.find({"pipeline.stage": "first"}))
    history = tracker.client.get_metric_history(child.info.run_id, "loss")
    assert [point.step for point in history] == list(range(150))


def test_a_sample_of_trajectories_becomes_traces(toy: Toy, tracker: Tracker) -> None:
    write_jsonl(Path("plain.jsonl"), [_trajectory(number) for number in range(4)])
    journal = begin("first")
    journal.write("trajectories", path=str(Path("plain.jsonl").resolve()))
    end(journal)
    publish(tracker, FOLDER, 3, {})
    child = only(tracker.find({"pipeline.stage": "first"}))
    traces = tracker.client.search_traces(locations=[tracker.experiment], run_id=child.info.run_id)
    assert len(traces) == 3
    assert {span.name for span in traces[0].data.spans} >= {"step 1", "candidate 1"}


@given(st.text())
def test_mlflow_takes_every_name_that_is_made_allowed(key: str) -> None:
    _validate_metric_name(allowed(key))  # type: ignore[no-untyped-call]
    assert len(allowed(key)) <= KEY_CHARACTERS


def test_a_family_may_have_any_name(toy: Toy, tracker: Tracker) -> None:
    journal = begin("first")
    journal.write("metrics", values={"accuracy.C++ (hard), 50%": 0.5}, step=None)
    end(journal)
    publish(tracker, FOLDER, 5, {})
    assert only(tracker.find({"pipeline.stage": "first"})).data.metrics == {"accuracy.C__ _hard__ 50_": 0.5}


def test_a_journal_that_mlflow_refuses_holds_up_no_other(
    toy: Toy, tracker: Tracker, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = begin("first")
    refused.write("metrics", values={"loss": "no number"}, step=None)
    end(refused)
    end(begin("third"))
    publish(tracker, FOLDER, 5, {})
    assert [path.name for path in FOLDER.glob("*-*")] == [refused.path.with_suffix(".refused").name]
    assert only(tracker.find({"pipeline.stage": "third"})).info.status == "FINISHED"
    assert refused.path.name in capsys.readouterr().err


def test_a_line_that_a_full_disk_has_cut_costs_that_line_alone(toy: Toy, tracker: Tracker) -> None:
    journal = begin("first")
    with journal.path.open("a") as file:
        file.write('{"event": "metr\n')
    end(journal)
    publish(tracker, FOLDER, 5, {})
    assert list(FOLDER.glob("*-*")) == []
    assert only(tracker.find({"pipeline.stage": "first"})).info.status == "FINISHED"


def test_a_stage_whose_trajectories_are_gone_is_published_without_traces(toy: Toy, tracker: Tracker) -> None:
    journal = begin("first")
    journal.write("trajectories", path="gone.jsonl")
    end(journal)
    publish(tracker, FOLDER, 5, {})
    assert list(FOLDER.glob("*-*")) == []
    assert only(tracker.find({"pipeline.stage": "first"})).info.status == "FINISHED"


def test_journals_wait_while_mlflow_is_away(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    journal = begin("first")
    end(journal)
    with pytest.raises(MlflowException):
        publish(Tracker(MlflowClient(NOBODY), "1"), FOLDER, 5, {})
    assert journal.path.exists()


def test_to_finalise_while_mlflow_is_away_is_a_warning_and_no_failure(toy: Toy) -> None:
    end(begin("first"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": NOBODY}
    command = [sys.executable, "-m", "tasks.finalise"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("MLflow cannot be reached (")


def test_the_store_is_beside_dvc_yaml(toy: Toy, tracker: Tracker) -> None:
    reproduce(toy, tracker)
    with sqlite3.connect(toy.root / "mlflow.db") as store:
        (runs,) = store.execute("select count(*) from runs").fetchone()
    assert runs == 5


def _trajectory(number: int) -> Trajectory:
    outcome = Outcome(ok=True, logs="4", final_answer="4", seconds=0.1)
    text = "Thought: add\nCode:\n```py\nfinal_answer(2 + 2)\n```"
    candidate = Candidate(text=text, code="final_answer(2 + 2)", outcome=outcome)
    step = Step(candidates=(candidate,), chosen=0, votes=(0,), observation=None, usage=Usage(), seconds=0.2)
    return Trajectory(
        id=f"t{number}",
        problem_id=f"p{number}",
        attempt=0,
        recipe="plain",
        messages=(Message(role="user", text="2 + 2?"), Message(role="assistant", text=text, sampled=True)),
        steps=(step,),
        answer="4",
        stop="answered",
        usage=Usage(),
        prefix=None,
    )


def test_to_ask_finalise_for_help_completes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tasks.finalise", "--help"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert "usage: python -m tasks.finalise" in said
    assert list(tmp_path.iterdir()) == []
