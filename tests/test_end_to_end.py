"""The real pipeline on a small part of the embedded default: every stage, twice; a rollout killed at any moment."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from agentdistill.records import Trajectory
from agentdistill.store.jsonl import read_jsonl
from agentdistill.store.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parent.parent
CODE = ("agentdistill", "tasks", "models/embedded")
FILES = ("dvc.yaml", "params.yaml", "models/none")
KILLS = 20


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with small params, and the pipeline run in it once."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in CODE:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    yaml = YAML()
    params = yaml.load(folder / "params.yaml")
    params["download"]["sources"] = [{"type": "world", "seed": 7, "train": 24, "validation": 0, "test": 4}]
    params["sft"]["epochs"] = 1
    params["evaluate"]["sag"]["n"] = 2
    params["tracking"]["enabled"] = False
    yaml.dump(params, folder / "params.yaml")
    dvc(folder, "init", "--no-scm", "--quiet")
    dvc(folder, "repro")
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}


def dvc(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def answers(ledger: Path) -> int:
    """How many requests the teacher answered."""
    with Ledger(ledger) as found:
        return sum(entry.replies for entry in found.stats() if not entry.fingerprint.startswith("code:"))


def test_a_second_run_has_nothing_to_do(checkout: Path) -> None:
    assert "Data and pipelines are up to date" in dvc(checkout, "repro")


def test_every_question_is_in_the_denominator_of_every_accuracy(checkout: Path) -> None:
    for path in (checkout / "reports/metrics").glob("evaluate-*.json"):
        metrics = json.loads(path.read_text())
        assert [metrics[mode]["questions"] for mode in ("greedy", "single", "sag")] == [4, 4, 4]


def test_the_report_stands_alone(checkout: Path) -> None:
    page = (checkout / "reports/report.html").read_text()
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_changed_parameter_reruns_what_depends_on_it(checkout: Path) -> None:
    yaml = YAML()
    params = yaml.load(checkout / "params.yaml")
    params["report"]["confidence"] = 0.9
    before = (checkout / "params.yaml").read_text()
    yaml.dump(params, checkout / "params.yaml")
    try:
        output = dvc(checkout, "status")
    finally:
        (checkout / "params.yaml").write_text(before)
    changed = {line.rstrip(":") for line in output.splitlines() if line and not line[0].isspace()}
    assert {name.split("@")[0] for name in changed} == {"evaluate", "report"}


def test_forcing_a_stage_gives_the_same_bytes_from_the_ledger(checkout: Path) -> None:
    path = checkout / "data/trajectories/plain.jsonl"
    before, asked = path.read_bytes(), answers(checkout / ".cache/ledger.sqlite")
    dvc(checkout, "repro", "--force", "--single-item", "rollout@plain")
    assert path.read_bytes() == before
    assert answers(checkout / ".cache/ledger.sqlite") == asked


def test_a_rollout_killed_at_any_moment_ends_with_the_same_trajectories(checkout: Path) -> None:
    ledger = checkout / ".cache/ledger.sqlite"
    path = checkout / "data/trajectories/plain.jsonl"
    undisturbed = read_jsonl(path, Trajectory)
    for file in ledger.parent.glob("ledger.sqlite*"):
        file.unlink()
    path.unlink()
    moments = random.Random(0)
    for _ in range(KILLS):
        stage = subprocess.Popen(
            [sys.executable, "-m", "tasks.rollout", "--variant", "plain"],
            cwd=checkout,
            env=environment(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(moments.uniform(2.0, 12.0))
        os.killpg(stage.pid, signal.SIGKILL)
        if stage.wait() == 0:
            break
        assert not path.exists() or read_jsonl(path, Trajectory) == undisturbed  # killed after its work, before its end
    subprocess.run(
        [sys.executable, "-m", "tasks.rollout", "--variant", "plain"], cwd=checkout, env=environment(), check=True
    )
    assert read_jsonl(path, Trajectory) == undisturbed
    # One request a step: however often the stage was killed, none that was answered was sent again.
    assert answers(ledger) == sum(len(one.steps) for one in undisturbed)


@pytest.mark.parametrize(
    ("block", "key", "value", "sentence"),
    [
        ("rollout", "max_stepz", 3, "Did you mean rollout.max_steps?"),
        ("rollout", "max_steps", "three", "rollout.max_steps"),
        ("teacher", "path", "models/nowhere", "models/nowhere"),
        ("prompts", "set", "papr", "papr"),
    ],
)
def test_bad_params_stop_the_stage_with_a_sentence(
    checkout: Path, block: str, key: str, value: object, sentence: str
) -> None:
    yaml = YAML()
    before = (checkout / "params.yaml").read_text()
    params = yaml.load(before)
    params[block][key] = value
    yaml.dump(params, checkout / "params.yaml")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tasks.rollout", "--variant", "plain"],
            cwd=checkout,
            env=environment(),
            capture_output=True,
            text=True,
        )
    finally:
        (checkout / "params.yaml").write_text(before)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
