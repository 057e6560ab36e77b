"""Bounded text: what a program prints and what its values look like, cut in the middle, the cut said in the text."""

from __future__ import annotations

import io
import re
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-f]+(?=>|, file )")  # as in `<function f at 0x7f2b1c0d5e50>`


def without_addresses(text: str) -> str:
    """Return `text` with the reprs in it freed of addresses, which are others in every run and tell a model nothing."""
    return _ADDRESS.sub("", text)


def cut(text: str, limit: int) -> str:
    """Return `text`, or its first and last `limit / 2` characters and how many were left out between them."""
    if len(text) <= limit:
        return text
    head, tail = limit - limit // 2, limit // 2
    return joined(text[:head], len(text) - limit, text[len(text) - tail :])


def joined(head: str, missing: int, tail: str) -> str:
    return f"{head}\n[... {missing} characters cut ...]\n{tail}"


class Capture(io.TextIOBase):
    """A text stream that remembers at most about three times `limit` characters, however much is written."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.total = 0
        self._head = ""
        self._tail: list[str] = []
        self._tail_size = 0

    def writable(self) -> bool:
        return True

    def write(self, text: Any) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() needs a str, not {type(text).__name__}")
        self.total += len(text)
        room = self.limit - len(self._head)
        self._head += text[:room]
        rest = text[room:][-self.limit :]
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
            if self._tail_size > 2 * self.limit:
                self._tail = ["".join(self._tail)[-self.limit :]]
                self._tail_size = len(self._tail[0])
        return len(text)

    def text(self) -> str:
        """What was written, without addresses, cut like `cut` does."""
        if self.total <= self.limit:
            return without_addresses(self._head)
        half = self.limit // 2
        tail = (self._head + "".join(self._tail))[-half:] if half else ""
        head = self._head[: self.limit - half]
        return joined(without_addresses(head), self.total - self.limit, without_addresses(tail))
