"""A model that never asks the same question twice: the ledger around any backend.

Identical requests that are in flight at the same time in one process are asked once. Across processes they may be asked
once each, and the first reply stored stands for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from weakref import WeakValueDictionary

from agentdistill.protocols import Billed, Model
from agentdistill.records import Message, Reply, Sampling
from agentdistill.store.ledger import Ledger, Request
from agentdistill.store.to_the_end import to_the_end


class LedgerModel:
    """Implements `Model`. `hits` and `misses` count answered requests by where the answer came from.

    The usage of a hit counts its tokens, but no request and no dollars: it says what the episode took, not what was
    spent again.
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
            reply = await self._model.sample(messages, **asked)
            self.misses += 1
            standing = await to_the_end(self._ledger.put, request, reply)
            return standing.model_copy(update={"usage": reply.usage})
