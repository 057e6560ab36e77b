"""Files and folders appear whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from agentdistill.errors import DataError
from agentdistill.store import atomic
from agentdistill.store.atomic import atomic_directory, atomic_path, write_json

KILLED = """
import os, sys
from pathlib import Path
from agentdistill.store.atomic import atomic_directory, atomic_path
with atomic_directory(Path("folder")) as folder, atomic_path(Path("file")) as file:
    (folder / "part").write_text("half")
    file.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("ha")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for name in ("first", "second"):
        with atomic_directory(target) as temporary:
            (temporary / name).write_text(name)
    assert [file.name for file in target.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with atomic_directory(tmp_path / "folder") as temporary:
            (temporary / "a").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_a_refused_write_is_one_sentence_about_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"Could not write .*file/below.json"):
        write_json(tmp_path / "file" / "below.json", {})


def test_the_result_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_json(tmp_path / "file.json", {})
    assert (tmp_path / "file.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "SECONDS_TO_LOCK", -1.0)
    assert subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path).returncode == -9
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_directory(tmp_path / "folder"), atomic_path(tmp_path / "file"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"folder", "file"}


def test_what_a_living_writer_writes_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "SECONDS_TO_LOCK", -1.0)
    with atomic_path(tmp_path / "file") as first:
        first.write_text("first")
        with atomic_path(tmp_path / "file") as second:
            second.write_text("second")
        assert first.read_text() == "first"
    assert (tmp_path / "file").read_text() == "first"
