"""A student that is taken away answers as it did here."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from agentdistill.config import load_params
from agentdistill.errors import AgentDistillError, DataError, ProtocolMismatch
from agentdistill.models.tokenizer import load_tokenizer
from agentdistill.models.transformers_model import TransformersModel
from agentdistill.records import Message, Sampling
from tasks.export import PROMPT_FILE, export
from tasks.parts import student_prompt, student_protocol
from tests.models.conftest import OPTIONS

ROOT = Path(__file__).parents[2]
STUDENT = ROOT / "models/embedded/student"


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose students have learned something at random."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/embedded").symlink_to(ROOT / "models/embedded")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    params = load_params(Path("params.yaml"))
    for recipe in ("cot", "agent"):
        adapter = tmp_path / "models/adapters" / recipe
        get_peft_model(AutoModelForCausalLM.from_pretrained(STUDENT), lora).save_pretrained(adapter)
        protocol = student_protocol(student_prompt(params, recipe), load_tokenizer(str(STUDENT)), index="an index")
        (adapter / "protocol.json").write_text(protocol.model_dump_json())
    return tmp_path


async def said(path: Path, adapter: Path | None = None) -> str:
    async with TransformersModel(str(path), adapter=adapter, **OPTIONS) as model:
        sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=24, stop=())
        reply = await model.sample([Message(role="user", text="Who founded Nesburg?")], n=1, sampling=sampling, seed=0)
        return reply.completions[0].text


async def test_it_says_what_base_and_adapter_say_together(checkout: Path) -> None:
    export("agent", checkout / "mine")
    assert await said(checkout / "mine") == await said(STUDENT, checkout / "models/adapters/agent")
    assert await said(checkout / "mine") != await said(STUDENT)


def test_its_prompt_is_the_one_it_was_trained_under(checkout: Path) -> None:
    export("agent", checkout / "mine")
    prompt = student_prompt(load_params(Path("params.yaml")), "agent")
    assert (checkout / "mine" / PROMPT_FILE).read_text() == prompt


@pytest.mark.parametrize(("recipe", "manners"), [("agent", "`Observation:`"), ("cot", "one turn")])
def test_its_card_says_how_to_run_it(checkout: Path, recipe: str, manners: str) -> None:
    export(recipe, checkout / "mine")
    card = (checkout / "mine" / "README.md").read_text()
    assert "models/embedded/student" in card
    assert "models/embedded/teacher" in card
    assert manners in card


def test_nothing_of_this_project_is_needed_to_load_it(checkout: Path) -> None:
    export("agent", checkout / "mine")
    config = (checkout / "mine" / "config.json").read_text()
    assert json.loads(config)["architectures"] == ["Qwen2ForCausalLM"]
    assert "agentdistill" not in config


def test_an_existing_folder_is_left_alone(checkout: Path) -> None:
    (checkout / "mine").mkdir()
    with pytest.raises(DataError, match="mine exists already"):
        export("agent", checkout / "mine")


def test_a_student_that_was_not_trained_is_no_model(checkout: Path) -> None:
    with pytest.raises(DataError, match=r"no student in models/adapters/agent_ftp yet\. Distil one first"):
        export("agent_ftp", checkout / "mine")


def test_another_prompt_than_the_trained_one_is_refused(checkout: Path) -> None:
    params = checkout / "params.yaml"
    params.write_text(params.read_text().replace("set: embedded", "set: paper"))
    with pytest.raises(ProtocolMismatch, match="system_prompt"):
        export("agent", checkout / "mine")
    assert not (checkout / "mine").exists()


def test_a_full_disk_is_a_sentence_and_leaves_nothing(checkout: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))  # no file can grow any more, as on a full disk
    try:
        with pytest.raises(AgentDistillError, match=r"(cannot be|not) writ"):
            export("agent", checkout / "mine")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in checkout.iterdir()) == ["models", "params.yaml"]
