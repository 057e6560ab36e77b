"""Starting the zygote: its command line on each rung of isolation, what it may read, its environment."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import IO, Literal

Isolation = Literal["A", "B", "unsafe"]
SOURCE = Path(__file__).resolve().parent  # holds the package `guest`
# No hook of a module runs in a fork before our own code does; `random` would reseed itself, and equal candidates must
# draw equal numbers. There are no threads whose locks a hook would have to free.
BOOT = (
    "import os, sys; os.register_at_fork = lambda **hooks: None; sys.path.append(sys.argv[2]); "
    "from guest.zygote import main; main()"
)
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/usr/share/zoneinfo")
ENVIRONMENT = {
    # Threads do not survive a fork, and are denied inside.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "PYTHONHASHSEED": "0",  # sets of strings print in the same order when a log is replayed
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}


def readable() -> list[str]:
    """What a running episode may read: the standard library, installed packages, shared libraries."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [str(Path(sys.base_prefix) / "lib"), *LIBRARIES]
    return [path for path in dict.fromkeys(paths) if os.path.exists(path)]


def start(isolation: Isolation, control: socket.socket, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the zygote as a fresh process, leader of its own group, never a fork of this one's memory.

    Raises OSError when it cannot be started.
    """
    python = [sys.executable, "-P", "-s", "-B", "-W", "ignore", "-c", BOOT, str(control.fileno()), str(SOURCE)]
    return subprocess.Popen(
        [*_bubblewrap(), *python] if isolation == "A" else python,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env=ENVIRONMENT,
        cwd="/",
        close_fds=True,
        pass_fds=[control.fileno()],
        start_new_session=True,
    )


def _bubblewrap() -> list[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise FileNotFoundError("bubblewrap (bwrap) is not installed")
    command = [program, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--as-pid-1"]
    if os.geteuid() == 0:
        # The zygote drops these itself; without a user namespace it can become a user that the host does not know.
        command += ["--cap-drop", "ALL"]
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_DAC_READ_SEARCH"):
            command += ["--cap-add", capability]
    else:
        command += ["--unshare-user", "--cap-drop", "ALL"]
    visible = [sys.prefix, sys.base_prefix, str(SOURCE), *readable()]
    for path in _outermost(visible):
        command += ["--ro-bind", path, path]
    for device in ("/dev/null", "/dev/zero", "/dev/urandom"):
        command += ["--dev-bind", device, device]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--"]


def _outermost(paths: list[str]) -> list[str]:
    """Drop paths that lie below another one: a later bind mount of the parent would hide them."""
    kept: list[str] = []
    for path in sorted(dict.fromkeys(paths), key=lambda path: len(Path(path).parts)):
        if not any(Path(path).is_relative_to(other) for other in kept):
            kept.append(path)
    return kept
