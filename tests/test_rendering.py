"""The loss falls on every character that the model wrote and on no other."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from agentdistill.errors import DataError
from agentdistill.records import Candidate, Message, Outcome, Step, Trajectory, Usage
from agentdistill.rendering import IGNORED, render, trained_turns, with_system_prompt

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<|>"), min_size=1, max_size=40)


def conversation(*turns: tuple[str, str]) -> list[Message]:
    return [
        Message.model_validate({"role": role, "text": text, "sampled": role == "assistant"}) for role, text in turns
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4))
def test_trained_tokens_spell_exactly_what_was_sampled(
    byte_tokenizer: PreTrainedTokenizerFast, exchanges: list[tuple[str, str]]
) -> None:
    messages = conversation(("system", "s"), *[m for u, a in exchanges for m in (("user", u), ("assistant", a))])
    example = render(messages, [message.sampled for message in messages], byte_tokenizer)
    trained = [token for token, counted in zip(example.ids, example.mask, strict=True) if counted]
    assert byte_tokenizer.decode(trained) == "".join(f"{answer}<|im_end|>" for _, answer in exchanges)


def test_the_prompt_of_each_turn_is_what_the_model_will_see(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    messages = conversation(("system", "s"), ("user", "q"), ("assistant", "a"), ("user", "o"), ("assistant", "b"))
    example = render(messages, [message.sampled for message in messages], byte_tokenizer)
    chat = [{"role": message.role, "content": message.text} for message in messages[:4]]
    seen = byte_tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    prompt = byte_tokenizer(seen, add_special_tokens=False)["input_ids"]
    assert list(example.ids[: len(prompt)]) == prompt
    assert example.mask[len(prompt)] is True


def test_labels_ignore_what_is_not_trained(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    messages = conversation(("system", "s"), ("user", "q"), ("assistant", "a"))
    example = render(messages, [False, False, False], byte_tokenizer)
    assert set(example.labels) == {IGNORED}


def template(opening: str, closing: str, last: str) -> str:
    """Turns between `opening` and `closing`, and `last` behind the last one."""
    return (
        f"{{% for m in messages %}}{opening}{{{{ m['role'] }}}}:{{{{ m['content'] }}}}{closing}{{% endfor %}}"
        f"{{% if add_generation_prompt %}}{opening}assistant:{{% else %}}{last}{{% endif %}}"
    )


def trained_text(messages: list[Message], turn: int, tokenizer: PreTrainedTokenizerFast) -> str:
    """What the loss counts when only `turn` is trained."""
    example = render(messages, [place == turn for place in range(len(messages))], tokenizer)
    return str(tokenizer.decode([token for token, mask in zip(example.ids, example.mask, strict=True) if mask]))


@pytest.mark.parametrize(
    ("closing", "last", "trained"),
    [
        ("<|end|>", "<|im_end|>", ["a<|end|>", "b<|end|>"]),  # Phi-4-mini: only an added token, the named one elsewhere
        ("\n<|end|>\n", "", ["a\n<|end|>", "b\n<|end|>"]),
        ("</turn>\n", "", ["a</turn>\n", "b</turn>\n"]),
        ("", "<|im_end|>", ["a", "b<|im_end|>"]),
    ],
)
def test_all_that_ends_a_turn_is_trained_and_nothing_after_it(
    byte_tokenizer: PreTrainedTokenizerFast, closing: str, last: str, trained: list[str]
) -> None:
    tokenizer = copy.deepcopy(byte_tokenizer)
    tokenizer.add_tokens([AddedToken("<|end|>", special=True)])
    tokenizer.chat_template = template("\n> ", closing, last)
    messages = conversation(("user", "q"), ("assistant", "a"), ("user", "o"), ("assistant", "b"))
    assert [trained_text(messages, turn, tokenizer) for turn in (1, 3)] == trained


def test_a_turn_that_the_next_ones_opening_token_ends_is_trained_with_it(
    byte_tokenizer: PreTrainedTokenizerFast,
) -> None:
    tokenizer = copy.deepcopy(byte_tokenizer)
    tokenizer.chat_template = template("<|im_start|>", "", "")
    assert trained_text(conversation(("user", "q"), ("assistant", "a"), ("user", "o")), 1, tokenizer) == "a<|im_start|>"


def test_a_template_that_rewrites_the_turn_is_refused(byte_tokenizer: PreTrainedTokenizerFast) -> None:
    template = byte_tokenizer.chat_template
    try:
        byte_tokenizer.chat_template = template.replace("message['content']", "message['content'] | upper")
        messages = conversation(("system", "S"), ("user", "Q"), ("assistant", "abc"))
        with pytest.raises(DataError, match="template"):
            render(messages, [False, False, True], byte_tokenizer)
    finally:
        byte_tokenizer.chat_template = template


def trajectory(*ok: bool) -> Trajectory:
    """One step for each flag; a failed step's outcome is not ok."""
    messages = [*conversation(("system", "s"), ("user", "q"))]
    steps = []
    for flag in ok:
        messages += conversation(("assistant", "a"), ("user", "o"))
        outcome = Outcome(ok=flag, error=None if flag else "E", error_kind=None if flag else "exception")
        candidate = Candidate(text="a", code="a", outcome=outcome)
        steps.append(Step(candidates=(candidate,), chosen=0, votes=(0,), observation="o", usage=Usage()))
    return Trajectory(
        id="t",
        problem_id="p",
        attempt=0,
        recipe="r",
        messages=tuple(messages),
        steps=tuple(steps),
        answer=None,
        stop="max_steps",
        usage=Usage(),
        prefix=None,
    )


def test_failed_steps_are_trained_unless_masked() -> None:
    episode = trajectory(True, False, True)
    assert trained_turns(episode, mask_failed_steps=False) == (False, False, True, False, True, False, True, False)
    assert trained_turns(episode, mask_failed_steps=True) == (False, False, True, False, False, False, True, False)


def test_a_turn_without_steps_is_trained() -> None:
    messages = conversation(("system", "s"), ("user", "q"), ("assistant", "a"))
    cot = trajectory().model_copy(update={"messages": tuple(messages)})
    assert trained_turns(cot, mask_failed_steps=True) == (False, False, True)


def test_only_the_system_prompt_is_replaced() -> None:
    messages = conversation(("system", "long"), ("user", "q"), ("assistant", "a"))
    assert with_system_prompt(messages, "short") == (Message(role="system", text="short"), *messages[1:])


def test_a_conversation_without_system_prompt_is_refused() -> None:
    with pytest.raises(DataError, match="system message"):
        with_system_prompt(conversation(("user", "q")), "short")
