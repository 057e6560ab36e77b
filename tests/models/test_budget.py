"""What is in flight is counted to the token and forgotten to the last one."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentdistill.errors import BudgetExceeded
from agentdistill.models.budget import Budget, Caps, Prices
from agentdistill.records import Usage

tokens = st.integers(0, 10**6)


@given(st.lists(st.tuples(tokens, tokens), max_size=20), st.floats(0, 100), st.floats(0, 100))
async def test_what_was_in_flight_leaves_room_for_all_that_the_cap_allows(
    requests: list[tuple[int, int]], prompt_price: float, completion_price: float
) -> None:
    budget = Budget(Caps(None, None, 1.0), Prices(prompt_price / 1000, completion_price / 1000))
    async with AsyncExitStack() as stack:
        for request in requests:
            worst = budget.usage(*request)
            if worst.cost_usd < 0.01:
                reservation = await stack.enter_async_context(budget.reserve(worst))
                reservation.settle(Usage(requests=1))
    whole = Usage(requests=1, prompt_tokens=1, cost_usd=1.0)
    async with budget.reserve(whole):  # it would wait for ever if anything were left in flight
        pass


async def test_a_request_beyond_the_cap_is_refused_whatever_is_in_flight() -> None:
    budget = Budget(Caps(2, None, None), Prices(0.0, 0.0))
    async with budget.reserve(budget.usage(1, 1)), budget.reserve(budget.usage(1, 1)):
        pass
    with pytest.raises(BudgetExceeded, match="cap of 2 requests"):
        async with budget.reserve(budget.usage(1, 1)):
            pass
