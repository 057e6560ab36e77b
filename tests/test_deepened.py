from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks.deepened import deepen

STUDENT = Path("models/embedded/student")


def test_added_layers_change_no_logit(tmp_path: Path) -> None:
    present = deepen(STUDENT, 9, tmp_path)
    shallow: Any = AutoModelForCausalLM.from_pretrained(STUDENT, dtype=torch.float32)
    deep: Any = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ids = torch.arange(40).reshape(2, 20)
    assert (present, deep.config.num_hidden_layers) == (shallow.config.num_hidden_layers, 9)
    assert torch.equal(deep(input_ids=ids).logits, shallow(input_ids=ids).logits)


def test_a_model_cannot_be_made_shallower(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least as many, not 2"):
        deepen(STUDENT, 2, tmp_path)
