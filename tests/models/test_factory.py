"""Config blocks and backends agree on their arguments, and opening a model wraps it with the ledger."""

import inspect
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from agentdistill.config.models import ModelParams, OpenAIParams, TransformersParams, VllmParams
from agentdistill.models.factory import open_model
from agentdistill.models.openai_model import OpenAIModel
from agentdistill.models.process_model import ProcessModel
from agentdistill.models.transformers_model import TransformersModel
from agentdistill.models.vllm_model import VllmModel
from agentdistill.records import Message, Sampling
from agentdistill.store.ledger import Ledger
from tests.models.conftest import OPTIONS


@pytest.mark.parametrize(
    ("block", "models"),
    [
        (TransformersParams, [TransformersModel, ProcessModel]),
        (OpenAIParams, [OpenAIModel]),
        (VllmParams, [VllmModel]),
    ],
)
def test_a_block_holds_exactly_what_its_classes_take(block: Any, models: list[Any]) -> None:
    own = {"adapter", "api_key", "start_concurrency", "copies"}  # what the project's own code decides
    rest = {"options"}  # ProcessModel passes it to TransformersModel
    arguments = set().union(*(inspect.signature(model).parameters for model in models)) - own - rest
    assert set(block.model_fields) - {"backend"} == arguments


def test_the_backend_chooses_the_block() -> None:
    block = {"backend": "transformers", "path": "models/x", "processes": 1, **OPTIONS}
    adapter: TypeAdapter[Any] = TypeAdapter(ModelParams)
    assert isinstance(adapter.validate_python(block), TransformersParams)
    with pytest.raises(ValidationError, match="Input tag 'tranformers'"):
        adapter.validate_python({**block, "backend": "tranformers"})
    with pytest.raises(ValidationError, match="base_urls"):
        adapter.validate_python({**block, "backend": "openai"})


async def test_a_second_run_asks_nothing(tiny_model: Path, tmp_path: Path) -> None:
    question = [Message(role="user", text="q")]
    sampling = Sampling(temperature=1.0, top_p=1.0, max_tokens=4)
    options = {"path": str(tiny_model), "processes": 1, **OPTIONS}
    replies = []
    for run in range(2):
        async with open_model("transformers", options, ledger=tmp_path / "ledger") as model:
            replies.append(await model.sample(question, n=2, sampling=sampling, seed=0))
            assert (model.hits, model.misses) == (run, 1 - run)
    with Ledger(tmp_path / "ledger") as ledger:
        assert [one.name for one in ledger.stats()] == [f"transformers {tiny_model}"]
    assert replies[0].completions == replies[1].completions
    assert [reply.usage.requests for reply in replies] == [1, 0]
