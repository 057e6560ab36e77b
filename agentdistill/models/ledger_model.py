"""A model that never asks the same question twice: the ledger around any backend.

Identical requests that are in flight at the same time in one process are asked once. Across processes they may be asked
once each, and the first reply stored stands for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from agentdistill.models.in_parts import in_parts
from agentdistill.protocols import Billed, InParts, Model
from agentdistill.records import Message, Reply, Sampling
from agentdistill.store.ledger import Ledger, Request
from agentdistill.store.to_the_end import to_the_end


class LedgerModel:
    """Implements `Model`. `hits` and `misses` count answered requests by where the answer came from.

    Where a server gives the samples of a request in several replies, each is stored as it comes. The usage of a hit
    counts its tokens, but no request and no dollars: it says what the episode took, not what was spent again.
    """

    def __init__(self, model: Model, ledger: Ledger) -> None:
        self.hits = 0
        self.misses = 0
        self._model = model
        self._ledger = ledger
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    @property
    def fingerprint(self) -> str:
        return self._model.fingerprint

    def counts(self) -> dict[str, float]:
        """Return, for a stage's metrics, where the replies came from, and what a model that is billed took since it was
        opened."""
        counts: dict[str, float] = {"ledger_hits": self.hits, "ledger_misses": self.misses}
        if isinstance(self._model, Billed):
            spent = self._model.spent
            counts |= {
                "requests": spent.requests,
                "billed_prompt_tokens": spent.prompt_tokens,
                "billed_completion_tokens": spent.completion_tokens,
                "cost_usd": spent.cost_usd,
            }
        return counts

    async def sample(
        self,
        messages: Sequence[Message],
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        first: int = 0,
        prefill: str | None = None,
    ) -> Reply:
        """Return the stored reply if there is one; otherwise ask, store and return it. Errors are never stored."""
        asked: dict[str, Any] = {"n": n, "sampling": sampling, "seed": seed, "first": first, "prefill": prefill}
        request = Request.create(self._model.fingerprint, messages, **asked)
        # Followers wait for the lock and then find the leader's reply; if the leader failed or was cancelled, the next
        # one asks. The dictionary is weak, so a lock lives as long as somebody holds or awaits it.
        lock = self._locks.setdefault(request.key, asyncio.Lock())
        async with lock:
            stored = self._ledger.get(request)
            if stored is not None:
                self.hits += 1
                return stored
            if isinstance(self._model, InParts):
                return await self._in_parts(self._model, request, messages, asked)
            reply = await self._model.sample(messages, **asked)
            self.misses += 1
            return await self._put(request, reply)

    async def _in_parts(
        self, model: InParts, request: Request[Reply], messages: Sequence[Message], asked: dict[str, Any]
    ) -> Reply:
        """Store what comes at once as the whole reply, and otherwise each part, where the next run finds it."""
        n: int = asked["n"]
        was_asked = restarted = False

        async def ask(drawn: int, anew: bool) -> Reply:
            nonlocal was_asked, restarted
            restarted = anew
            part = request.part(drawn)
            stored = None if anew or n == 1 else self._ledger.get(part)
            if stored is not None:
                return stored
            reply = await model.sample_some(messages, **{**asked, "n": n - drawn, "first": asked["first"] + drawn})
            was_asked = True
            if anew:
                return reply
            return await self._put(request if len(reply.completions) == n else part, reply)

        reply = await in_parts(n, ask)
        self.misses += was_asked
        self.hits += not was_asked
        return await self._put(request, reply) if restarted else reply

    async def _put(self, request: Request[Reply], reply: Reply) -> Reply:
        """Store `reply` unless another stands; return the one that stands, with what this one cost."""
        standing = await to_the_end(self._ledger.put, request, reply)
        cost = {"requests": reply.usage.requests, "cost_usd": reply.usage.cost_usd}
        return standing.model_copy(update={"usage": standing.usage.model_copy(update=cost)})
