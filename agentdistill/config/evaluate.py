"""The `evaluate` block: how the students are examined."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agentdistill.config.block import Block, Count, Fraction, Positive, Temperature, TopP


class SagParams(Block):
    """Self-consistent action generation: up to `n` candidates a step, drawn at `temperature` and `top_p`; with `early`,
    none that could not change what the vote chooses."""

    n: Annotated[int, Field(ge=2)]
    temperature: Temperature
    top_p: TopP
    early: bool


class EvaluateParams(Block):
    """Limits as in `rollout`; a null `limit` examines every test problem."""

    limit: Count | None
    max_steps: Count
    max_tokens: Count
    cot_max_tokens: Count
    deadline_seconds: Positive
    concurrency: Count
    max_failures: Fraction
    sag: SagParams
