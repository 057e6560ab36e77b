"""Training an embedded model from scratch: Qwen2 architecture, Muon for matrices, AdamW for the rest.

The run is a function of role, world seed, seed and token budget, and of the machine's arithmetic: bfloat16 products
differ in the last bits between processors. A killed run continues from its last checkpoint with the same stream of
documents. Later runs may go on from the weights of a first one, with documents and learning rates of their own.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from agentdistill.store.digest import digest_files
from agentdistill.world.pretraining.batches import Batch, batches
from agentdistill.world.pretraining.forward import ROPE_THETA, hidden_states
from agentdistill.world.pretraining.mixture import Mixture, Phase, Role, Stretch

logger = logging.getLogger(__name__)

LEARNING_RATE = 3e-3
LATER_RATE = 2.5e-3  # of a run that goes on from trained weights
FINAL_SHARE = 0.01  # the learning rate at the end, as a share
BATCH_TOKENS = 4608
STEP_BATCH_TOKENS = 2304  # of the phases that teach step by step: more updates for the same tokens
STEPWISE: frozenset[Phase] = frozenset({"near", "far", "lists", "matching"})
MICRO_TOKENS = 2400
RAMP_STEPS = 100
ALIKE = 0.999  # cosine of two embeddings from which they count as one


@dataclass(frozen=True)
class Shape:
    """Sizes of a model; the head's width is `width / heads`."""

    width: int
    layers: int
    inner: int  # of the feed-forward block
    heads: int
    key_heads: int


SHAPES: dict[Role, Shape] = {
    "teacher": Shape(width=256, layers=4, inner=704, heads=4, key_heads=2),
    "student": Shape(width=192, layers=3, inner=512, heads=6, key_heads=3),
}


def new_model(role: Role, tokenizer: PreTrainedTokenizerFast, seed: int) -> Qwen2ForCausalLM:
    """A freshly initialised model of the role's shape."""
    torch.manual_seed(seed)
    shape = SHAPES[role]
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        intermediate_size=shape.inner,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    return Qwen2ForCausalLM(config)


def learning_rate(step: int, tokens: int, budget: int) -> float:
    """Ramp, then constant until half of the budget, then linear to `FINAL_SHARE`."""
    return LEARNING_RATE * _ramp(step) * max(FINAL_SHARE, min(1.0, 2 * (1 - tokens / budget)))


def later_learning_rate(step: int, tokens: int, budget: int) -> float:
    """Ramp, and linear to `FINAL_SHARE` all the while."""
    return LATER_RATE * _ramp(step) * max(FINAL_SHARE, 1 - tokens / budget)


def _ramp(step: int) -> float:
    return min(1.0, (step + 1) / RAMP_STEPS)


class Optimiser:
    """Muon (Jordan et al. 2024, with updates scaled to AdamW's) on the matrices inside the layers, AdamW elsewhere."""

    def __init__(self, model: Qwen2ForCausalLM) -> None:
        named = list(model.named_parameters())
        matrices = [p for name, p in named if p.ndim == 2 and "embed" not in name]
        rest = [p for name, p in named if not (p.ndim == 2 and "embed" not in name)]
        self._parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(matrices, lr=LEARNING_RATE, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0),
        )

    def step(self, rate: float) -> None:
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self._parts]

    def restore(self, states: list[dict[str, Any]]) -> None:
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)


