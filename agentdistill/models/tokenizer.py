"""Load a model's tokenizer as its maker saved it.

`AutoTokenizer` of transformers 5 takes the class from the model's architecture: for a Qwen2 model it rebuilds Qwen2's
own pre-tokenizer and drops the one in `tokenizer.json`, so a model trained from scratch would be fed other tokens than
it was trained on. A folder that declares the generic class is therefore loaded by that class.
"""

from __future__ import annotations

import json
from pathlib import Path

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from agentdistill.errors import ModelError

GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")
FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")


def is_generic(path: str) -> bool:
    """Tell whether a folder declares the generic tokenizer class; a hub model is left to `AutoTokenizer`."""
    config = Path(path) / "tokenizer_config.json"
    return config.is_file() and json.loads(config.read_text(encoding="utf-8")).get("tokenizer_class") in GENERIC


def link_files(folder: Path, target: Path) -> None:
    """Link the tokenizer's files of `folder` into `target`: with no config.json beside them, `AutoTokenizer` knows no
    architecture and loads them as they are."""
    for name in FILES:
        if (folder / name).is_file():
            (target / name).symlink_to((folder / name).resolve())


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a folder or of a hub model.

    Raises:
        ModelError: it cannot be loaded, or has no chat template.
    """
    try:
        tokenizer = _load(path)
    except (OSError, ValueError, KeyError) as e:
        raise ModelError(f"The tokenizer of {path} cannot be loaded: {e}. Correct its path in params.yaml.") from e
    if tokenizer.chat_template is None:
        raise ModelError(f"The tokenizer of {path} has no chat template. Take the instruct version of the model.")
    return tokenizer


def _load(path: str) -> PreTrainedTokenizerBase:
    if is_generic(path):
        generic: PreTrainedTokenizerBase = PreTrainedTokenizerFast.from_pretrained(path)
        return generic
    from transformers import AutoTokenizer  # and torch with it: seconds

    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path)
    return tokenizer
