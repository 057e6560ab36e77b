"""Whether a dict was changed, told without touching what it holds.

To compare a dict, or to write its values back, touches the reference count of each value, and a fork copies each page
that it touches: for the names of `builtins` some seventy. But CPython notes in every dict a number that is another
after each change (PEP 509). It is no part of the language, so whether it is there is tried out first.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

PLACE = 24  # bytes into the object, behind the count of references, the type and the number of entries


class Watch:
    """Watches one dict, from `look` to `changed`."""

    def __init__(self, watched: dict[str, Any]) -> None:
        self._watched = watched  # so that the place stays the dict's
        self._number = ctypes.c_uint64.from_address(id(watched) + PLACE)
        self._seen: int | None = None
        self._works = _is_kept()

    def look(self) -> None:
        """Take the dict as it is now."""
        self._seen = self._number.value

    def changed(self) -> bool:
        """Whether it may have been changed since the last look; always True where Python does not tell."""
        return not self._works or self._number.value != self._seen


def _is_kept() -> bool:
    """Whether this Python keeps the number where it is looked for, and changes it when it should."""
    probe: dict[str, Any] = {}
    number = ctypes.c_uint64.from_address(id(probe) + PLACE)
    changes: list[Callable[[], Any]] = [
        lambda: probe.__setitem__("a", 1),
        lambda: probe.__setitem__("a", 2),
        lambda: probe.update(a=3),
        lambda: probe.pop("a"),
        lambda: probe.setdefault("b", 1),
        lambda: probe.clear(),
    ]
    for change in changes:
        before = number.value
        change()
        after = number.value
        probe.get("a"), len(probe), list(probe)
        if after == before or number.value != after:
            return False
    return True
