"""A client of the server that misbehaves (`fake_server.py`), with a key in the environment and short pauses."""

from __future__ import annotations

from typing import Any

import pytest

from agentdistill.models import openai_model
from agentdistill.models.openai_model import OpenAIModel
from agentdistill.records import Message, Reply, Sampling

SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_tokens=8, stop=("END",))
QUESTION = [Message(role="system", text="s"), Message(role="user", text="q")]
KEY = "sk-very-secret-key"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_model, "FIRST_BACKOFF_SECONDS", 0.001)
    monkeypatch.setenv("TEST_MODEL_KEY", KEY)


def make_options(*urls: str, **changes: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "base_urls": urls,
        "identity": None,
        "api_key_env": "TEST_MODEL_KEY",
        "max_concurrency": 64,
        "timeout_seconds": 5.0,
        "attempts": 3,
        "max_requests": None,
        "max_tokens": None,
        "max_usd": None,
        "usd_per_million_prompt_tokens": 1.0,
        "usd_per_million_completion_tokens": 2.0,
        "fixed_sampling": False,
        **changes,
    }


def make_model(*urls: str, **changes: Any) -> OpenAIModel:
    return OpenAIModel(**make_options(*urls, **changes))


async def ask(model: OpenAIModel, **changes: Any) -> Reply:
    return await model.sample(**{"messages": QUESTION, "n": 1, "sampling": SAMPLING, "seed": 5, **changes})
