"""Chat requests and replies of an OpenAI-compatible server, as pure functions: what goes in, what comes out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agentdistill.records import Completion, Message

if TYPE_CHECKING:  # importing them takes half a second, which models without a server need not spend
    from openai.types.chat import ChatCompletion
    from openai.types.chat.chat_completion import Choice

PROMPTED_PREFILL = (
    "{text}\n\nBegin your reply with exactly the following text, then continue it. Do not repeat these instructions.\n"
    "{prefill}"
)


def home_replica(messages: Sequence[Message], replicas: int) -> int:
    """Return the replica of a conversation: fixed by how it begins, so that all its turns find their prefix there."""
    beginning = json.dumps([[message.role, message.text] for message in messages[:2]])
    return int.from_bytes(hashlib.blake2b(beginning.encode(), digest_size=8).digest(), "big") % replicas


def with_prefill_in_prompt(messages: list[dict[str, Any]], prefill: str) -> list[dict[str, Any]]:
    """Ask for the prefill in the last message, for a server that cannot continue one."""
    *before, last = messages
    return [*before, {**last, "content": PROMPTED_PREFILL.format(text=last["content"], prefill=prefill)}]


def without_prefill(completion: Completion, prefill: str) -> Completion:
    """Take the prefill off a text that begins with it, as it was asked to."""
    text = completion.text.lstrip()
    for beginning in (prefill, prefill.rstrip()):
        if text.startswith(beginning):
            return completion.model_copy(update={"text": text[len(beginning) :]})
    return completion


def completions(answer: ChatCompletion) -> list[Completion]:
    """Servers report the tokens of all choices together: each is given its share by length of text."""
    texts = [_text(choice) for choice in answer.choices]
    total = answer.usage.completion_tokens if answer.usage is not None else 0
    characters = sum(map(len, texts))
    return [
        Completion(
            text=text,
            truncated=choice.finish_reason == "length",
            completion_tokens=round(total * len(text) / characters) if characters else total // len(texts),
        )
        for text, choice in zip(texts, answer.choices, strict=True)
    ]


def _text(choice: Choice) -> str:
    return choice.message.content or ""  # None when the model said nothing, or a filter took it


def prompt_tokens(answer: ChatCompletion) -> int:
    """Return how many tokens the server counted in the prompt, 0 if it does not tell."""
    return answer.usage.prompt_tokens if answer.usage is not None else 0
