"""Continuous batching: many requests decoded together, each admitted as soon as there is room.

One call of `Engine.step` is one forward pass. It carries one token of every sequence being decoded and, after them, the
prompts of the requests admitted in this step. Samples of a request that are the same so far are one sequence, until
their draws differ: N samples cost what they differ in. The engine is synchronous and
single-threaded; `TransformersModel` runs it on a thread of its own. It works for decoder-only models of transformers
that take a pluggable attention function and have full attention in every layer (Qwen2, Qwen3, Llama, Mistral without a
window, ...).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

from agentdistill.models.attention import MIN_ROWS, NewPrompt, Owners, Pass
from agentdistill.models.kv_cache import BLOCK, PrefixCache, Shape, SlotCache, prompt_span
from agentdistill.models.sampling import choose_tokens, stream_key

ATTENTION = "agentdistill_slots"  # the name under which transformers finds `_attention`


@dataclass(frozen=True)
class Generated:
    """One finished sample: its tokens, the end-of-turn token included, and whether the token limit ended it."""

    tokens: list[int]
    truncated: bool


@dataclass
class Job:
    """One request, for the samples `first` to `first + n - 1` of its seed. `ended` tells from a sample's tokens so far
    whether they complete a stop string; `done` is called once with all samples in order. `cancelled` may be set at any
    time, from any thread."""

    prompt: list[int]
    n: int
    temperature: float
    top_p: float
    max_tokens: int
    seed: int
    first: int
    ended: Callable[[list[int]], bool]
    done: Callable[[list[Generated]], None]
    cancelled: bool = False
    finished: dict[int, Generated] = field(default_factory=dict)


@dataclass(eq=False)
class Active:
    """A request whose prompt lies in slot `slot` of `pool`, and how many of its samples are not finished."""

    job: Job
    pool: Pool
    slot: int
    unfinished: int


@dataclass(eq=False)
class Pool:
    """Requests whose prompts are kept in slots of one capacity, by slot; the last ones may not be decoding yet."""

    cache: SlotCache
    active: list[Active] = field(default_factory=list)


@dataclass(frozen=True)
class Sample:
    """One of the samples of a request: its number among them and the key of its noise."""

    number: int
    key: int


@dataclass
class Row:
    """A sequence being decoded, and the samples that are it so far. Its tail slot is its place in `Engine.rows`; the
    last token is not yet in the cache."""

    owner: Active
    samples: list[Sample]
    tokens: list[int]


class Engine:
    """Requests wait in `waiting`, sequences being decoded stand in `rows`."""

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        stop_tokens: frozenset[int],
        max_rows: int,
        prompt_tokens_per_step: int,
        prefix_cache_tokens: int,
    ) -> None:
        """
        Args:
            max_rows: samples decoded at once.
            prompt_tokens_per_step: bound on the prompt tokens of one pass; a longer prompt is passed alone.
            prefix_cache_tokens: prompt tokens whose keys and values are kept for later requests.
        """
        config = model.config
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        heads = config.num_key_value_heads
        self._shape = Shape(config.num_hidden_layers, heads, head_size)
        self._group = config.num_attention_heads // heads
        self.waiting: deque[Job] = deque()
        self._pools: dict[int, Pool] = {}  # by capacity in tokens
        self.rows: list[Row] = []
        self._model = model
        self._stop_tokens = stop_tokens
        self._max_rows = max_rows
        self._prompt_tokens = prompt_tokens_per_step
        self._tails = SlotCache(self._shape, model.dtype, model.device)
        self._prefixes = PrefixCache(self._shape, model.dtype, model.device, tokens=prefix_cache_tokens)

    @property
    def busy(self) -> bool:
        return bool(self.waiting or self.rows)

    @torch.inference_mode()
    def step(self) -> None:
        """Admit what fits, run one forward pass, give each sample its next token and report what is finished."""
        self._drop_cancelled()
        admitted = self._admit()
        if not self.rows and not admitted:
            return
        logits = self._forward(admitted)
        for active, prompt in admitted:
            self._prefixes.store(active.job.prompt, prompt.cache, prompt.slot)
            samples = [Sample(i, stream_key(active.job.seed, active.job.first + i)) for i in range(active.job.n)]
            self.rows.append(Row(active, samples, []))
        self._extend(self._choose(logits))
        self._retire()

    def _admit(self) -> list[tuple[Active, NewPrompt]]:
        """Take waiting requests in order while slots and the prompt budget last; fill their slots from the prefixes."""
        admitted: list[tuple[Active, NewPrompt]] = []
        samples, tokens = sum(len(row.samples) for row in self.rows), 0
        while self.waiting:
            job = self.waiting[0]
            blocks = self._prefixes.find(job.prompt)
            known = len(blocks) * BLOCK
            new = len(job.prompt) - known
            if samples + job.n > self._max_rows or (admitted and tokens + new > self._prompt_tokens):
                break
            self.waiting.popleft()
            active = self._place(job)
            self._prefixes.load(blocks, active.pool.cache, active.slot)
            offset = len(self.rows) + tokens
            admitted.append((active, NewPrompt(active.pool.cache, active.slot, known, new, offset)))
            samples, tokens = samples + job.n, tokens + new
        longest = max((active.job.max_tokens for active, _ in admitted), default=0)
        self._tails.reserve(slots=samples, tokens=longest, used=len(self.rows))  # for when every sample is a row
        return admitted

    def _place(self, job: Job) -> Active:
        """Give the request the next slot of the pool for prompts of its length."""
        span = prompt_span(len(job.prompt))
        if span not in self._pools:
            self._pools[span] = Pool(SlotCache(self._shape, self._model.dtype, self._model.device, tokens=span))
        pool = self._pools[span]
        active = Active(job, pool, len(pool.active), job.n)
        pool.cache.reserve(slots=active.slot + 1, tokens=span, used=active.slot)
        pool.active.append(active)
        return active

    def _forward(self, admitted: Sequence[tuple[Active, NewPrompt]]) -> Tensor:
        """Return the logits (rows + admitted, vocabulary) that follow each sequence."""
        ids = [row.tokens[-1] for row in self.rows]
        positions = [len(row.owner.job.prompt) + len(row.tokens) - 1 for row in self.rows]
        last = list(range(len(self.rows)))
        for active, prompt in admitted:
            ids += active.job.prompt[prompt.start :]
            positions += range(prompt.start, len(active.job.prompt))
            last.append(prompt.offset + prompt.tokens - 1)
        device = self._model.device
        plan = Pass(
            self._tails,
            owners=self._owners(),
            tail_lengths=[len(row.tokens) for row in self.rows],
            new=[prompt for _, prompt in admitted],
            group=self._group,
        )
        padding = [0] * max(0, MIN_ROWS - len(ids))
        wanted = last + [0] * max(0, MIN_ROWS - len(last))
        output = self._model(
            input_ids=torch.tensor([ids + padding], device=device),
            position_ids=torch.tensor([positions + padding], device=device),
            use_cache=False,
            logits_to_keep=torch.tensor(wanted, device=device),
            plan=plan,
        )
        logits: Tensor = output.logits[0, : len(last)]
        return logits

    def _owners(self) -> list[Owners]:
        """Return the prompts that are being decoded. New ones stand behind them in their pool and have no rows yet."""
        tails: dict[Active, list[int]] = {}
        for tail, row in enumerate(self.rows):
            tails.setdefault(row.owner, []).append(tail)
        owners = []
        for pool in self._pools.values():
            decoding = [active for active in pool.active if active in tails]
            if decoding:
                lengths = [len(active.job.prompt) for active in decoding]
                owners.append(Owners(pool.cache, lengths, [tails[active] for active in decoding]))
        return owners

    def _choose(self, logits: Tensor) -> list[int]:
        """Return the next token of each sample, row by row, from one row of logits for each.

        Raises:
            FloatingPointError: a token's logit is no number; every text from here on would be noise.
        """
        device = logits.device
        drawn = [(source, row, sample.key) for source, row in enumerate(self.rows) for sample in row.samples]
        if len(drawn) != len(self.rows):
            logits = logits[torch.tensor([source for source, _, _ in drawn], device=device)]
        tokens = choose_tokens(
            logits,
            torch.tensor([row.owner.job.temperature for _, row, _ in drawn], device=device),
            torch.tensor([row.owner.job.top_p for _, row, _ in drawn], device=device),
            torch.tensor([key for _, _, key in drawn], device=device),
            torch.tensor([len(row.tokens) for _, row, _ in drawn], device=device),
            greedy=all(row.owner.job.temperature == 0 for row in self.rows),
            nucleus=any(row.owner.job.top_p < 1 for row in self.rows),
        )
        # The largest is what is chosen, and nothing counts as larger than NaN.
        if not bool(logits.gather(-1, tokens[:, None]).isfinite().all()):
            raise FloatingPointError(f"the model's numbers ran over in {logits.dtype}".replace("torch.", ""))
        chosen: list[int] = tokens.tolist()
        return chosen

    def _extend(self, tokens: Sequence[int]) -> None:
        """Give each sample its next token; where those of a row differ, it becomes several."""
        drawn = iter(tokens)
        for slot, row in enumerate(self.rows[:]):
            by_token: dict[int, list[Sample]] = {}
            for sample in row.samples:
                by_token.setdefault(next(drawn), []).append(sample)
            (first, row.samples), *others = by_token.items()
            for token, samples in others:
                self._tails.copy(slot, len(self.rows), len(row.tokens))
                self.rows.append(Row(row.owner, samples, [*row.tokens, token]))
            row.tokens.append(first)

    def _retire(self) -> None:
        """Report what is finished and close the gaps that it leaves among the slots."""
        gone = []
        for slot, row in enumerate(self.rows):
            job = row.owner.job
            ended = row.tokens[-1] in self._stop_tokens or job.ended(row.tokens)
            if ended or len(row.tokens) == job.max_tokens:
                gone.append(slot)
                generated = Generated(row.tokens, truncated=not ended)
                job.finished |= {sample.number: generated for sample in row.samples}
                if len(job.finished) == job.n:
                    job.done([job.finished[sample] for sample in range(job.n)])
        self._remove(gone)

    def _drop_cancelled(self) -> None:
        self._remove([slot for slot, row in enumerate(self.rows) if row.owner.job.cancelled])
        if any(job.cancelled for job in self.waiting):
            self.waiting = deque(job for job in self.waiting if not job.cancelled)

    def _remove(self, slots: Sequence[int]) -> None:
        """Take out the rows in `slots`, in rising order, and the requests that they were the last of, moving the last
        ones into the gaps."""
        for slot in reversed(slots):
            self.rows[slot].owner.unfinished -= len(self.rows[slot].samples)
            row = self.rows.pop()
            if slot < len(self.rows):
                self.rows[slot] = row
                self._tails.copy(len(self.rows), slot, len(row.tokens))
        for pool in self._pools.values():
            for slot in reversed([active.slot for active in pool.active if not active.unfinished]):
                active = pool.active.pop()
                if slot < len(pool.active):
                    pool.active[slot] = active
                    active.slot = slot
                    pool.cache.copy(len(pool.active), slot, len(active.job.prompt))


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    plan: Pass,
    **_: Any,
) -> tuple[Tensor, None]:
    """The attention function that transformers calls in every layer, on a flattened batch of 1."""
    layer: Any = module.layer_idx
    return plan.attend(layer, query[0], key[0], value[0], scaling)[None], None


def register_attention() -> None:
    """Make `ATTENTION` known to transformers."""
    AttentionInterface.register(ATTENTION, _attention)
