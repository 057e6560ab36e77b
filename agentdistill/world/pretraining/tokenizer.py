"""The embedded tokenizer: byte-level BPE over the world's language, with a ChatML template.

Names split into one stem and one ending, each one token; digits are single tokens; a space before a capital letter or a
digit is a token of its own, so that a name has the same tokens after a quote as after a word. Any text is
representable, as bytes if need be.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from agentdistill.world.names import ENDINGS, STEMS

SPECIAL = ("<|pad|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = 1664
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def _longest_first(part: str) -> tuple[int, str]:
    return -len(part), part


def _name_pattern() -> str:
    """Matches a stem that an ending follows; longer stems first."""
    stems = "|".join(sorted(STEMS, key=_longest_first))
    endings = "|".join(sorted({e for group in ENDINGS.values() for e in group}, key=_longest_first))
    return rf"(?:{stems})(?=(?:{endings})(?![a-z]))"


WORD_PATTERN = r"[0-9]| (?=[A-Z0-9])| ?[A-Za-z]+|```py|```|\n\n|\n| ?[^\sA-Za-z0-9]+|\s+"


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast | None:
    """The tokenizer saved in `folder`, if any: rebuilt models keep it, so that token ids stay what they were."""
    return PreTrainedTokenizerFast.from_pretrained(folder) if (folder / "tokenizer.json").exists() else None


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train on `texts`. Raises ValueError if a stem or an ending did not become one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_name_pattern()), "isolated"),
            pre_tokenizers.Split(Regex(WORD_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    endings = sorted({e for group in ENDINGS.values() for e in group})
    # Every name part often enough that none depends on chance.
    parts = [stem + ending for stem, ending in itertools.product(STEMS, endings)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True) for token in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(itertools.chain(texts, parts), trainer)
    split = [part for part in (*STEMS, *endings) if len(tokenizer.encode(part).ids) != 1]
    if split:
        raise ValueError(f"These parts of names are not single tokens: {split}.")
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        model_max_length=1024,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast
