"""An adapter of another model is refused, whatever makes it another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from agentdistill.errors import ModelError
from agentdistill.models.adapter import require_fit, require_same_base, sizes_in
from agentdistill.models.weights import ADAPTER_FILES

CONFIG, WEIGHTS = ADAPTER_FILES
SIZES = {f"model.layers.{layer}.mlp.up_proj": (12, 8) for layer in range(3)} | {"lm_head": (100, 8)}


def write(folder: Path, layers: int = 3, inputs: int = 8, outputs: int = 12, **config: object) -> Path:
    folder.mkdir(exist_ok=True)
    tensors = {}
    for layer in range(layers):
        name = f"base_model.model.model.layers.{layer}.mlp.up_proj"
        tensors[f"{name}.lora_A.weight"] = torch.zeros(2, inputs)
        tensors[f"{name}.lora_B.weight"] = torch.zeros(outputs, 2)
    save_file(tensors, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps({"target_modules": ["up_proj"], **config}))
    return folder


def models(**weights: str) -> None:
    for name, content in weights.items():
        Path(name).mkdir()
        (Path(name) / "model.safetensors").write_text(content)


def test_one_of_the_model_fits(tmp_path: Path) -> None:
    require_fit(SIZES, write(tmp_path))


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"inputs": 6}, r"model\.layers\.0\.mlp\.up_proj has 6 inputs, the model's 8"),
        ({"outputs": 16}, "16 outputs, the model's 12"),
        ({"layers": 4}, r"it has a model\.layers\.3\.mlp\.up_proj, the model has none"),
        ({"layers": 2}, r"the model has a model\.layers\.2\.mlp\.up_proj, the adapter has nothing"),
    ],
)
def test_one_of_another_size_does_not(tmp_path: Path, other: dict[str, int], what: str) -> None:
    with pytest.raises(ModelError, match=f"trained on another model: .*{what}"):
        require_fit(SIZES, write(tmp_path, **other))


@pytest.mark.parametrize("config", [{"layers_to_transform": [0, 1]}, {"target_modules": r".*layers\.[01]\..*"}])
def test_one_that_says_it_is_for_some_layers_fits(tmp_path: Path, config: dict[str, Any]) -> None:
    require_fit(SIZES, write(tmp_path, layers=2, **config))


def test_modules_that_the_model_has_not_are_left_to_who_loads_it(tmp_path: Path) -> None:
    require_fit({"transformer.h.0.attn": (8, 8)}, write(tmp_path))


def test_damaged_files_are_a_sentence(tmp_path: Path) -> None:
    adapter = write(tmp_path)
    (adapter / WEIGHTS).write_bytes(b"x" * 100)
    with pytest.raises(ModelError, match="cannot be read"):
        require_fit(SIZES, adapter)
    (adapter / CONFIG).write_text("{")
    with pytest.raises(ModelError, match="is no JSON"):
        require_same_base("m", adapter)


def test_the_sizes_of_a_model_are_known_without_its_weights(tiny_model: Path) -> None:
    sizes = sizes_in(tiny_model)
    config = json.loads((tiny_model / "config.json").read_text())
    assert sizes["model.layers.0.mlp.up_proj"] == (config["intermediate_size"], config["hidden_size"])


@pytest.mark.parametrize(("trained", "given"), [("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B-Instruct"), ("one", "two")])
def test_a_base_of_the_same_size_but_another_name_is_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trained: str, given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    models(one="weights", two="other weights")
    with pytest.raises(ModelError, match=f"was trained on {trained}, not on {given}"):
        require_same_base(given, write(tmp_path / "adapter", base_model_name_or_path=trained))


@pytest.mark.parametrize(("trained", "given"), [("one", "copy"), ("one", "./one"), ("gone", "one"), ("a/b", "one")])
def test_the_same_weights_or_nothing_known_is_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trained: str, given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    models(one="weights", copy="weights")
    require_same_base(given, write(tmp_path / "adapter", base_model_name_or_path=trained))
