"""Resource limits of an episode's processes. They hold per process and are inherited by forks."""

from __future__ import annotations

import resource
from collections.abc import Mapping

CPU_GRACE_SECONDS = 2  # between the signal that the code can report and the kernel's kill


def apply(limits: Mapping[str, int]) -> None:
    """Set the limits. `limits` has `cpu_seconds`, `memory_bytes` and `descriptors`.

    Files cannot grow at all: nothing is writable in the first place. RLIMIT_NPROC is not used, because it counts all
    of the user's processes and would hit bystanders; the fork gate takes its place.
    """
    cpu = limits["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + CPU_GRACE_SECONDS))
    for kind, value in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_NOFILE, limits["descriptors"]),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        bounded = _bounded(kind, value)
        resource.setrlimit(kind, (bounded, bounded))


def most_descriptors(limits: Mapping[str, int]) -> int:
    """How many descriptors a process will be able to have once the limits are set."""
    return _bounded(resource.RLIMIT_NOFILE, limits["descriptors"])


def _bounded(kind: int, value: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
