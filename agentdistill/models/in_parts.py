"""A reply of several samples from a server that gives a few at a time, or one, whatever it is asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agentdistill.records import Reply, total_usage


async def in_parts(n: int, ask: Callable[[int, bool], Awaitable[Reply]]) -> Reply:
    """Return `n` samples, joined from the replies of `ask` with what all of them took.

    `ask(drawn, anew)` gives at least one of the samples that follow the first `drawn`. A server that ceases to continue
    prefills half-way would make a mixed reply, so all samples are then asked for once more, with `anew`.
    """
    parts: list[Reply] = []
    given_up: list[Reply] = []
    while (drawn := sum(len(part.completions) for part in parts)) < n:
        part = await ask(drawn, bool(given_up))
        if parts and part.prefill != parts[0].prefill:
            given_up += [*parts, part]
            parts = []
        else:
            parts.append(part)
    if len(parts) == 1 and not given_up:
        return parts[0]
    return Reply(
        completions=tuple(completion for part in parts for completion in part.completions),
        usage=total_usage([part.usage for part in (*given_up, *parts)]),
        prefill=parts[0].prefill,
    )
