"""The shipped models: complete, small, and speaking one tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from agentdistill.models.tokenizer import load_tokenizer
from agentdistill.world import build
from agentdistill.world.pretraining.episodes import words
from agentdistill.world.pretraining.training import unread

FOLDER = Path("models/embedded")
ROLES = ("teacher", "student")


def test_both_together_stay_below_25_megabytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 25e6


def test_both_have_the_same_tokenizer() -> None:
    teacher, student = (load_tokenizer(str(FOLDER / role)) for role in ROLES)
    assert teacher.get_vocab() == student.get_vocab()
    world = build(7)
    for text in (*(passage.text for passage in world.passages), *(problem.question for problem in world.problems)):
        assert teacher(text)["input_ids"] == student(text)["input_ids"]


@pytest.mark.parametrize("role", ROLES)
def test_it_loads_with_tied_embeddings_and_a_card(role: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(FOLDER / role)
    assert model.config.model_type == "qwen2"
    assert model.config.tie_word_embeddings
    assert model.config.max_position_embeddings == 1024
    assert (FOLDER / role / "README.md").exists()


def test_the_student_is_smaller() -> None:
    teacher, student = (AutoModelForCausalLM.from_pretrained(FOLDER / role).num_parameters() for role in ROLES)
    assert student < teacher / 2


def test_names_are_few_tokens_and_the_same_after_a_quote() -> None:
    tokenizer = load_tokenizer(str(FOLDER / "student"))
    for name in build(7).names("test"):
        tokens = tokenizer(name)["input_ids"]
        assert len(tokens) <= 6
        quoted = tokenizer(f'search("{name}")')["input_ids"]
        spaced = tokenizer(f"of {name}.")["input_ids"]
        for found in (quoted, spaced):
            assert any(found[i : i + len(tokens)] == tokens for i in range(len(found)))


def test_digits_are_single_tokens() -> None:
    tokenizer = load_tokenizer(str(FOLDER / "student"))
    assert len(tokenizer("4812093")["input_ids"]) == 7


@pytest.mark.parametrize("text", ["Größe: 5 µm, naïve café", "日本語", "tab\tand  spaces\n\n\nlines", "x = {'a': [1]}"])
def test_any_text_survives_the_tokenizer(text: str) -> None:
    tokenizer = load_tokenizer(str(FOLDER / "student"))
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_padding_is_not_the_end_of_a_turn() -> None:
    tokenizer = load_tokenizer(str(FOLDER / "teacher"))
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_the_student_tells_the_words_of_agents_turns_apart() -> None:
    """Tokens that a model never read have all but one embedding, and an adapter cannot part them."""
    tokenizer = load_tokenizer(str(FOLDER / "student"))
    ids = sorted({token for word in words() for token in tokenizer(f"a {word}")["input_ids"]})
    embeddings = load_file(FOLDER / "student" / "model.safetensors")["model.embed_tokens.weight"][ids].float()
    assert not unread(embeddings).any()
