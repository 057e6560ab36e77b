from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.journal import FOLDER, READER_LOCK
from tests.toy import PARAMS

ROOT = Path(__file__).parent.parent.parent
START = "from agentdistill.errors import *\nfrom tasks.stage import *\nimport asyncio, resource, time\n"
NO_ROOM = "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"  # no file can grow any more, as on a full disk


class Stage:
    """A folder in which a stage's module can be run as DVC runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "params.yaml").write_text(PARAMS.read_text())
        (folder / "dvc.yaml").write_text("stages: {}\n")
        (folder / FOLDER).mkdir(parents=True)

    def start(self, body: str, *arguments: str) -> subprocess.Popen[str]:
        (self.folder / "toy.py").write_text(START + body)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("DVC_ROOT", None)
        return subprocess.Popen(
            [sys.executable, "toy.py", *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, body: str, *arguments: str) -> tuple[int, str]:
        with self.start(body, *arguments) as process:
            _, errors = process.communicate()
            return process.returncode, errors

    def journal(self) -> list[dict[str, object]]:
        (path,) = (self.folder / FOLDER).glob("*.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    with (tmp_path / FOLDER / READER_LOCK).open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # a reader is at work, as far as the stage can see
        yield made


def test_a_user_error_is_its_sentence_and_status_one(stage: Stage) -> None:
    code, errors = stage.run("def main(): raise DataError('The file x is empty. Fill it.')\nrun_stage(main)")
    assert (code, errors) == (1, "The file x is empty. Fill it.\n")


def test_errors_of_concurrent_work_are_told_once_each(stage: Stage) -> None:
    body = """
async def fail(text): raise ModelError(text)
async def work():
    async with asyncio.TaskGroup() as group:
        for text in ("No reply.", "No reply.", "No model."):
            group.create_task(fail(text))
def main(): asyncio.run(work())
run_stage(main)
"""
    assert stage.run(body) == (1, "No reply.\nNo model.\n")


@pytest.mark.parametrize(
    "error", ["OSError(28, 'No space left on device', 'x')", "RuntimeError('I/O error: No space left on device (28)')"]
)
def test_a_full_disk_is_one_sentence(stage: Stage, error: str) -> None:
    code, errors = stage.run(f"def main(): raise {error}\nrun_stage(main)")
    assert (code, errors.count("\n")) == (1, 1)
    assert errors.startswith("The disk is full")


def test_a_full_disk_is_told_by_a_stage_whose_journal_is_on_it(stage: Stage) -> None:
    body = f"""
def main():
    {NO_ROOM}
    raise OSError(28, "No space left on device", "x")
run_stage(main)
"""
    code, errors = stage.run(body)
    assert code == 1
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("The disk is full")


def test_a_stage_whose_journal_cannot_be_written_says_so_once_and_goes_on(stage: Stage) -> None:
    body = f"""
def main():
    {NO_ROOM}
    log({{"loss": 2.0}}, step=1)
    log_trajectories(Path("x"))
run_stage(main)
"""
    code, errors = stage.run(body)
    assert (code, errors.count("\n")) == (0, 1)
    assert "its journal cannot be written" in errors


def test_a_stage_without_a_place_for_its_journal_goes_on(stage: Stage) -> None:
    shutil.rmtree(stage.folder / FOLDER)
    (stage.folder / FOLDER).touch()
    code, errors = stage.run("def main(): Path('worked').touch()\nrun_stage(main)")
    assert (code, errors.count("\n")) == (0, 1)
    assert (stage.folder / "worked").exists()


def test_a_bug_keeps_its_traceback(stage: Stage) -> None:
    code, errors = stage.run("def main(): {}['key']\nrun_stage(main)")
    assert code == 1
    assert "Traceback" in errors
    assert errors.endswith("KeyError: 'key'\n")


def test_wrong_params_stop_the_stage_before_it_works(stage: Stage) -> None:
    path = stage.folder / "params.yaml"
    path.write_text(path.read_text().replace("lora_r:", "lora_rank:"))
    code, errors = stage.run("def main(): print('worked')\nrun_stage(main)")
    assert code == 1
    assert "unknown key sft.lora_rank" in errors
    assert "Traceback" not in errors


def test_outside_a_checkout_a_stage_says_so(stage: Stage) -> None:
    (stage.folder / "dvc.yaml").unlink()
    code, errors = stage.run("def main(): print('worked')\nrun_stage(main)")
    assert code == 1
    assert "dvc.yaml cannot be read: No such file or directory. Run from the root of the checkout." in errors
    assert "Traceback" not in errors


def test_an_unknown_variant_is_refused_with_the_known_ones(stage: Stage) -> None:
    code, errors = stage.run("def main(variant): pass\nrun_stage(main, variants=('a', 'b'))", "--variant", "c")
    assert code == 2
    assert "'a', 'b'" in errors or "a, b" in errors


def test_the_journal_tells_parameters_metrics_and_the_end(stage: Stage) -> None:
    body = """
