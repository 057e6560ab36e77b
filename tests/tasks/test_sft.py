"""What names a training's checkpoints."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agentdistill.config import Params
from agentdistill.config.base import parse_params, read_yaml
from agentdistill.rendering import Example
from agentdistill.sft import Lora, Schedule
from tasks.sft import _key

PARAMS = Path(__file__).parents[2] / "params.yaml"
ONE, TWO = Example((1, 2), (False, True)), Example((1, 3), (False, True))
GIVEN: dict[str, Any] = {
    "schedule": Schedule(0.1, 1, 8, 8, 0.0, 0, 1),
    "lora": Lora(4, 8, 0.0),
    "training": [ONE],
    "validation": [TWO],
}


@pytest.fixture
def params(tiny_model: Path, tmp_path: Path) -> Params:
    shutil.copytree(tiny_model, tmp_path / "student")
    params = parse_params(read_yaml(PARAMS))
    return changed(params, "student", path=str(tmp_path / "student"))


def changed(params: Params, block: str, **values: object) -> Params:
    return params.model_copy(update={block: getattr(params, block).model_copy(update=values)})


def test_all_that_determines_a_training_names_its_checkpoints(params: Params) -> None:
    keys = [
        _key(params, **GIVEN),
        _key(params, **{**GIVEN, "schedule": replace(GIVEN["schedule"], seed=1)}),
        _key(params, **{**GIVEN, "lora": replace(GIVEN["lora"], rank=8)}),
        _key(params, **{**GIVEN, "training": [TWO]}),
        _key(params, **{**GIVEN, "validation": [ONE]}),
        _key(params, **{**GIVEN, "training": [ONE, TWO], "validation": []}),
        _key(changed(params, "sft", dtype="bfloat16"), **GIVEN),
    ]
    assert len(set(keys)) == len(keys)


def test_other_weights_at_the_same_path_are_another_training(params: Params) -> None:
    before = _key(params, **GIVEN)
    weights = Path(params.student.path) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert _key(params, **GIVEN) != before


def test_how_the_student_is_asked_makes_no_other_training(params: Params) -> None:
    assert _key(changed(params, "student", processes=1, dtype="bfloat16"), **GIVEN) == _key(params, **GIVEN)