def weighted_loss(
    model: Qwen2ForCausalLM, ids: torch.Tensor, index: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Sum of `weights` (n,) times the cross-entropy in nats of `targets` (n,) at the flat positions `index` (n,) of
    `ids` (rows, length) without its last column."""
    hidden = hidden_states(model, ids)[:, :-1].flatten(0, 1).index_select(0, index)
    logits = functional.linear(hidden, model.model.embed_tokens.weight)
    return (functional.cross_entropy(logits.float(), targets, reduction="none") * weights).sum()


class Shadow:
    """A copy of a model that computes losses and hands its gradients to the float32 original: in bfloat16 where the
    processor multiplies that by itself, elsewhere in float32, which is faster there."""

    def __init__(self, model: Qwen2ForCausalLM) -> None:
        able = torch.cpu.get_capabilities()
        self._copy = Qwen2ForCausalLM(model.config)
        if able.get("amx_bf16") or able.get("avx512_bf16"):
            self._copy.bfloat16()
        # Fused by the compiler the passes take 1.7 times less; one compilation serves all shapes.
        self._loss = torch.compile(weighted_loss, dynamic=True)
        self._pairs = list(zip(model.parameters(), self._copy.parameters(), strict=True))

    def backward(self, batch: Batch) -> float:
        """Set the original's gradients to those of the weighted mean loss of `batch`; return that loss in nats."""
        with torch.no_grad():
            for original, copy in self._pairs:
                copy.copy_(original)
                original.grad = torch.zeros_like(original)
        total = 0.0
        for micro in batch.micro:
            index = (micro.weights > 0).flatten().nonzero().squeeze(1)  # the head is needed only where the loss is
            targets, weights = micro.targets.flatten()[index], micro.weights.flatten()[index] / batch.weight
            loss = self._loss(self._copy, micro.ids, index, targets, weights)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.item()
            for original, copy in self._pairs:
                assert original.grad is not None
                assert copy.grad is not None
                original.grad += copy.grad
                copy.grad = None
        return total


@dataclass
class Progress:
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


def unread(embeddings: torch.Tensor) -> torch.Tensor:
    """Which rows of `embeddings` (tokens, width) no document has touched, as booleans (tokens,): training has moved all
    of those alike, away from every hidden state, so that each points where another one does."""
    directions = functional.normalize(embeddings, dim=1)
    return (directions @ directions.T).fill_diagonal_(0.0).amax(dim=1) > ALIKE


def _load(folder: Path) -> Qwen2ForCausalLM:
    """The model saved in `folder`, in float32."""
    model: Qwen2ForCausalLM = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.train()
    return model


def _draw_unread(model: Qwen2ForCausalLM, seed: int) -> None:
    """Draw the embeddings of tokens that no document held anew."""
    embeddings = model.model.embed_tokens.weight.data
    rows = unread(embeddings)
    torch.manual_seed(seed)
    embeddings[rows] = torch.randn(int(rows.sum()), embeddings.shape[1]) * model.config.initializer_range


def _stream(mixture: Mixture, tokenizer: PreTrainedTokenizerFast, stretches: Sequence[Stretch]) -> Iterator[Batch]:
    """Batches without end: of each phase before the last as many tokens as it says, the last goes on."""
    for place, (phase, enough) in enumerate(stretches, 1):
        tokens = STEP_BATCH_TOKENS if phase in STEPWISE else BATCH_TOKENS
        read = 0
        for batch in batches(tokenizer, mixture.documents(phase), tokens=tokens, micro_tokens=MICRO_TOKENS):
            yield batch
            read += batch.tokens
            if place < len(stretches) and read >= enough:
                break


def _state_of(run: Mapping[str, Any], checkpoint: Path) -> dict[str, Any] | None:
    """The state of `run` that `checkpoint` holds; None, and a word about it, if it is of another run."""
    if not checkpoint.exists():
        return None
    state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    if state.get("run") == run:
        return state
    logger.info("The checkpoint in %s is of another run, %s; %s starts anew", checkpoint, state.get("run"), run)
    return None


def train(
    role: Role,
    mixture: Mixture,
    tokenizer: PreTrainedTokenizerFast,
    *,
    seed: int,
    stretches: Sequence[Stretch],
    folder: Path,
    checkpoint_seconds: float,
    start: Path | None = None,
) -> tuple[Qwen2ForCausalLM, Progress]:
    """Train until the tokens of all `stretches` were seen; continue from `folder/checkpoint.pt` if it is one of this
    very run: of the same seed, the same weights to start from, and the same stretches, since documents and learning
    rate depend on them.

    With `start`, a folder, the run is a later one that goes on from the weights there; a student's begins by drawing
    the embeddings of tokens that were never read anew."""
    begun_from = start and digest_files(start, ("*.safetensors",))
    budget = sum(tokens for _, tokens in stretches)
    run = {"seed": seed, "start": begun_from, "stretches": [list(stretch) for stretch in stretches]}
    model = new_model(role, tokenizer, seed) if start is None else _load(start)
    if start is not None and role == "student":
        _draw_unread(model, seed)
    rate_at = learning_rate if start is None else later_learning_rate
    stream = _stream(mixture, tokenizer, stretches)
    shadow = Shadow(model)
    optimiser = Optimiser(model)
    progress = Progress()
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    if state := _state_of(run, checkpoint):
        model.load_state_dict(state["model"])
        optimiser.restore(state["optimiser"])
        progress = Progress(**state["progress"])
        logger.info("%s continues at %d tokens", role, progress.tokens)
        if progress.tokens >= budget:  # no step more, or a build that was stopped later would give another model
            return model, progress

    started = saved = logged = time.monotonic()
    already, mean = progress.seconds, 0.0
    for step in range(10**9):
        batch = next(stream)
        if step < progress.step:  # the stream of a continued run is replayed up to where it stopped
            continue
        loss = shadow.backward(batch)
        torch.nn.utils.clip_grad_norm_(chain(model.parameters()), 1.0)
        optimiser.step(rate_at(step, progress.tokens, budget))
        progress = Progress(step + 1, progress.tokens + batch.tokens, already + time.monotonic() - started)
        mean = loss if mean == 0 else 0.98 * mean + 0.02 * loss
        now = time.monotonic()
        done = progress.tokens >= budget
        if now - logged > 20 or done:
            logged = now
            rate = progress.tokens / progress.seconds
            logger.info(
                "%s step %d tokens %d loss %.3f %.0f tokens/s, %.1f min left",
                role,
                progress.step,
                progress.tokens,
                mean,
                rate,
                (budget - progress.tokens) / rate / 60,
            )
        if now - saved > checkpoint_seconds or done:
            saved = now
            parts = {"model": model.state_dict(), "optimiser": optimiser.state(), "progress": vars(progress)}
            torch.save({"run": run, **parts}, folder / "checkpoint.tmp")
            (folder / "checkpoint.tmp").replace(checkpoint)
        if done:
            return model, progress
    raise AssertionError("unreachable")


def save(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write weights in bfloat16, config, generation config and tokenizer, as transformers and vLLM load them."""
    copy = Qwen2ForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    copy.bfloat16()
    copy.generation_config.eos_token_id = tokenizer.eos_token_id
    copy.generation_config.pad_token_id = tokenizer.pad_token_id
    copy.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    kept = json.loads(settings.read_text())
    kept.pop("is_local", None)
    kept.pop("local_files_only", None)
    kept["tokenizer_class"] = "PreTrainedTokenizerFast"  # a name that older versions of transformers know too
    settings.write_text(json.dumps(kept, indent=2) + "\n")