def main(variant):
    log({"loss": 2.0}, step=1)
    write_metrics("toy-" + variant, {"accuracy": {"greedy": 0.5}, "isolation": "full"})
run_stage(main, variants=("a",))
"""
    assert stage.run(body, "--variant", "a") == (0, "")
    start, loss, result, usage, end = stage.journal()
    assert [event["event"] for event in (start, loss, result, usage, end)] == [
        *("start", "metrics", "metrics", "usage", "end")
    ]
    assert start["stage"] == "toy@a"
    assert start["params"]["seed"] == 0  # type: ignore[index]
    assert (loss["values"], loss["step"]) == ({"loss": 2.0}, 1)
    assert (result["values"], result["step"]) == ({"accuracy.greedy": 0.5}, None)
    assert set(usage["values"]) == {"seconds", "peak_memory_mb"}  # type: ignore[call-overload]
    assert (end["status"], end["error"]) == ("FINISHED", "")
    written = json.loads((stage.folder / "reports/metrics/toy-a.json").read_text())
    assert written == {"accuracy": {"greedy": 0.5}, "isolation": "full"}


def test_a_failure_stands_in_the_journal(stage: Stage) -> None:
    stage.run("def main(): raise DataError('The file x is empty. Fill it.')\nrun_stage(main)")
    end = stage.journal()[-1]
    assert (end["status"], end["error"]) == ("FAILED", "The file x is empty. Fill it.")


def test_sigterm_unwinds(stage: Stage) -> None:
    body = """
def main():
    try:
        print("ready", flush=True)
        time.sleep(600)
    finally:
        Path("closed").touch()
run_stage(main)
"""
    with stage.start(body) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM
    assert (stage.folder / "closed").exists()
    assert stage.journal()[-1]["status"] == "KILLED"


def test_a_second_sigterm_does_not_break_off_the_clean_up(stage: Stage) -> None:
    body = """
def main():
    try:
        print("ready", flush=True)
        time.sleep(600)
    finally:
        print("closing", flush=True)
        time.sleep(0.5)
        Path("closed").touch()
run_stage(main)
"""
    with stage.start(body) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM
    assert (stage.folder / "closed").exists()


def test_progress_in_a_log_is_whole_lines_with_the_time_left(stage: Stage) -> None:
    body = """
def main():
    with progress(3, "rollout", "episodes") as advance:
        for _ in range(3):
            advance()
run_stage(main)
"""
    code, errors = stage.run(body)
    assert code == 0
    assert "\r" not in errors
    assert all(line.startswith("rollout: ") and " left" in line for line in errors.splitlines())
    assert "3/3" in errors


def test_progress_goes_on_from_what_was_done(stage: Stage) -> None:
    body = """
def main():
    with progress(3, "sft", "steps", done=2) as advance:
        advance()
run_stage(main)
"""
    _, errors = stage.run(body)
    assert "3/3" in errors
    assert "0/3" not in errors


def test_progress_tells_tokens_and_dollars(stage: Stage) -> None:
    body = """
from agentdistill.records import Usage
def main():
    with progress(1, "rollout", "episodes", usage=lambda: Usage(completion_tokens=7, cost_usd=1.5)) as advance:
        time.sleep(0.1)
        advance()
run_stage(main)
"""
    code, errors = stage.run(body)
    assert code == 0
    assert " tokens/s, $1.50" in errors.splitlines()[-1]


@pytest.mark.slow
def test_no_library_of_a_stage_reports_its_use() -> None:
    script = "import tasks.sft, huggingface_hub.constants as hub; print(hub.HF_HUB_DISABLE_TELEMETRY)"
    environment = {k: v for k, v in os.environ.items() if "TELEMETRY" not in k and k != "DO_NOT_TRACK"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]
