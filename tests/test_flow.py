"""The flow over a toy pipeline, against a real Prefect server and real DVC."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL
from prefect.testing.utilities import prefect_test_harness

from flows.distill import distill
from tests.processes import alive
from tests.toy import Toy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parent.parent
RUN = "import sys; from pathlib import Path; from flows.distill import distill; distill(root=Path(sys.argv[1]))"


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=300):
        yield


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Toy(tmp_path, tracking=False)


def run(toy: Toy, targets: list[str] | None = None, *, force: bool = False) -> tuple[State, dict[str, State]]:
    """Run the flow; return its state and those of the stages by name."""
    state = distill(targets, force, toy.root, return_state=True)
    flow_run = state.state_details.flow_run_id
    assert flow_run is not None
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])))
    return state, {one.name: one.state for one in runs if one.state is not None and one.name != "finalise"}


def names(states: dict[str, State]) -> dict[str, str | None]:
    return {name: state.name for name, state in states.items()}


def test_the_flow_mirrors_the_graph_and_leaves_dvc_nothing_to_do(toy: Toy) -> None:
    state, stages = run(toy)
    assert state.is_completed()
    assert names(stages) == dict.fromkeys(["first", "second@x", "second@y", "third"], "Completed")
    assert toy.calls() == ["first", "second-x", "second-y", "third"]
    assert toy.is_up_to_date()
    _, stages = run(toy)
    assert set(names(stages).values()) == {"Cached"}
    assert toy.calls() == []


def test_what_dvc_did_the_flow_need_not_do(toy: Toy) -> None:
    toy.reproduce()
    _, stages = run(toy)
    assert set(names(stages).values()) == {"Cached"}


def test_a_changed_parameter_reruns_what_depends_on_it_and_its_return_restores(toy: Toy) -> None:
    toy.reproduce()
    toy.seed(1)
    _, stages = run(toy)
    assert names(stages) == {"first": "Cached", "second@x": "Completed", "second@y": "Completed", "third": "Completed"}
    toy.seed(0)
    toy.calls()
    _, stages = run(toy)
    assert names(stages) == {"first": "Cached", "second@x": "Restored", "second@y": "Restored", "third": "Restored"}
    assert toy.calls() == []


def test_targets_bring_what_they_need_and_no_more(toy: Toy) -> None:
    _, stages = run(toy, ["second@y"])
    assert set(stages) == {"first", "second@y"}
    assert toy.calls() == ["first", "second-y"]


def test_force_reruns_the_targets_only(toy: Toy) -> None:
    toy.reproduce()
    toy.calls()
    run(toy, ["second"], force=True)
    assert toy.calls() == ["second-x", "second-y"]


def test_a_failure_says_why_and_holds_up_only_what_needs_it(toy: Toy) -> None:
    (toy.root / "break-second-x").touch()
    state, stages = run(toy)
    assert state.is_failed()
    assert names(stages) == {"first": "Completed", "second@x": "Failed", "second@y": "Completed", "third": "NotReady"}
    assert stages["second@x"].message == "second-x is broken. Remove the file."
    assert "third" not in toy.calls()


def test_the_output_of_a_stage_is_in_the_log_and_its_metrics_in_the_table(toy: Toy) -> None:
    toy.seed(3)
    state, _ = run(toy)
    with get_client(sync_client=True) as client:
        mine = {"flow_run_id": {"any_": [str(state.state_details.flow_run_id)]}}
        artifacts = client.request("POST", "/artifacts/filter", json={"artifacts": mine})
        assert '"score.all 1.5"' in artifacts.json()[0]["data"]
        for _ in range(60):  # logs arrive in batches
            logs = client.request("POST", "/logs/filter", json={"logs": mine}).json()
            if any(log["message"] == "third at work" for log in logs):
                return
            time.sleep(0.5)
    pytest.fail("The stage's output is not in Prefect's log.")


def test_a_terminated_flow_leaves_no_process_behind(toy: Toy) -> None:
    (toy.root / "hang-second-x").touch()
    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value())}
    with subprocess.Popen([sys.executable, "-c", RUN, str(toy.root)], cwd=ROOT, env=environment) as flow:
        helper = toy.root / "helper.pid"
        deadline = time.monotonic() + 300
        while not helper.exists() or not helper.read_text():
            assert flow.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        flow.send_signal(signal.SIGTERM)
        flow.wait(60)
    assert not alive(int(helper.read_text()))
    (toy.root / "hang-second-x").unlink()
    run(toy)  # no lock is left either
    assert toy.is_up_to_date()
