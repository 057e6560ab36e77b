"""A tiny Qwen2 with random weights, made once per test session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agentdistill.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


OPTIONS: dict[str, Any] = {  # of TransformersModel, for a model as small as this one
    "dtype": "float32",
    "device": "cpu",
    "threads": 1,
    "max_rows": 16,
    "prompt_tokens_per_step": 256,
    "prefix_cache_tokens": 1024,
}


def question(number: int) -> list[Message]:
    """Prompts of very different lengths, many with a common beginning."""
    return [Message(role="user", text=f"What is {number}? " + "word " * (7 * number % 40))]


def make_model(folder: Path, tokenizer: PreTrainedTokenizerFast, *, seed: int = 0, hidden: int = 32) -> Path:
    """Save random weights, large enough that different prompts give clearly different texts."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.3,
    )
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, byte_tokenizer: PreTrainedTokenizerFast) -> Path:
    return make_model(tmp_path_factory.mktemp("tiny"), byte_tokenizer)
