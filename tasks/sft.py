"""Stage `sft`: a LoRA adapter of the student for one recipe.

Reads `data/sft/<variant>.jsonl`, trajectories that the filter kept. Writes `models/adapters/<variant>/` with the
adapter and the protocol it was trained under, and the loss curve in `reports/plots/sft-<variant>.csv`. A share of the
problems is held out for the validation loss. Checkpoints stand under `.cache/`, keyed by all that determines the
training; a killed stage goes on from the last of them.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from agentdistill.agent import Protocol, require_same
from agentdistill.checkpoints import last_whole
from agentdistill.config import Params
from agentdistill.errors import DataError
from agentdistill.models.tokenizer import load_tokenizer
from agentdistill.models.weights import ANSWER_FILES, find_model
from agentdistill.records import Trajectory, content_id
from agentdistill.rendering import Example, render, trained_turns, with_system_prompt
from agentdistill.sft import Lora, LossPoint, Schedule, split_by_length, train
from agentdistill.store.atomic import atomic_directory, atomic_path, write_json
from agentdistill.store.digest import digest_files
from agentdistill.store.jsonl import read_jsonl
from tasks.parts import PROTOCOL_FILE, read_protocol, student_prompt, student_protocol
from tasks.stage import load_params, log, progress, run_stage, write_metrics

SELECTED = Path("data/sft")
TRAJECTORIES = Path("data/trajectories")
ADAPTERS = Path("models/adapters")
PLOTS = Path("reports/plots")
CHECKPOINTS = Path(".cache/sft")
ROLLOUT_OF = {"agent": "plain", "agent_ftp": "first_thought"}  # the rollout whose trajectories a recipe learns from
VARIANTS = ("cot", *ROLLOUT_OF)


def main(variant: str) -> None:
    params = load_params()
    source = SELECTED / f"{variant}.jsonl"
    trajectories = read_jsonl(source, Trajectory)
    if not trajectories:
        raise DataError(f"{source} holds no trajectory, so there is nothing to train on. See the filter's funnel.")
    tokenizer = load_tokenizer(params.student.path)
    prompt = student_prompt(params, "cot" if variant == "cot" else "agent")
    protocol = _protocol(variant, prompt, tokenizer)
    held_out = {t.id for t in trajectories if _is_held_out(t.problem_id, params.sft.validation)}
    examples = [(t.id in held_out, _example(t, prompt, tokenizer, params)) for t in trajectories]
    training, too_long = split_by_length([example for held, example in examples if not held], params.sft.max_length)
    validation = [example for held, example in examples if held and len(example.ids) <= params.sft.max_length]
    curve = _train(variant, params, tokenizer, protocol, training, validation)
    _write_curve(PLOTS / f"sft-{variant}.csv", curve)
    for point in curve:
        log({f"{point.split}_loss": point.loss}, step=point.step)
    write_metrics(
        f"sft-{variant}",
        {
            "examples": len(training),
            "validation_examples": len(validation),
            "too_long": too_long + len(held_out) - len(validation),
            "trained_tokens": sum(sum(example.mask) for example in training),
            "context_tokens": sum(len(example.ids) - sum(example.mask) for example in training),
            "optimiser_steps": curve[-1].step,
            "loss": {point.split: point.loss for point in curve},  # the last of each split
        },
    )


def _protocol(variant: str, prompt: str, tokenizer: PreTrainedTokenizerBase) -> Protocol:
    """Return what the student is trained under: the tools and the index are those that the teacher used."""
    if variant not in ROLLOUT_OF:
        return student_protocol(prompt, tokenizer, index=None)
    rollout = read_protocol(TRAJECTORIES / f"{ROLLOUT_OF[variant]}.protocol.json")
    ours = student_protocol(prompt, tokenizer, index=rollout.index)
    require_same(ours, rollout, we="training", they="the rollout", parts=["tools"])
    return ours


def _is_held_out(problem_id: str, share: float) -> bool:
    """Choose problems by hash, so that the same ones are held out in every recipe."""
    return int(content_id("sft validation", problem_id), 16) < share * 2**64


def _example(trajectory: Trajectory, prompt: str, tokenizer: PreTrainedTokenizerBase, params: Params) -> Example:
    trained = trained_turns(trajectory, mask_failed_steps=params.sft.mask_failed_steps)
    return render(with_system_prompt(trajectory.messages, prompt), trained, tokenizer)


def _train(
    variant: str,
    params: Params,
    tokenizer: PreTrainedTokenizerBase,
    protocol: Protocol,
    training: Sequence[Example],
    validation: Sequence[Example],
) -> list[LossPoint]:
    block = params.sft
    schedule = Schedule(
        learning_rate=block.learning_rate,
        epochs=block.epochs,
        batch_size=block.batch_size,
        micro_batch_size=block.device_batch_size,
        warmup_ratio=block.warmup_ratio,
        seed=params.seed,
        processes=block.processes,
    )
    lora = Lora(rank=block.lora_r, alpha=block.lora_alpha, dropout=block.lora_dropout)
    checkpoints = CHECKPOINTS / _key(params, schedule, lora, training, validation)
    last = last_whole(checkpoints)
    done = last.step if last else 0
    with (
        atomic_directory(ADAPTERS / variant) as folder,
        progress(schedule.optimiser_steps(len(training)), f"sft {variant}", "steps", done=done) as advance,
    ):
        curve = train(
            training,
            validation,
            base=params.student.path,
            tokenizer=tokenizer,
            lora=lora,
            schedule=schedule,
            dtype=getattr(torch, block.dtype),
            checkpoints=checkpoints,
            adapter=folder,
            on_step=advance,
        )
        write_json(folder / PROTOCOL_FILE, protocol.model_dump())
    shutil.rmtree(checkpoints, ignore_errors=True)
    return curve


def _key(
    params: Params, schedule: Schedule, lora: Lora, training: Sequence[Example], validation: Sequence[Example]
) -> str:
    """Name the training by all that determines the adapter and its loss curve; how the student is asked does not."""
    return content_id(
        params.student.path,
        digest_files(find_model(params.student.path), ANSWER_FILES),
        params.sft.dtype,
        asdict(schedule),
        asdict(lora),
        [[asdict(example) for example in examples] for examples in (training, validation)],
    )


def _write_curve(path: Path, curve: Sequence[LossPoint]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(LossPoint.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(point) for point in curve)


if __name__ == "__main__":
    run_stage(main, variants=VARIANTS)
