"""How the tests of models load and ask one."""

from __future__ import annotations

from typing import Any

from agentdistill.records import Message
from tests.models.hosted import quick

__all__ = ["quick"]

OPTIONS: dict[str, Any] = {  # of TransformersModel, for a model as small as this one
    "dtype": "float32",
    "device": "cpu",
    "threads": 1,
    "max_rows": 16,
    "prompt_tokens_per_step": 256,
    "prefix_cache_tokens": 1024,
}


def question(number: int) -> list[Message]:
    """Prompts of very different lengths, many with a common beginning."""
    return [Message(role="user", text=f"What is {number}? " + "word " * (7 * number % 40))]
