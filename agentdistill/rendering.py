"""From a trajectory to token ids and a loss mask.

The loss falls on what the model wrote (`Message.sampled`), a forced first thought included, and on what ends its turn;
never on prompts or observations. The whole conversation is tokenised once, as the model will see it when it
acts, and the mask is derived from character positions, so no template string is searched for. Nothing is truncated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentdistill.errors import DataError
from agentdistill.records import Message, Trajectory

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label that PyTorch's cross entropy skips


@dataclass(frozen=True)
class Example:
    """Token ids and, for each, whether the loss counts it."""

    ids: tuple[int, ...]
    mask: tuple[bool, ...]

    @property
    def labels(self) -> list[int]:
        return [token if counted else IGNORED for token, counted in zip(self.ids, self.mask, strict=True)]


def with_system_prompt(messages: Sequence[Message], text: str) -> tuple[Message, ...]:
    """Return the conversation under another system prompt: the teacher's is long, the student trains under its own."""
    if not messages or messages[0].role != "system":
        raise DataError("The trajectory does not begin with a system message, so its prompt cannot be replaced.")
    return (Message(role="system", text=text), *messages[1:])


def trained_turns(trajectory: Trajectory, *, mask_failed_steps: bool) -> tuple[bool, ...]:
    """Return, for each message, whether the loss counts it. Step k belongs to the k-th sampled message."""
    turns: list[bool] = []
    steps = iter(trajectory.steps)
    for message in trajectory.messages:
        step = next(steps, None) if message.sampled else None
        failed = step is not None and not step.winner.outcome.ok
        turns.append(message.sampled and not (failed and mask_failed_steps))
    return tuple(turns)


@dataclass(frozen=True)
class _Turn:
    """Where a turn's text stands in the templated conversation, and how far what the template closes it with goes."""

    start: int
    end: int
    closed: int


def render(messages: Sequence[Message], trained: Sequence[bool], tokenizer: PreTrainedTokenizerBase) -> Example:
    """Tokenise a conversation and mark the tokens of the trained turns, the end of each turn included.

    A turn ends with the text that the template closes it with, up to and including the first special token: the model
    must write all of it before generation stops there. What stands behind that token is the template's. If there is no
    special token, all of the closing text is trained, as templates that end turns in plain words need it. Templates
    that close a turn with nothing but the next one's opening token (GLM) have that one trained.

    Raises:
        DataError: the chat template rewrites an assistant turn or earlier text, so the student would train on
            something else than it will see.
    """
    text, turns = _layout(messages, trained, tokenizer)
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    special = _special_ids(tokenizer)
    mask = [False] * len(ids)
    for turn in turns:
        for i, (left, right) in enumerate(offsets):
            if left < turn.start or right == left:
                continue
            ends_turn = left >= turn.end and ids[i] in special
            mask[i] = left < turn.closed or ends_turn
            if ends_turn or left >= turn.closed:
                break
    return Example(tuple(ids), tuple(mask))


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The named special tokens and the others: Phi-4-mini ends turns with `<|end|>`, which no name stands for."""
    added = tokenizer.added_tokens_decoder
    return {*tokenizer.all_special_ids, *(token_id for token_id, token in added.items() if token.special)}


def _layout(
    messages: Sequence[Message], trained: Sequence[bool], tokenizer: PreTrainedTokenizerBase
) -> tuple[str, list[_Turn]]:
    """Return the templated text and the place of each trained turn in it."""
    chat = [{"role": message.role, "content": message.text} for message in messages]
    text = str(tokenizer.apply_chat_template(chat, tokenize=False))
    turns = []
    for i in _trained_indices(trained):
        prompt = str(tokenizer.apply_chat_template(chat[:i], tokenize=False, add_generation_prompt=True))
        body = messages[i].text if text[len(prompt) :].startswith(messages[i].text) else messages[i].text.strip()
        if not text.startswith(prompt) or not text[len(prompt) :].startswith(body):
            raise DataError(
                f"The chat template changes the text of turn {i} or what precedes it, so the loss mask would be wrong. "
                "Use a template that leaves earlier turns as they were written."
            )
        end = len(prompt) + len(body)
        until_here = str(tokenizer.apply_chat_template(chat[: i + 1], tokenize=False))
        turns.append(_Turn(len(prompt), end, max(end, _shared(text, until_here))))
    return text, turns


def _shared(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _trained_indices(trained: Sequence[bool]) -> Iterator[int]:
    return (i for i, counted in enumerate(trained) if counted)
