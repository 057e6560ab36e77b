"""Write a file or a folder so that it appears whole or not at all.

The new content is written beside its destination under a temporary name, flushed to disk and renamed over it. A killed
writer leaves at most a hidden temporary, which the next writer of the same path removes; it never leaves half a file
under the real name. A writer holds a lock on its temporary by which it is known to live. Two writers of one path do not
corrupt it: the last rename wins. No promise is made for folders that other processes hold open while they are
replaced.
"""

from __future__ import annotations

import fcntl
import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agentdistill.errors import DataError

SUFFIX = ".tmp"
SECONDS_TO_LOCK = 60.0  # a temporary as young may belong to a writer that has yet to lock it


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write a file to; on success it becomes `path`, on an exception it is removed.

    Raises:
        DataError: the operating system refused to write, for example because the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=SUFFIX)
        os.close(descriptor)
        temporary = Path(name)
        with _locked(temporary):
            yield temporary
            _flush(temporary)
            temporary.chmod(0o666 & ~_umask())  # mkstemp made it private; the result gets the usual permissions.
            temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder to fill; on success it replaces `path`, on an exception it is removed.

    Raises:
        DataError: the operating system refused to write.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=SUFFIX))
        with _locked(temporary):
            yield temporary
            for file in temporary.rglob("*"):
                _flush(file)
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def _locked(temporary: Path) -> Iterator[None]:
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Return whether nobody else holds the lock; not every file system has any."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep(path: Path) -> None:
    """Remove the temporaries of `path` whose writers were killed."""
    for name in glob.glob(f".{glob.escape(path.name)}.*{SUFFIX}", root_dir=path.parent):
        left = path.parent / name
        try:
            descriptor = os.open(left, os.O_RDONLY)
        except OSError:  # gone meanwhile
            continue
        try:
            if time.time() - os.fstat(descriptor).st_ctime > SECONDS_TO_LOCK and _lock(descriptor):
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> DataError:
    reason = error.strerror or str(error)
    return DataError(
        f"Could not write {path}: {reason}. Nothing was left under that name; free space or fix the permissions, then "
        "run the stage again."
    )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0o022)  # There is no way to read it without setting it.
    os.umask(mask)
    return mask
