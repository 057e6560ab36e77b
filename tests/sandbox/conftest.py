"""Sandboxes on every rung of isolation that this machine offers, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from agentdistill.errors import NoIsolation
from agentdistill.sandbox import Isolation, Sandbox

LIMITS: dict[str, Any] = {
    "wall_seconds": 10,
    "wall_grace_seconds": 1,
    "cpu_seconds": 10,
    "memory_bytes": 1 << 30,
    "descriptors": 64,
    "output_characters": 2000,
    "message_bytes": 1 << 18,
    "tool_calls": 5,
    "tool_seconds": 1,
    "concurrency": 8,
    "allowed_imports": ["math", "random", "json", "re", "numpy", "collections", "itertools", "dataclasses"],
    "preload": ["numpy"],
}


async def started(only: Isolation, **changes: Any) -> Sandbox:
    """Enter a sandbox on one rung; where the machine does not offer it, the test is skipped and says why."""
    box = Sandbox(**{**LIMITS, **changes}, only=only)
    try:
        return await box.__aenter__()
    except NoIsolation:
        # The product refuses to run code on such a machine as well, so there is nothing to test. .ci/run installs what
        # rung A needs where it may; rung B needs a kernel with Landlock and seccomp, which no test can provide.
        pytest.skip(f"rung {only} is not available on this machine")


async def require(rung: Isolation) -> None:
    """Skip the test where the machine does not offer the rung."""
    box = await started(rung)
    await box.__aexit__(None, None, None)


@pytest_asyncio.fixture(params=["A", "B"])
async def offered_rung(request: pytest.FixtureRequest) -> Isolation:
    """A rung for a test that starts its sandboxes elsewhere than in its own process."""
    rung: Isolation = request.param
    await require(rung)
    return rung


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["A", "B"])
async def box(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    sandbox = await started(request.param)
    yield sandbox
    await sandbox.__aexit__(None, None, None)
