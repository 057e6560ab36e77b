"""What the models read while they are made."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest
from transformers import PreTrainedTokenizerFast

from agentdistill.action import parse
from agentdistill.models.tokenizer import load_tokenizer
from agentdistill.world import World, build
from agentdistill.world.pretraining.batches import DRAWN_TOGETHER, batches, encode
from agentdistill.world.pretraining.documents import Document, chat
from agentdistill.world.pretraining.mixture import SHARES, STEPS, WARM_UP, Mixture

COUNT = 1500


@pytest.fixture(scope="module")
def world() -> World:
    return build(7)


@pytest.fixture(scope="module")
def teacher_documents(world: World) -> list[Document]:
    return list(itertools.islice(Mixture("teacher", world, 0).documents("main"), COUNT))


@pytest.fixture(scope="module")
def student_documents(world: World) -> list[Document]:
    return list(itertools.islice(Mixture("student", world, 0).documents("main"), COUNT))


@pytest.fixture(scope="module")
def second_documents(world: World) -> list[Document]:
    """What the student reads in its second run."""
    drawn = (Mixture("student", world, 0).documents(phase) for phase in STEPS)
    return [document for stream in drawn for document in itertools.islice(stream, COUNT)]


@pytest.fixture(scope="module")
def matching_documents(world: World) -> list[Document]:
    drawn = (Mixture("teacher", world, 0).documents(phase) for phase in STEPS)
    return [document for stream in drawn for document in itertools.islice(stream, 2 * COUNT // 5)]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    loaded = load_tokenizer("models/embedded/student")
    assert isinstance(loaded, PreTrainedTokenizerFast)
    return loaded


def test_the_stream_is_a_function_of_its_seed(world: World, student_documents: list[Document]) -> None:
    assert list(itertools.islice(Mixture("student", world, 0).documents("main"), COUNT)) == student_documents


def test_no_document_names_an_entity_of_validation_or_test(
    world: World,
    teacher_documents: list[Document],
    student_documents: list[Document],
    matching_documents: list[Document],
) -> None:
    read = (*teacher_documents, *student_documents, *matching_documents)
    text = "\n".join(document.text for document in read)
    words = set(re.findall(r"\w+", text))
    held_out = world.names("validation", "test")
    assert not {name for name in held_out if " " not in name} & words
    assert not [name for name in held_out if " " in name and name in text]


def test_the_student_never_sees_an_agents_turn(
    student_documents: list[Document], second_documents: list[Document]
) -> None:
    for document in (*student_documents, *second_documents):
        assert "Thought: " not in document.text or "\nCode:\n" not in document.text


def test_the_student_never_sees_the_agents_system_prompt(
    student_documents: list[Document], second_documents: list[Document]
) -> None:
    for document in (*student_documents, *second_documents):
        assert "Tools: search(query)" not in document.text


def test_the_student_reads_every_token_that_agents_write(
    tokenizer: PreTrainedTokenizerFast, teacher_documents: list[Document], second_documents: list[Document]
) -> None:
    """A token that it never read would be the same to it as every other such token."""
    agents = [document for document in teacher_documents if document.kind.startswith("agent")]
    turns = [turn.split("<|im_end|>")[0] for d in agents for turn in d.text.split("<|im_start|>assistant\n")[1:]]
    read = {token for document in second_documents for token in tokenizer(document.text)["input_ids"]}
    written = Counter(token for turn in turns for token in tokenizer(turn)["input_ids"])
    assert not [tokenizer.decode([token]) for token, times in written.items() if token not in read and times >= 10]


@pytest.mark.parametrize("token", ["Thought", "Code", "Observation", "search", "final_answer", "```py"])
def test_the_student_sees_every_word_of_the_form_on_its_own(student_documents: list[Document], token: str) -> None:
    assert sum(token in document.text for document in student_documents) >= 10


def test_every_demonstrated_turn_is_an_action(teacher_documents: list[Document]) -> None:
    for document in teacher_documents:
        if document.kind.startswith("agent"):
            for turn in document.text.split("<|im_start|>assistant\n")[1:]:
                assert parse(turn.split("<|im_end|>")[0]).code


def test_shares_are_of_known_kinds(teacher_documents: list[Document], student_documents: list[Document]) -> None:
    assert {d.kind.replace("-", "_") for d in teacher_documents} == {
        kind.replace("-", "_") for kind in SHARES["teacher"]
    }
    assert {d.kind.replace("-", "_") for d in student_documents} == {
        kind.replace("-", "_") for kind in SHARES["student"]
    }


def test_the_phases_in_steps_read_what_the_others_do_and_more(
    matching_documents: list[Document], teacher_documents: list[Document]
) -> None:
    kinds = {d.kind for d in teacher_documents}
    assert {d.kind for d in matching_documents} == kinds | {kind for shares in STEPS.values() for kind in shares}


def replies(document: Document) -> list[tuple[str, str]]:
    """What the user said up to each reply of the assistant, and the reply."""
    turns = document.text.split("<|im_start|>assistant\n")
    return [("".join(turns[:i]), turn.split("<|im_end|>")[0]) for i, turn in enumerate(turns) if i]


def test_tables_give_each_key_what_its_line_says(matching_documents: list[Document]) -> None:
    found = [document for document in matching_documents if document.kind in ("near", "spaced", "listed", "tabulated")]
    for document in found:
        ((said, reply),) = replies(document)
        lines = {re.sub(r"^\[\d\] ", "", line).split(":")[0]: line for line in said.split("\n")}
        rows = dict(row.split(": ") for row in reply.strip().split("\n"))
        assert rows
        for key, values in rows.items():
            assert all(value in lines[key] for value in values.split(", "))
    assert len(found) > COUNT // 2


def test_every_passage_could_answer_what_is_asked_of_one(matching_documents: list[Document]) -> None:
    """Else the question's kind alone would say which passage is meant."""
    relation_words = {"founded": "founde", "born": "born", "river": "river"}
    found = [document for document in matching_documents if document.kind == "compared"]
    for document in found:
        passages = re.findall(r"^\[\d\] .*", document.text, re.MULTILINE)
        assert 2 <= len(passages) <= 5
        for word, needed in relation_words.items():
            if any(word in line for line in document.text.split("\n") if line.endswith("?") and "[" not in line):
                assert all(needed in passage for passage in passages)
    assert len(found) > COUNT // 10


