"""Processes that train together: whoever dies before they have met is noticed at once."""

from __future__ import annotations

import time

import pytest

from agentdistill.data_parallel import data_parallel
from agentdistill.errors import ModelError


class Unreadable:
    """Work that a process of its own cannot even receive."""

    def __call__(self) -> None: ...

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit(7)",)


def test_a_process_that_dies_before_they_have_met_is_one_sentence() -> None:
    started = time.monotonic()
    with pytest.raises(ModelError, match="ended with exit code 7"), data_parallel(2, Unreadable()):
        pass
    assert time.monotonic() - started < 60  # torch waits for half an hour
