"""The records that stages exchange: frozen, one JSON object a line, joined by id.

A later stage adds records of its own and never rewrites an earlier file. Ids are content hashes, so the same content
has the same id on every machine and in every run. Nothing here does I/O; `agentdistill.store` reads and writes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "validation", "test"]
AnswerKind = Literal["math", "fact"]
Stop = Literal["answered", "max_steps", "context_full", "model_error", "sandbox_error", "budget", "deadline"]
# Without "context_full": a conversation that grew too long is the agent's own.
MACHINE_STOPS: tuple[Stop, ...] = ("model_error", "sandbox_error", "budget", "deadline")
ID_HEX_DIGITS = 16  # 64 bits: a collision among 10 million records has a chance of about 3e-6.


def content_id(*parts: Any) -> str:
    """Return the hash of JSON-serialisable `parts` as 16 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:ID_HEX_DIGITS]


class Record(BaseModel):
    """Frozen, with unknown fields refused, so that a renamed field is an error and not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(Record):
    """A question with its gold answer."""

    id: str
    question: str
    answer: str
    answer_kind: AnswerKind
    source: str  # the dataset it came from
    split: Split
    family: str  # the group that reports break accuracy down by, e.g. "fact-2hop"
    aliases: tuple[str, ...] = ()  # other spellings of the answer that count as correct
    needs_search: bool = False

    @classmethod
    def create(cls, *, question: str, answer: str, source: str, **fields: Any) -> Problem:
        """Make a problem whose id is the hash of source, question and answer."""
        return cls(id=content_id(source, question, answer), question=question, answer=answer, source=source, **fields)


class Passage(Record):
    """One retrievable unit of the corpus."""

    id: str
    title: str
    text: str


class Message(Record):
    """One chat message. `sampled` says that a model wrote it: the training loss follows this, not the role.

    `prefix` is how many leading characters of a sampled message were forced on the model (a first-thought prefix)
    rather than sampled; they are part of the training target all the same.
    """

    role: Role
    text: str
    sampled: bool = False
    prefix: int = 0


class Sampling(Record):
    """How to draw a completion. `temperature` 0 is greedy; `max_tokens` counts new tokens."""

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()


class Usage(Record):
    """What a request, step or trajectory took. A reply that came from the ledger counts its tokens, no request.

    What differs between a run and its repetition (requests sent, money, seconds) is known in memory, goes into the
    stage's metrics, and is not written into records: the same run gives the same bytes, which is what DVC caches by.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = Field(default=0, exclude=True)
    cost_usd: float = Field(default=0.0, exclude=True)

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            requests=self.requests + other.requests,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cost_usd=self.cost_usd + other.cost_usd,
        )


class Completion(Record):
    """One sampled continuation. `text` excludes the stop string, and a prefill that the server continued; `truncated`
    means that the token limit ended it."""

    text: str
    truncated: bool
    completion_tokens: int


class Reply(Record):
    """A model's answer to one request: `n` completions of the same prompt, and what the request took.

    `prefill` tells how a prefill was honoured: "continued" by the server as the start of the assistant's turn,
    "prompted" by asking for it in the prompt (a text then begins with it if the model did as asked), None when none
    was given.
    """

    completions: tuple[Completion, ...]
    usage: Usage
    prefill: Literal["continued", "prompted"] | None = None


class ToolCall(Record):
    """One call that sandboxed code made to a host tool. Exactly one of `result` and `error` is set."""

    name: str
    arguments: dict[str, Any]
    result: str | None
    error: str | None


class Outcome(Record):
    """What running one action gave.

    `value` is the last expression's value as text (a string as itself, anything else as its repr; None when there was
    none), `logs` what was printed, `error` the message for the model when the action failed. `canonical` is the last
    value or final answer in the form votes compare (`np.int64(45)` is `45`). `final_answer` is set when the action
    called `final_answer(x)`, and holds `x` as text.
    """

    ok: bool
    logs: str = ""
    value: str | None = None
    canonical: str | None = None
    final_answer: str | None = None
    error: str | None = None
    error_kind: str | None = None  # "parse", "exception", "wall", "cpu", "memory", "killed", "forbidden", ...
    tool_calls: tuple[ToolCall, ...] = ()
    seconds: float = Field(default=0.0, exclude=True)


class Candidate(Record):
    """One sampled action of a step and what running it gave."""

    text: str  # the model's text, prefill included
    code: str | None  # None when the text could not be parsed
    outcome: Outcome
    truncated: bool = False


class Step(Record):
    """One turn of the agent. `votes[i]` is the index of the candidate whose result candidate i shares, -1 for a
    failed one; `chosen` is the index of the winner."""

    candidates: tuple[Candidate, ...]
    chosen: int
    votes: tuple[int, ...]
    observation: str | None  # None after a final answer
    usage: Usage
    seconds: float = Field(default=0.0, exclude=True)

    @property
    def winner(self) -> Candidate:
        return self.candidates[self.chosen]


class Trajectory(Record):
    """One attempt at one problem. A chain of thought is a trajectory of one sampled message and no steps.

    `messages` is exactly what the model saw and wrote. `id` hashes what identifies the attempt, so a rerun gives the
    same id. `truncated` marks a chain of thought that the token limit ended; the candidates of steps are marked one by
    one. `error` is the infrastructure's failure, if that is what stopped it.
    """

    id: str
    problem_id: str
    attempt: int
    recipe: str
    messages: tuple[Message, ...]
    steps: tuple[Step, ...]
    answer: str | None
    stop: Stop
    usage: Usage
    prefix: str | None  # the first-thought prefix, if one was forced
    prefill: Literal["continued", "prompted"] | None = None  # how that prefix was honoured
    truncated: bool = False
    error: str | None = None
    seconds: float = Field(default=0.0, exclude=True)


class FirstThought(Record):
    """The first step of a teacher's chain of thought, and the trajectory it was cut from."""

    problem_id: str
    trajectory_id: str
    text: str


class Grade(Record):
    """A verdict on one trajectory. `correct` is None when grading failed: counted apart, never as wrong.

    `dropped` is the first selection rule that refused the trajectory as training data; None when it was kept or no
    selection took place.
    """

    trajectory_id: str
    problem_id: str
    correct: bool | None
    grader: str
    detail: str = ""
    dropped: str | None = None


class Verdict(Record):
    """What a grader says of one answer: True, False, or None with the reason why it cannot tell."""

    correct: bool | None
    grader: str
    detail: str = ""


def total_usage(usages: Sequence[Usage]) -> Usage:
    """Add up usages; the empty sum is zero."""
    total = Usage()
    for usage in usages:
        total = total + usage
    return total
