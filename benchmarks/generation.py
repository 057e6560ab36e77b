"""Tokens per second of the in-process backend against `model.generate` and against the matrix products alone.

    python -m benchmarks.generation models/embedded/student --rows 1 32 256
    python -m benchmarks.generation models/embedded/student --rows 256 --samples 8

The floor is the time of the weight products of the same rows and steps: no attention, no sampling, no Python. All
three run in one process on the same threads, with prompts of equal length and samples of equal length.
`generate` gets all its prompts at once, ours as concurrent requests. Each figure is the best of three.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers import AutoModelForCausalLM

from agentdistill.models.engine import ATTENTION, Engine, Job, register_attention

REPEATS = 3


def best(run: Callable[[], None]) -> float:
    """Return the least wall time of a few runs, in seconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def time_engine(model: Any, prompts: list[list[int]], samples: int, tokens: int) -> float:
    def run() -> None:
        engine = Engine(
            model,
            stop_tokens=frozenset(),
            max_rows=len(prompts) * samples,
            prompt_tokens_per_step=2048,
            prefix_cache_tokens=0,
        )
        for seed, prompt in enumerate(prompts):
            engine.waiting.append(Job(prompt, samples, 1.0, 1.0, tokens, seed, 0, lambda _: False, lambda _: None))
        while engine.busy:
            engine.step()

    return best(run)


def time_generate(model: Any, prompts: list[list[int]], samples: int, tokens: int) -> float:
    ids = torch.tensor(prompts)
    mask = torch.ones_like(ids)
    options = {"do_sample": True, "top_k": 0, "max_new_tokens": tokens, "min_new_tokens": tokens}
    return best(lambda: model.generate(ids, attention_mask=mask, num_return_sequences=samples, **options))


@torch.inference_mode()
def time_floor(model: nn.Module, prompts: int, samples: int, prompt: int, tokens: int) -> float:
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    prompted = {weight.shape[1]: torch.randn(prompts * prompt, weight.shape[1]) for weight in weights}
    decoded = {weight.shape[1]: torch.randn(prompts * samples, weight.shape[1]) for weight in weights}

    def run() -> None:
        for weight in weights[:-1]:  # the head is applied to the last token only
            nn.functional.linear(prompted[weight.shape[1]], weight)
        for _ in range(tokens):
            for weight in weights:
                nn.functional.linear(decoded[weight.shape[1]], weight)

    return best(run)


async def check(path: Path, threads: int) -> None:
    """Fail if a request's text depends on what shares its batch."""
    from agentdistill.models.transformers_model import TransformersModel
    from agentdistill.records import Message, Sampling

    sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=48)
    async with TransformersModel(
        str(path),
        dtype="float32",
        device="cpu",
        threads=threads,
        max_rows=64,
        prompt_tokens_per_step=1024,
        prefix_cache_tokens=4096,
    ) as model:
        questions = [[Message(role="user", text="word " * (1 + 7 * i % 50) + str(i))] for i in range(64)]
        together = await asyncio.gather(
            *(model.sample(question, n=1, sampling=sampling, seed=i) for i, question in enumerate(questions))
        )
        alone = [await model.sample(question, n=1, sampling=sampling, seed=i) for i, question in enumerate(questions)]
    same = sum(one.completions == other.completions for one, other in zip(together, alone, strict=True))
    Console().print(f"{same} of {len(questions)} texts are the same alone and in a crowd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--samples", type=int, default=1, help="of each prompt; rows are prompts x samples")
    parser.add_argument("--prompt", type=int, default=200, help="tokens of each prompt")
    parser.add_argument("--tokens", type=int, default=64, help="new tokens of each sample")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    register_attention()
    ours = AutoModelForCausalLM.from_pretrained(arguments.path, dtype=torch.float32, attn_implementation=ATTENTION)
    plain = AutoModelForCausalLM.from_pretrained(arguments.path, dtype=torch.float32)
    plain.generation_config.eos_token_id = None
    table = Table(
        "sequences", "ours, tokens/s", "generate, tokens/s", "ours / generate", "floor, tokens/s", "ours / floor"
    )
    for rows in arguments.rows:
        generator = torch.Generator().manual_seed(rows)
        count, samples = rows // arguments.samples, arguments.samples
        size = (count, arguments.prompt)
        prompts = torch.randint(5, plain.config.vocab_size, size, generator=generator).tolist()
        tokens = count * samples * arguments.tokens
        engine = tokens / time_engine(ours, prompts, samples, arguments.tokens)
        generate = tokens / time_generate(plain, prompts, samples, arguments.tokens)
        floor = tokens / time_floor(ours, count, samples, arguments.prompt, arguments.tokens)
        shares = f"{engine / generate:.2f}", f"{engine / floor:.2f}"
        table.add_row(str(rows), f"{engine:.0f}", f"{generate:.0f}", shares[0], f"{floor:.0f}", shares[1])
    Console().print(table)
    asyncio.run(check(arguments.path, arguments.threads))


if __name__ == "__main__":
    main()
