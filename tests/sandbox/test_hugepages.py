"""Huge pages under what forks share. In processes of their own: this one's memory is left alone."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from agentdistill.sandbox.guest.hugepages import COLLAPSE, HUGE_PAGE
from tests.sandbox.conftest import started

PROGRAM = """
import os
from agentdistill.sandbox.guest.hugepages import collapse
things = [[str(number)] for number in range(400_000)]
print(collapse())
child = os.fork()
if child == 0:
    things[0].append("only here")
    os._exit(len(things[0]))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(things == [[str(number)] for number in range(400_000)])
"""


def machine_collapses() -> bool:
    """Whether the kernel makes a huge page of memory when asked to."""
    with contextlib.suppress(OSError), mmap.mmap(-1, 4 * HUGE_PAGE, flags=mmap.MAP_PRIVATE) as memory:
        memory.write(bytes([1]) * len(memory))
        memory.madvise(COLLAPSE)
        return True
    return False


def test_memory_lies_on_huge_pages_where_the_kernel_has_them_and_is_what_it_was() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    collapsed, in_the_fork, unchanged = done.stdout.split()
    assert (int(collapsed) > 0) == machine_collapses()
    assert in_the_fork == "2"
    assert unchanged == "True"


def on_huge_pages(pid: int) -> int:
    """KiB of a process's memory that lie on huge pages."""
    found = re.search(r"^AnonHugePages: +(\d+) kB$", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look at the zygote's memory")
async def test_the_zygote_forks_from_huge_pages() -> None:
    others = set(psutil.Process().children())
    box = await started("B", preload=["numpy", "sympy"])  # enough memory for some, wherever it begins
    try:
        (zygote,) = set(psutil.Process().children()) - others
        assert (on_huge_pages(zygote.pid) > 0) == machine_collapses()
    finally:
        await box.__aexit__(None, None, None)
