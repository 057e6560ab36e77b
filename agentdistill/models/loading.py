"""Load a transformers model, its adapter and its tokenizer; whatever is wrong with them is one clear sentence."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, PreTrainedModel

from agentdistill.errors import ModelError
from agentdistill.models.adapter import require_fit, sizes_of
from agentdistill.models.engine import ATTENTION, register_attention
from agentdistill.models.quiet import quiet
from agentdistill.models.weights import TOKENIZER_FILES

CHANGING_ROPE = {"dynamic", "longrope"}  # their frequencies follow the longest sequence in the batch
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# What transformers, safetensors and PEFT raise for files that are missing, damaged or of something else.
LOADING_ERRORS = (OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError, SafetensorError)


def load_model(folder: Path, adapter: Path | None, dtype: str, device: str) -> PreTrainedModel:
    """Return the model on `device`, with the engine's attention and the adapter merged into its weights.

    Raises:
        ModelError: files are missing, damaged or of another model, there is no room, or the engine cannot serve it.
    """
    if dtype not in DTYPES:
        raise ModelError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}.")
    require_device(device)
    register_attention()
    try:
        with _sentences(folder, adapter):
            model = _merged(folder, adapter, DTYPES[dtype], attn_implementation=ATTENTION).to(device).eval()
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{folder} does not fit on {device}: {first_line(error)}. Use a smaller model, dtype bfloat16, or a "
            "larger device."
        ) from error
    if unserved := _unserved(model.config):
        raise ModelError(
            f"{folder} has {unserved}; the transformers backend serves full attention only, with positions that do not "
            "depend on how long others in the batch are. Use the vllm backend for it."
        )
    served: PreTrainedModel = model
    return served


def save_merged(folder: Path, adapter: Path, dtype: str, target: Path) -> None:
    """Save a model of its own in `target`: that of `folder` with the adapter merged into its weights, as `load_model`
    does, and the files of its tokenizer.

    Raises:
        ModelError: files are missing, damaged or of another model, or there is no room in `target`.
        OSError: the operating system refused to write.
    """
    with _sentences(folder, adapter):
        model = _merged(folder, adapter, DTYPES[dtype])
    try:
        with quiet():
            model.save_pretrained(target)
    except SafetensorError as error:
        raise ModelError(
            f"The model cannot be written: {first_line(error)}. Free some space, or name another folder."
        ) from error
    for pattern in TOKENIZER_FILES:
        for file in folder.glob(pattern):
            shutil.copyfile(file, target / file.name)


@contextmanager
def _sentences(folder: Path, adapter: Path | None) -> Iterator[None]:
    """Without the chatter of libraries; what they raise becomes a ModelError, except for memory that runs out."""
    try:
        with quiet():
            yield
    except torch.OutOfMemoryError:
        raise
    except LOADING_ERRORS as error:
        with_adapter = f" with the adapter {adapter}" if adapter is not None else ""
        hint = " The adapter must have been trained on this very model." if adapter is not None else ""
        raise ModelError(f"{folder} cannot be loaded{with_adapter}: {first_line(error)}.{hint}") from error


def require_device(device: str) -> None:
    """Raise ModelError for a GPU where torch finds none."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ModelError(f"device is {device}, but torch {torch.__version__} finds no GPU. Set device to cpu.")


def _unserved(config: Any) -> str | None:
    """Return in words what of a model the engine would leave out, and so answer wrongly."""
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention"}:
        return f"layers of kind {', '.join(sorted(kinds - {'full_attention'}))}"
    window = getattr(config, "sliding_window", None)
    windowed = window is not None and getattr(config, "use_sliding_window", True)
    if not kinds and windowed and window < config.max_position_embeddings:
        return f"a window of {window} tokens"
    rope = getattr(config, "rope_parameters", None) or {}
    each = [rope, *(part for part in rope.values() if isinstance(part, dict))]
    if changing := CHANGING_ROPE & {str(part.get("rope_type")) for part in each}:
        return f"rotary positions of kind {', '.join(sorted(changing))}"
    return None


def load_whole(base: str | Path, **options: Any) -> Any:
    """Return the causal language model `base`, a folder or hub name, on the CPU.

    Raises:
        ValueError: weights are missing, in whose place transformers would put random ones.
        others of LOADING_ERRORS: what transformers raises itself.
    """
    # A pair, whatever its annotation says.
    loaded: Any = AutoModelForCausalLM.from_pretrained(base, output_loading_info=True, **options)
    model, report = loaded
    if report["missing_keys"]:
        raise ValueError(f"the file lacks weights such as {sorted(report['missing_keys'])[0]}")
    return model


def _merged(folder: Path, adapter: Path | None, dtype: torch.dtype, **options: Any) -> Any:
    model = load_whole(folder, dtype=dtype, **options)
    if adapter is None:
        return model
    from peft import PeftModel

    require_fit(sizes_of(model), adapter)
    return PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()


def stop_tokens(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end a turn, by the model's generation config and by its tokenizer."""
    ends = model.generation_config.eos_token_id if model.generation_config is not None else None
    listed = ends if isinstance(ends, list) else [ends]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id] if token is not None)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without its full stop."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
