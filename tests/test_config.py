from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from agentdistill.config import load_params, parse_params, read_yaml
from agentdistill.errors import ConfigError

ROOT = Path(__file__).parent.parent


@pytest.fixture
def data() -> dict[str, Any]:
    return copy.deepcopy(read_yaml(ROOT / "params.yaml"))


def complaint(data: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_params(data)
    return str(caught.value)


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *(ROOT / "presets").glob("*.yaml")], ids=lambda path: path.stem)
def test_what_is_shipped_is_valid(path: Path) -> None:
    load_params(path)


def test_a_misspelt_key_is_told_with_the_right_one(data: dict[str, Any]) -> None:
    data["sft"]["lora_rr"] = 8
    assert complaint(data) == "params.yaml: unknown key sft.lora_rr. Did you mean sft.lora_r?"


def test_a_misspelt_block_is_told_with_the_right_one(data: dict[str, Any]) -> None:
    data["evalute"] = data["evaluate"]
    assert complaint(data) == "params.yaml: unknown key evalute. Did you mean evaluate?"


def test_a_misspelt_key_inside_a_list_says_which_item(data: dict[str, Any]) -> None:
    data["download"]["sources"][0]["sede"] = 3
    assert "unknown key download.sources[0].sede. Did you mean download.sources[0].seed?" in complaint(data)


def test_a_key_like_no_other_is_told_with_all_known_ones(data: dict[str, Any]) -> None:
    data["evaluate"]["sag"]["zzz"] = 1
    assert complaint(data) == "params.yaml: unknown key evaluate.sag.zzz. Known here: early, n, temperature, top_p."


def test_a_missing_key_is_named(data: dict[str, Any]) -> None:
    del data["sft"]["epochs"]
    assert complaint(data).startswith("params.yaml: the key sft.epochs is missing.")


@pytest.mark.parametrize(
    ("block", "key", "value", "shown"),
    [
        ("sft", "lora_r", "8", 'sft.lora_r is "8", but should be a valid integer'),
        ("sft", "lora_r", 0, "sft.lora_r is 0, but should be greater than or equal to 1"),
        ("sft", "lora_r", None, "sft.lora_r is null, but should be a valid integer"),
        ("filter", "drop_unparsable", 1, "filter.drop_unparsable is 1, but should be a valid boolean"),
        ("report", "confidence", 1.5, "report.confidence is 1.5, but should be less than 1"),
        ("grading", "fact", "exat", "grading.fact is \"exat\", but should be 'exact'"),
    ],
)
def test_a_wrong_value_is_told_with_what_it_should_be(
    data: dict[str, Any], block: str, key: str, value: object, shown: str
) -> None:
    data[block][key] = value
    assert complaint(data).startswith(f"params.yaml: {shown}")


def test_a_block_that_is_no_mapping(data: dict[str, Any]) -> None:
    data["sft"] = [1, 2]
    assert complaint(data) == "params.yaml: sft is [1, 2], but should be a mapping of keys to values."


def test_an_unknown_type_of_source(data: dict[str, Any]) -> None:
    data["download"]["sources"][0]["type"] = "wold"
    assert "download.sources[0] has type 'wold'. Did you mean 'world'?" in complaint(data)


def test_all_problems_are_told_at_once(data: dict[str, Any]) -> None:
    data["sft"]["lora_r"] = "8"
    del data["cot"]["samples"]
    assert len(complaint(data).splitlines()) == 2


@pytest.mark.parametrize(
    ("batch", "processes", "piece", "fits"), [(16, 2, 8, 1), (16, 1, 32, 1), (16, 3, 4, 0), (16, 2, 3, 0)]
)
def test_a_batch_must_divide_among_its_processes(
    data: dict[str, Any], batch: int, processes: int, piece: int, fits: bool
) -> None:
    data["sft"] |= {"batch_size": batch, "processes": processes, "device_batch_size": piece}
    if fits:
        parse_params(data)
    else:
        assert f"sft.processes is {processes}, but should be a number that shares batch_size 16" in complaint(data)


def test_numbers_are_read_as_yaml_1_2(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("a: 1e-4\nb: no\n")
    assert read_yaml(tmp_path / "params.yaml") == {"a": 1e-4, "b": "no"}


def test_broken_yaml_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 0\nsft: [1\n")
    with pytest.raises(ConfigError, match=r"params\.yaml, line \d: not valid YAML"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    "content",
    [
        b"seed: 2024-13-45",
        b"seed: \xe9",
        b"seed: \x07",
        b"2024-01-01: x",
        b"seed: &a [*a]",
        b"seed: !!int abc",
        b"seed: !!bool abc",
    ],
)
def test_what_yaml_cannot_read_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="params"):
        load_params(path)


def test_a_folder_is_no_params_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        load_params(tmp_path)


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
def test_a_number_is_finite(data: dict[str, Any], value: str) -> None:
    data["sft"]["learning_rate"] = float(value)
    assert "sft.learning_rate" in complaint(data)


def test_a_repeated_key_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: 0\nseed: 1\n")
    with pytest.raises(ConfigError, match="line 2"):
        load_params(tmp_path / "params.yaml")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_params(tmp_path / "params.yaml")


def test_a_list_is_no_params_file(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError, match=r"should hold a mapping of blocks, but holds \[1\]"):
        load_params(tmp_path / "params.yaml")
