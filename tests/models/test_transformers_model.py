"""The in-process backend: the same text alone and in a crowd, and the same tokens as transformers' own `generate`."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from agentdistill.errors import ContextOverflow, ModelError, ModelUnusable
from agentdistill.models.engine import Engine
from agentdistill.models.loading import _unserved
from agentdistill.models.transformers_model import TransformersModel
from agentdistill.records import Message, Reply, Sampling
from tests.conftest import make_model
from tests.damaged import LACKED, lacking, overflowing
from tests.models.conftest import OPTIONS, question

GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=16)
RANDOM = Sampling(temperature=1.0, top_p=0.95, max_tokens=16)


def make(path: Path, **changes: Any) -> TransformersModel:
    return TransformersModel(str(path), **{**OPTIONS, **changes})


async def ask(model: TransformersModel, number: int, sampling: Sampling, n: int = 1, **changes: Any) -> Reply:
    return await model.sample(question(number), n=n, sampling=sampling, seed=number, **changes)


def reference(path: Path, model: TransformersModel, messages: list[Message], prefill: str = "") -> str:
    """Greedy text by `generate`."""
    conversation = [{"role": message.role, "content": message.text} for message in messages]
    text = model.tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True) + prefill
    ids = model.tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
    plain: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    made = plain.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False)
    decoded: str = model.tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
    return decoded


async def test_greedy_text_is_that_of_generate(tiny_model: Path) -> None:
    async with make(tiny_model) as model:
        replies = await asyncio.gather(*(ask(model, number, GREEDY) for number in range(6)))
        for number, reply in enumerate(replies):
            assert reply.completions[0].text == reference(tiny_model, model, question(number))


@pytest.mark.parametrize("sampling", [GREEDY, RANDOM])
async def test_a_reply_does_not_depend_on_its_company(tiny_model: Path, sampling: Sampling) -> None:
    async with make(tiny_model, prefix_cache_tokens=0) as model:
        alone = [await ask(model, number, sampling, n=2) for number in range(24)]
    async with make(tiny_model) as model:
        backwards = await asyncio.gather(*(ask(model, number, sampling, n=2) for number in reversed(range(24))))
        again = await asyncio.gather(*(ask(model, number, sampling, n=2) for number in range(24)))
    assert backwards[::-1] == again == alone


@pytest.mark.parametrize("sampling", [GREEDY, RANDOM])
async def test_numbers_that_run_over_are_an_error_not_a_text(
    tiny_model: Path, tmp_path: Path, sampling: Sampling
) -> None:
    folder = overflowing(tiny_model, tmp_path)
    async with make(folder, dtype="bfloat16") as model:
        await ask(model, 0, sampling)
    async with make(folder, dtype="float16") as model:
        for number in range(2):
            with pytest.raises(ModelUnusable, match=r"ran over in float16\. Set dtype: bfloat16"):
                await ask(model, number, sampling)


async def test_a_sample_does_not_depend_on_how_many_there_are(tiny_model: Path) -> None:
    async with make(tiny_model) as model:
        many = await ask(model, 3, RANDOM, n=8)
        few = await ask(model, 3, RANDOM, n=2)
        later = await ask(model, 3, RANDOM, n=3, first=2)
    assert many.completions[:5] == few.completions + later.completions
    assert len({completion.text for completion in many.completions}) > 1


async def test_samples_that_part_late_are_those_that_were_never_together(tiny_model: Path) -> None:
    sampling = Sampling(temperature=0.1, top_p=1.0, max_tokens=16)
    async with make(tiny_model) as model:
        together = (await ask(model, 3, sampling, n=8)).completions
        apart = [(await ask(model, 3, sampling, n=n)).completions[-1] for n in range(1, 9)]
    assert list(together) == apart
    assert len({completion.text for completion in together}) > 1, "they never parted, so nothing was tried"
    assert len({completion.text[:2] for completion in together}) < 8, "they were never together"


async def test_equal_samples_are_decoded_once(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[int] = []
    forward = Engine._forward

    def counted(engine: Engine, admitted: Any) -> torch.Tensor:
        passed.append(len(engine.rows))
        return forward(engine, admitted)

    monkeypatch.setattr(Engine, "_forward", counted)
    async with make(tiny_model) as model:
        reply = await ask(model, 3, Sampling(temperature=1e-6, top_p=1.0, max_tokens=16), n=8)
    assert len(set(reply.completions)) == 1
    assert len(reply.completions) == 8
    assert max(passed) == 1


async def test_the_seed_decides_the_sample(tiny_model: Path) -> None:
    async with make(tiny_model) as model:
        replies = [await model.sample(question(1), n=1, sampling=RANDOM, seed=seed) for seed in (1, 2, 1)]
    assert replies[0] == replies[2] != replies[1]


async def test_conversations_that_grow_reuse_their_prefix_and_change_nothing(tiny_model: Path) -> None:
    conversation = question(39)
    async with make(tiny_model) as warm, make(tiny_model, prefix_cache_tokens=0) as cold:
        for turn in range(4):
            replies = [await model.sample(conversation, n=1, sampling=RANDOM, seed=turn) for model in (warm, cold)]
            assert replies[0] == replies[1]
            text = replies[0].completions[0].text
            conversation = [*conversation, Message(role="assistant", text=text), Message(role="user", text="go on")]


async def test_a_prefill_is_continued(tiny_model: Path) -> None:
    async with make(tiny_model) as model:
        reply = await ask(model, 2, GREEDY, prefill="Thought: a")
        assert reply.prefill == "continued"
        assert reply.completions[0].text == reference(tiny_model, model, question(2), "Thought: a")


async def test_a_stop_string_ends_the_text_before_it(tiny_model: Path) -> None:
    async with make(tiny_model) as model:
        whole = (await ask(model, 4, RANDOM)).completions[0].text
        stop = whole[5:7]
        cut = (await ask(model, 4, RANDOM.model_copy(update={"stop": (stop, "never")}))).completions[0]
    assert cut.text == whole[: whole.index(stop)]
    assert not cut.truncated
    assert cut.completion_tokens < 16


async def test_the_token_limit_is_marked(tiny_model: Path) -> None:
    async with make(tiny_model) as model:
        reply = await ask(model, 1, RANDOM.model_copy(update={"max_tokens": 3}))
    assert reply.completions[0].truncated
    assert reply.completions[0].completion_tokens == 3


async def test_what_does_not_fit_is_refused_and_the_rest_goes_on(tiny_model: Path) -> None:
    long = [Message(role="user", text="x" * 600)]
    async with make(tiny_model) as model:
        other = asyncio.create_task(ask(model, 1, GREEDY))
        with pytest.raises(ContextOverflow, match="holds 512"):
            await model.sample(long, n=1, sampling=GREEDY, seed=0)
        assert (await other).completions
        with pytest.raises(ModelError, match="max_rows is 16"):
            await ask(model, 1, RANDOM, n=17)


async def test_a_cancelled_request_makes_room(tiny_model: Path) -> None:
    endless = Sampling(temperature=1.0, top_p=1.0, max_tokens=400)
    async with make(tiny_model, max_rows=1) as model:
        task = asyncio.create_task(ask(model, 1, endless))
        await asyncio.sleep(0.05)
        task.cancel()
        assert (await ask(model, 2, GREEDY)).completions


async def test_closing_fails_what_is_in_flight(tiny_model: Path) -> None:
    model = make(tiny_model)
    task = asyncio.create_task(ask(model, 1, Sampling(temperature=1.0, top_p=1.0, max_tokens=450)))
    await asyncio.sleep(0)
    await asyncio.to_thread(model.close)
    with pytest.raises(ModelError, match="closed"):
        await task
    with pytest.raises(ModelError, match="closed"):
        await ask(model, 1, GREEDY)


def make_adapter(base: Path, folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False))
    adapted.save_pretrained(str(folder))
    return folder


async def test_an_adapter_changes_the_text_as_it_does_in_peft(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "adapter", seed=0)
    async with make(tiny_model, adapter=adapter) as adapted, make(tiny_model) as plain:
        reply, without = await ask(adapted, 5, GREEDY), await ask(plain, 5, GREEDY)
        assert reply != without
        assert reply.completions[0].text == reference(adapter, adapted, question(5))


async def test_the_fingerprint_follows_content_not_place(
    tiny_model: Path, tmp_path: Path, byte_tokenizer: PreTrainedTokenizerFast
) -> None:
    same = shutil.copytree(tiny_model, tmp_path / "same")
    retrained = make_model(tmp_path / "retrained", byte_tokenizer, seed=1)
    template = shutil.copytree(tiny_model, tmp_path / "template")
    (template / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    adapters = [make_adapter(tiny_model, tmp_path / f"adapter{seed}", seed) for seed in range(2)]
    variants: list[dict[str, Any]] = [
        {"path": tiny_model},
        {"path": retrained},
        {"path": template},
        {"path": tiny_model, "dtype": "bfloat16"},
        {"path": tiny_model, "adapter": adapters[0]},
        {"path": tiny_model, "adapter": adapters[1]},
    ]
    fingerprints = []
    for variant in [*variants, {"path": same, "max_rows": 3}]:
        async with make(**variant) as model:
            fingerprints.append(model.fingerprint)
    assert len(set(fingerprints[:-1])) == len(variants)
    assert fingerprints[-1] == fingerprints[0]


@pytest.mark.parametrize("path", ["nowhere", "/absent/model", "a/b/c"])
def test_a_wrong_path_is_one_sentence(path: str) -> None:
    with pytest.raises(ModelError, match=f"There is no model at {path}"):
        make(Path(path))


def test_a_folder_without_an_adapter_is_one_sentence(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no LoRA adapter at .*adapter_config.json is missing"):
        make(tiny_model, adapter=tmp_path)


def test_an_adapter_of_another_model_is_one_sentence(
    tiny_model: Path, tmp_path: Path, byte_tokenizer: PreTrainedTokenizerFast
) -> None:
    other = make_model(tmp_path / "other", byte_tokenizer, hidden=64)
    adapter = make_adapter(other, tmp_path / "adapter", seed=0)
    with pytest.raises(ModelError, match=f"was trained on {other}, not on {tiny_model}"):
        make(tiny_model, adapter=adapter)
    shutil.rmtree(other)  # then it is known by its matrices
    with pytest.raises(ModelError, match=r"was trained on another model: .* has 64 outputs"):
        make(tiny_model, adapter=adapter)


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (MistralConfig(sliding_window=4096, max_position_embeddings=32768), "a window of 4096 tokens"),
        (Qwen2Config(use_sliding_window=True, max_window_layers=0), "layers of kind sliding_attention"),
        (LlamaConfig(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}), "kind dynamic"),
        (MistralConfig(sliding_window=None), None),
        (MistralConfig(sliding_window=4096, max_position_embeddings=4096), None),
        (Qwen2Config(), None),
        (LlamaConfig(), None),
    ],
)
def test_attention_that_the_engine_would_leave_out_is_refused(config: PreTrainedConfig, what: str | None) -> None:
    said = _unserved(config)
    assert said is None if what is None else said is not None and what in said


async def test_a_template_that_refuses_a_conversation_is_one_sentence(tiny_model: Path, tmp_path: Path) -> None:
    strict = shutil.copytree(tiny_model, tmp_path / "strict")
    (strict / "chat_template.jinja").write_text("{{ raise_exception('System role not supported') }}")
    async with make(strict) as model:
        with pytest.raises(ModelError, match=r"refuses the conversation: System role not supported"):
            await ask(model, 1, GREEDY)


def test_a_cache_that_does_not_fit_is_one_sentence(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="lower prefix_cache_tokens"):
        make(tiny_model, prefix_cache_tokens=1 << 50)


def test_a_file_without_some_of_the_weights_is_one_sentence(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"lacks weights such as {LACKED}"):
        make(lacking(tiny_model, tmp_path))


def test_a_model_without_a_chat_template_is_one_sentence(tiny_model: Path, tmp_path: Path) -> None:
    plain = shutil.copytree(tiny_model, tmp_path / "plain")
    (plain / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        make(plain)


def test_weights_that_are_damaged_are_one_sentence(tiny_model: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(tiny_model, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="cannot be loaded"):
        make(damaged)
