"""The model blocks of params.yaml: which backend answers, and with what. The key `backend` chooses the block.

The fields of a block are the keyword arguments of the backend's class; units are in their names, meanings in the class.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agentdistill.config.block import Block, Count, Fraction, Positive

Cap = Annotated[int, Field(ge=0)] | None
Dollars = Annotated[float, Field(ge=0)]
Dtype = Literal["float32", "bfloat16", "float16"]


class TransformersParams(Block):
    """A model in the stage's own process (`TransformersModel`), or in several (`ProcessModel`)."""

    backend: Literal["transformers"]
    path: str
    dtype: Dtype
    device: str
    processes: Count
    threads: Count
    max_rows: Count
    prompt_tokens_per_step: Count
    prefix_cache_tokens: Annotated[int, Field(ge=0)]


class OpenAIParams(Block):
    """A model behind an OpenAI-compatible endpoint (`OpenAIModel`). `api_key_env` names an environment variable; the
    key itself never stands here."""

    backend: Literal["openai"]
    model: str
    base_urls: Annotated[tuple[str, ...], Field(min_length=1)]
    identity: str | None
    api_key_env: str | None
    max_concurrency: Count
    timeout_seconds: Positive
    attempts: Count
    max_requests: Cap
    max_tokens: Cap
    max_usd: Dollars | None
    usd_per_million_prompt_tokens: Dollars
    usd_per_million_completion_tokens: Dollars
    fixed_sampling: bool


class VllmParams(Block):
    """A model served by a `vllm serve` that the stage starts and stops (`VllmModel`)."""

    backend: Literal["vllm"]
    path: str
    dtype: Dtype
    environment: str
    tensor_parallel: Count
    data_parallel: Count
    context_tokens: Count
    max_sequences: Count
    gpu_memory: Fraction
    max_lora_rank: Count
    start_seconds: Positive
    max_concurrency: Count
    timeout_seconds: Positive
    attempts: Count


ModelParams = Annotated[TransformersParams | OpenAIParams | VllmParams, Field(discriminator="backend")]
# A student is trained here, so its weights must be here.
StudentParams = Annotated[TransformersParams | VllmParams, Field(discriminator="backend")]
