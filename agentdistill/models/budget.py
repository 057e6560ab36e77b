"""What a paid model may take, and what it has taken: hard caps, checked before a request is sent.

A request reserves the most it can take. One that would pass a cap even if nothing else were in flight is refused; one
that would pass it only because of what is in flight waits until that is settled. So the caps hold exactly, and nothing
is refused that would have fitted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agentdistill.errors import BudgetExceeded
from agentdistill.records import Message, Usage

MILLION = 1_000_000
TOKENS_PER_MESSAGE = 16  # more than any chat template adds to one


@dataclass(frozen=True)
class Prices:
    """Dollars per million tokens."""

    prompt: float
    completion: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / MILLION


@dataclass(frozen=True)
class Caps:
    """The most that may be taken in all; None is no cap. Tokens are prompt and completion together."""

    requests: int | None
    tokens: int | None
    usd: float | None


class Reservation:
    """Room for one request. `settle` says what it took. A request that broke off or was cancelled may have been
    billed, nobody knows for how much: it is never settled, and counts as the most it could take."""

    def __init__(self, worst: Usage) -> None:
        self.taken = worst

    def settle(self, taken: Usage) -> None:
        self.taken = taken


class Budget:
    """`spent` is what is settled."""

    def __init__(self, caps: Caps, prices: Prices) -> None:
        self.spent = Usage()
        self.prices = prices
        self._caps = caps
        self._in_flight = Usage()  # the most that it can take
        self._changed = asyncio.Condition()

    def usage(self, prompt_tokens: int, completion_tokens: int) -> Usage:
        """Return the usage of one request of so many tokens, at these prices."""
        return Usage(
            requests=1,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost_usd=self.prices.cost(prompt_tokens, completion_tokens),
        )

    @asynccontextmanager
    async def reserve(self, worst: Usage) -> AsyncIterator[Reservation]:
        """Hold room for `worst` while the request is in flight.

        Raises:
            BudgetExceeded: there is none, even once everything in flight is settled.
        """
        async with self._changed:
            while True:
                self._refuse(worst)
                if self._passed(self.spent + self._in_flight + worst) is None:
                    break
                await self._changed.wait()
            self._in_flight = self._with(worst, 1)
        reservation = Reservation(worst)
        try:
            yield reservation
        finally:
            self._in_flight = self._with(worst, -1)
            self.spent += reservation.taken
            async with self._changed:
                self._changed.notify_all()

    def _with(self, request: Usage, times: int) -> Usage:
        """Return what is in flight with a request more or less, priced by its tokens: sums of prices drift."""
        prompt_tokens = self._in_flight.prompt_tokens + times * request.prompt_tokens
        completion_tokens = self._in_flight.completion_tokens + times * request.completion_tokens
        held = self.usage(prompt_tokens, completion_tokens)
        return held.model_copy(update={"requests": self._in_flight.requests + times})

    def _refuse(self, worst: Usage) -> None:
        passed = self._passed(self.spent + worst)
        if passed is not None:
            spent = self.spent
            raise BudgetExceeded(
                f"The next request could pass the cap of {passed} and was not sent: it may take "
                f"{worst.prompt_tokens + worst.completion_tokens} tokens and ${worst.cost_usd:.4f}. Spent are "
                f"{spent.requests} requests, {spent.prompt_tokens + spent.completion_tokens} tokens and "
                f"${spent.cost_usd:.4f}. Raise the cap to go on from here."
            )

    def _passed(self, usage: Usage) -> str | None:
        """Return the first cap that `usage` would pass, in words."""
        caps = self._caps
        if caps.requests is not None and usage.requests > caps.requests:
            return f"{caps.requests} requests"
        if caps.tokens is not None and usage.prompt_tokens + usage.completion_tokens > caps.tokens:
            return f"{caps.tokens} tokens"
        if caps.usd is not None and usage.cost_usd > caps.usd:
            return f"${caps.usd}"
        return None


def most_prompt_tokens(messages: Sequence[Message], prefill: str | None) -> int:
    """Return a bound on the tokens of a prompt for any tokenizer: none makes more tokens than there are bytes."""
    texts = [message.text for message in messages] + [prefill or ""]
    return sum(len(text.encode("utf-8", "surrogatepass")) + TOKENS_PER_MESSAGE for text in texts)