def test_the_warm_up_only_copies_and_reads(world: World) -> None:
    documents = itertools.islice(Mixture("teacher", world, 0).documents("warm-up"), 300)
    assert {document.kind for document in documents} <= WARM_UP


def test_a_conversation_is_rendered_as_the_chat_template_renders_it(tokenizer: PreTrainedTokenizerFast) -> None:
    turns = [("system", "Be brief."), ("user", "Who?\nWhere?"), ("assistant", "Nobody.")]
    messages = [{"role": role, "content": text} for role, text in turns]
    document = chat("test", turns)  # type: ignore[arg-type]
    assert document.text == tokenizer.apply_chat_template(messages, tokenize=False)


def test_each_token_has_the_weight_of_the_span_it_begins_in(tokenizer: PreTrainedTokenizerFast) -> None:
    document = Document("test", (("The baker", 0.0), (" packs plums", 1.0), (". The end", 0.5)))
    ids, weights = encode(tokenizer, document)
    found = {str(tokenizer.decode([i])).strip(): weight for i, weight in zip(ids, weights, strict=True)}
    assert (found["baker"], found["packs"], found["plums"], found["end"]) == (0.0, 1.0, 1.0, 0.5)


def test_a_batch_holds_every_document_once(
    tokenizer: PreTrainedTokenizerFast, student_documents: list[Document]
) -> None:
    stream = batches(tokenizer, iter(student_documents), tokens=2000, micro_tokens=600)
    drawn = [next(stream) for _ in range(DRAWN_TOGETHER)]
    rows = [row for batch in drawn for micro in batch.micro for row in micro.ids.tolist()]
    texts = {tokenizer.decode([i for i in row if i != tokenizer.pad_token_id]) for row in rows}
    assert texts == {document.text for document in student_documents[: len(rows)]}
    assert sum(len(row) - row.count(tokenizer.pad_token_id) for row in rows) == sum(batch.tokens for batch in drawn)
