"""Huge pages under the objects that every fork shares.

A fork copies an entry for each page of 4 KiB that is mapped, and its end gives each back; the modules that mathematics
asks for make that ten thousand entries. Under huge pages the kernel does it in batches. A page that a fork writes to is
still copied alone.
"""

from __future__ import annotations

import ctypes
import gc

HUGE_PAGE = 1 << 21  # bytes; on both processors with pages of 4 KiB
COLLAPSE = 25  # MADV_COLLAPSE, Linux 6.1: make huge pages of what is there, now


def collapse() -> int:
    """Put huge pages under the memory of objects and return how many: 0 where the kernel has no such call, or none to
    give; then forks are dearer and nothing else."""
    starts = {id(thing) // HUGE_PAGE * HUGE_PAGE for thing in gc.get_objects()}
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return sum(madvise(start, HUGE_PAGE, COLLAPSE) == 0 for start in sorted(starts))
