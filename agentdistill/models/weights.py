"""Find a model's files and name them by their content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from agentdistill.errors import ModelError
from agentdistill.store.digest import DIGEST_HEX_DIGITS, digest_files

TOKENIZER_FILES = (
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
)
# What determines an answer: weights, architecture, tokenizer, chat template, end-of-turn tokens.
ANSWER_FILES = ("*.safetensors", "*.bin", "config.json", "generation_config.json", *TOKENIZER_FILES)
# Found by their names: the weights say what they are, the index only where.
SHARD_INDEX = "*.safetensors.index.json"
DUPLICATES = ("*.bin", "consolidated*")  # the same weights in other forms
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
ENGINE_VERSION = 1  # raise it when the engine (`engine.py`) would draw another answer to the same request


def find_model(path: str) -> Path:
    """Return the folder of a local model, or of a hub model (`owner/name`), downloaded if it is not there yet.

    Raises:
        ModelError: there is no such folder and no such model on the hub, or the hub cannot be reached.
    """
    folder = Path(path)
    if (folder / "config.json").is_file():
        return folder
    if folder.exists() or path.count("/") != 1 or path.startswith((".", "/")):
        raise ModelError(
            f"There is no model at {path}: it should be a folder with a config.json, or the owner/name of a model on "
            "the Hugging Face hub. Correct the path, or make the model first."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = [*ANSWER_FILES, SHARD_INDEX]
    try:
        return Path(snapshot_download(path, allow_patterns=wanted, ignore_patterns=list(DUPLICATES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"There is no folder {path}, and it could not be fetched from the Hugging Face hub: {reason}. Correct the "
            "name, or download the model and give its folder."
        ) from error


def find_adapter(path: Path) -> Path:
    """Return `path` if it holds a LoRA adapter.

    Raises:
        ModelError: it does not.
    """
    for name in ADAPTER_FILES:
        if not (path / name).is_file():
            raise ModelError(
                f"There is no LoRA adapter at {path}: {name} is missing. Run the stage that trains it, or correct the "
                "path."
            )
    return path


def engine_fingerprint(folder: Path, adapter: Path | None, dtype: str) -> str:
    """Return the fingerprint of a model that our engine decodes. Raises ModelError when there is no such adapter."""
    parts = [digest_files(folder, ANSWER_FILES), dtype, str(ENGINE_VERSION)]
    if adapter is not None:
        parts.append(digest_files(find_adapter(adapter), ADAPTER_FILES))
    return "transformers:" + hashlib.sha256("/".join(parts).encode()).hexdigest()[:DIGEST_HEX_DIGITS]
