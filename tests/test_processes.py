"""The children of a flow or of the UI: stopped once, in time, with what they started."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows import processes
from flows.processes import Children
from tests.processes import in_group

CHILD = """
import signal, subprocess, sys, time
def note(*_):
    print("asked", flush=True)
    if sys.argv[1] == "polite":
        time.sleep(0.3)  # its clean-up, in which a second request would be seen
        sys.exit()
signal.signal(signal.SIGTERM, note)
subprocess.Popen(["sleep", "600"], preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
print("ready", flush=True)
while True:
    time.sleep(600)
"""


def command(manner: str) -> list[str]:
    return [sys.executable, "-c", CHILD, manner]


def ready(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.read()


def test_a_child_is_asked_once_to_end(tmp_path: Path) -> None:
    children = Children()
    with children.start(command("polite"), tmp_path) as process:
        ready(process)
        children.stop()
        assert said(process) == "asked\n"
        assert process.returncode == 0


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    children = Children()
    with children.start(command("polite"), tmp_path) as process:
        ready(process)
        assert len(in_group(process.pid)) == 2
    assert in_group(process.pid) == []


def test_the_deaf_are_killed_when_the_time_of_all_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SECONDS_TO_STOP", 0.5)
    children = Children()
    with children.start(command("deaf"), tmp_path) as one, children.start(command("deaf"), tmp_path) as other:
        ready(one), ready(other)
        started = time.monotonic()
        children.stop()
        assert time.monotonic() - started < 0.9
        assert in_group(one.pid) == in_group(other.pid) == []


def test_a_child_born_while_all_are_stopped_is_asked_too(tmp_path: Path) -> None:
    children = Children()
    children.stop()
    with children.start(["sleep", "600"], tmp_path) as process:
        assert process.wait(10) != 0


def test_after_reopening_children_live_again(tmp_path: Path) -> None:
    children = Children()
    children.stop()
    children.reopen()
    with children.start(command("polite"), tmp_path) as process:
        assert ready(process).poll() is None
