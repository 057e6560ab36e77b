"""Which fields of a chat request a server takes: found out from what it refuses, not assumed."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from agentdistill.models.server_errors import refuses, wants_other_limit

SPARE = frozenset({"stop", "seed"})  # texts are cut at stop strings here as well, and a seed is a wish
DEFAULTS = {"temperature": 1.0, "top_p": 1.0, "n": 1}  # what the protocol has where nothing is sent


class Dialect:
    """What is known of a server. `many` tells whether it gives several choices."""

    def __init__(self) -> None:
        self.many = True
        self._limit_name = "max_tokens"  # some models insist on max_completion_tokens
        self._refused: set[str] = set()

    def fields(self, request: Mapping[str, Any], max_tokens: int, refused: Set[str]) -> dict[str, Any]:
        """Return what to send for `request`, to which `refused` was said to be no part."""
        return _without(request, self._refused | refused) | {self._limit_name: max_tokens}

    def adapts(self, error: Exception, request: dict[str, Any], sent: Mapping[str, Any], refused: set[str]) -> bool:
        """Learn from a refusal what the server does not take, fields that can be spared into `refused`; tell whether
        the request is worth sending again.

        `sent` decides, not what is known by now: many requests are refused at once before the first refusal is read.
        """
        if "max_tokens" in sent and wants_other_limit(error):
            self._limit_name = "max_completion_tokens"
            return True
        if sent.get("n", 1) > 1 and refuses(error, "n"):
            self.many, request["n"] = False, 1
            return True
        spared = {name for name in sent.keys() - _without(sent, set(sent)).keys() if refuses(error, name)}
        refused |= spared
        return bool(spared)

    def confirm(self, refused: Set[str]) -> None:
        """Keep in mind that a request without `refused` was answered, so it was for them that it had been refused."""
        self._refused |= refused


def _without(fields: Mapping[str, Any], refused: Set[str]) -> dict[str, Any]:
    """Leave out what is refused and says nothing: a refused temperature of 0 is sent, and its refusal told."""
    return {
        name: value
        for name, value in fields.items()
        if not (name in refused and (name in SPARE or value == DEFAULTS.get(name)))
    }
