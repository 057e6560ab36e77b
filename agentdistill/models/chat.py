"""Chat requests and replies of an OpenAI-compatible server, as pure functions: what goes in, what comes out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from agentdistill.records import Completion, Message

PROMPTED_PREFILL = (
    "{text}\n\nBegin your reply with exactly the following text, then continue it. Do not repeat these instructions.\n"
    "{prefill}"
)
BROKEN_OFF = frozenset({"error", "abort"})  # what gateways give as the reason when the text is not the whole answer


@dataclass(frozen=True)
class Answer:
    """What a server said. Counts of tokens are None where it does not tell."""

    completions: tuple[Completion, ...]
    prompt_tokens: int | None
    completion_tokens: int | None


class InBandError(Exception):
    """An error that a gateway sent with status 200. `body` is in OpenAI's form, `code` an HTTP status."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(str(body.get("message")))
        self.body = body
        code = body.get("code")
        self.code = code if isinstance(code, int) and 400 <= code < 600 else 500


class BrokenOff(InBandError):
    """It stands in place of the rest of a text."""


class _Part(BaseModel):
    text: str = ""


class _Message(BaseModel):
    content: str | list[_Part] | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    error: dict[str, Any] | None = None


class _Usage(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Answer(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


def home_replica(messages: Sequence[Message], replicas: int) -> int:
    """Return the replica of a conversation: fixed by how it begins, so that all its turns find their prefix there."""
    beginning = json.dumps([[message.role, message.text] for message in messages[:2]])
    return int.from_bytes(hashlib.blake2b(beginning.encode(), digest_size=8).digest(), "big") % replicas


def with_prefill_in_prompt(messages: Sequence[dict[str, Any]], prefill: str) -> list[dict[str, Any]]:
    """Ask for the prefill in the last message, for a server that cannot continue one."""
    *before, last = messages
    return [*before, {**last, "content": PROMPTED_PREFILL.format(text=last["content"], prefill=prefill)}]


def read_answer(content: bytes) -> Answer:
    """Read the body of a reply with status 200; a server may send anything.

    Raises:
        InBandError: it is an error, or a text of it ends in one (BrokenOff).
        ValueError: it is no chat completion; the message says what it is.
    """
    body = json.loads(content)
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        raise InBandError(body["error"])
    try:
        answer = _Answer.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ValueError(f"{where}: {first['msg']}, in {content[:80]!r}") from error
    for choice in answer.choices:
        if choice.error is not None:
            raise BrokenOff(choice.error)
        if choice.finish_reason in BROKEN_OFF:
            raise ValueError(f"its text broke off, finish_reason {choice.finish_reason!r}")
    usage = answer.usage or _Usage()
    return Answer(_completions(answer.choices, usage.completion_tokens or 0), **usage.model_dump())


def cut_at_stop(completion: Completion, stop: Sequence[str]) -> Completion:
    """End a text before the first stop string in it, for a server that does not."""
    ends = [place for place in map(completion.text.find, stop) if place >= 0]
    if not ends:
        return completion
    return completion.model_copy(update={"text": completion.text[: min(ends)], "truncated": False})


def _completions(choices: Sequence[_Choice], tokens: int) -> tuple[Completion, ...]:
    """Servers report the tokens of all choices together: each is given its share by length of text."""
    texts = [_text(choice.message.content) for choice in choices]
    characters = sum(map(len, texts))
    return tuple(
        Completion(
            text=text,
            truncated=choice.finish_reason == "length",
            completion_tokens=round(tokens * len(text) / characters) if characters else tokens // len(texts),
        )
        for text, choice in zip(texts, choices, strict=True)
    )


def _text(content: str | list[_Part] | None) -> str:
    """None when the model said nothing, or a filter took it. A lone surrogate could not be written to a file."""
    text = content if isinstance(content, str) else "".join(part.text for part in content or [])
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
