"""The seams at which implementations really swap: model, retriever, grader, code tool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from agentdistill.records import Message, Outcome, Passage, Problem, Reply, Sampling, Usage, Verdict


class Model(Protocol):
    """A chat model. Implementations raise `ModelError` (or its subclasses) and nothing else for their own failures."""

    @property
    def fingerprint(self) -> str:
        """Digest of everything but the request that determines the answer: weights, adapter, backend, dtype."""
        ...

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
        """Draw `n` continuations of `messages`; with `prefill`, of an assistant turn that begins with it.

        They are the samples `first`, `first + 1`, ... of all that `seed` stands for, so a later request can draw
        further ones. Where the model is deterministic, a sample depends on its number and not on `n`.

        Raises:
            ContextOverflow: the prompt plus `max_tokens` does not fit.
            BudgetExceeded: a cap would be passed; nothing was sent.
            ModelError: anything else that retrying did not mend.
        """
        ...


@runtime_checkable
class InParts(Protocol):
    """A model that may need several requests for the samples of one call, each of which may be paid for."""

    async def sample_some(
        self,
        messages: Sequence[Message],
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        first: int = 0,
        prefill: str | None = None,
    ) -> Reply:
        """As `Model.sample` by one request: at least one sample and at most `n`."""
        ...


@runtime_checkable
class Billed(Protocol):
    """A model whose requests may cost money."""

    @property
    def spent(self) -> Usage:
        """What all requests took so far, those that failed or were given up included."""
        ...


class Retriever(Protocol):
    """Ranked retrieval over the corpus."""

    @property
    def fingerprint(self) -> str:
        """Digest of the index and the ranking settings."""
        ...

    async def search(self, query: str, k: int) -> list[Passage]:
        """Return at most `k` passages, best first."""
        ...


class Grader(Protocol):
    """Judges one answer against one problem. Its own failure is a verdict of None, never False."""

    async def grade(self, problem: Problem, answer: str | None) -> Verdict: ...


class Session(Protocol):
    """The state of one episode's interpreter."""

    async def try_all(self, codes: Sequence[str]) -> list[Outcome]:
        """Run each code once, each from the same kept state, in parallel; none sees another's effects."""
        ...

    async def try_more(self, codes: Sequence[str]) -> list[Outcome]:
        """As `try_all`, beside the candidates of the last one, whose numbers these continue; before `keep`."""
        ...

    async def keep(self, index: int) -> None:
        """Make the state that candidate `index` of the last `try_all` reached the session's state."""
        ...

    async def close(self) -> None: ...


class ToolSignature(Protocol):
    """What a prompt says of a tool. A class whose instances are tools is one too, where these are class attributes."""

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the positional parameters, all required, all strings or JSON values."""
        ...

    @property
    def description(self) -> str:
        """One sentence for the prompt and for the function's docstring."""
        ...


class Tool(ToolSignature, Protocol):
    """A function that sandboxed code can call and the host runs."""

    async def call(self, **arguments: object) -> str:
        """Raise `ValueError` with a sentence for the model when the arguments are unusable."""
        ...
