"""A real vLLM server with the embedded student, where `.venv-vllm` exists: prompts, prefill, samples, adapter."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agentdistill.errors import ContextOverflow
from agentdistill.models.transformers_model import TransformersModel
from agentdistill.models.vllm_model import VllmModel
from agentdistill.prompts import load_prompts
from agentdistill.protocols import Model
from agentdistill.records import Message, Sampling
from agentdistill.world import build

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / ".venv-vllm"
STUDENT = ROOT / "models" / "embedded" / "student"
PROBLEMS = 24
NEAR_TIES = 2  # the same token ids in, so the same text out, but where float32 sums in another order decide

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not (ENVIRONMENT / "bin" / "vllm").exists(), reason="`make vllm` has not been run"),
]


def make_model(**changes: Any) -> VllmModel:
    options = {
        "dtype": "float32",
        "environment": str(ENVIRONMENT),
        "tensor_parallel": 1,
        "data_parallel": 1,
        "context_tokens": 512,
        "max_sequences": 64,
        "gpu_memory": 0.1,
        "max_lora_rank": 32,
        "start_seconds": 600.0,
        "max_concurrency": 64,
        "timeout_seconds": 120.0,
        "attempts": 3,
    }
    return VllmModel(str(STUDENT), **{**options, **changes})


def make_local(adapter: Path | None = None) -> TransformersModel:
    return TransformersModel(
        str(STUDENT),
        dtype="float32",
        device="cpu",
        threads=2,
        max_rows=32,
        prompt_tokens_per_step=2048,
        prefix_cache_tokens=0,
        adapter=adapter,
    )


async def cots(model: Model) -> list[str]:
    """The model's greedy chains of thought for the first problems of the validation split."""
    system = Message(role="system", text=load_prompts("embedded").cot)
    problems = [problem for problem in build(7).problems if problem.split == "validation"][:PROBLEMS]
    greedy = Sampling(temperature=0.0, top_p=1.0, max_tokens=64)
    asked = [[system, Message(role="user", text=problem.question)] for problem in problems]
    replies = await asyncio.gather(*(model.sample(messages, n=1, sampling=greedy, seed=0) for messages in asked))
    return [reply.completions[0].text for reply in replies]


def count_equal(left: list[str], right: list[str]) -> int:
    return sum(a == b for a, b in zip(left, right, strict=True))


async def test_the_embedded_student_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # the server's log goes below
    question = [Message(role="user", text="What is 3 + 4?")]
    sampling = Sampling(temperature=2.0, top_p=1.0, max_tokens=32)  # at 1 the student is sure of its answer
    async with make_model() as model:
        replies = await asyncio.gather(*(model.sample(question, n=4, sampling=sampling, seed=s) for s in range(8)))
        assert all(len(reply.completions) == 4 for reply in replies)
        assert len({completion.text for reply in replies for completion in reply.completions}) > 1
        later = await asyncio.gather(
            *(model.sample(question, n=2, sampling=sampling, seed=s, first=2) for s in range(8))
        )
        whole = [completion.text for reply in replies for completion in reply.completions[2:]]
        further = [completion.text for reply in later for completion in reply.completions]
        assert count_equal(whole, further) >= len(whole) - NEAR_TIES, (
            "further samples are not those of a larger request"
        )
        prefilled = await model.sample(question, n=1, sampling=sampling, seed=0, prefill="Thought: ")
        assert prefilled.prefill == "continued"
        long = [Message(role="user", text="word " * 600)]
        with pytest.raises(ContextOverflow):
            await model.sample(long, n=1, sampling=sampling, seed=0)


async def test_greedy_replies_are_those_of_the_transformers_backend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    async with make_model() as served, make_local() as local:
        assert count_equal(await cots(served), await cots(local)) >= PROBLEMS - NEAR_TIES


@pytest.mark.parametrize("copies", [1, 2])
async def test_an_adapter_is_served_under_its_content_by_every_copy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, copies: int
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    monkeypatch.chdir(tmp_path)
    base = AutoModelForCausalLM.from_pretrained(STUDENT, dtype=torch.float32)
    torch.manual_seed(0)
    config = LoraConfig(r=8, lora_alpha=64, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(base, config).save_pretrained("adapter")
    adapter = Path("adapter")
    served_by = make_model(adapter=adapter, data_parallel=copies)
    async with served_by as served, make_local(adapter) as local, make_local() as plain:
        assert served.fingerprint != make_model().fingerprint
        adapted = await cots(served)
        assert count_equal(adapted, await cots(local)) >= PROBLEMS - NEAR_TIES
        assert count_equal(adapted, await cots(plain)) < PROBLEMS / 2


async def test_seeded_prompts_beyond_one_batch_leave_the_server_alive(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=16)
    texts = [f"What is {seed} + 4? " + "word " * 300 for seed in range(64)]
    async with make_model() as model:
        asked = [
            model.sample([Message(role="user", text=text)], n=1, sampling=sampling, seed=seed)
            for seed, text in enumerate(texts)
        ]
        assert len(await asyncio.gather(*asked)) == len(texts)
