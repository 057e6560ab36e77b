"""The embedded model at the price of a larger one.

Beside a model as small as the embedded ones everything is dear: a fork takes as long as some of its tokens. Layers that
add nothing to what they are given make it cost what a deeper model costs, and it writes the same tokens.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from agentdistill.models.tokenizer import link_files


def deepen(source: Path, layers: int, target: Path) -> int:
    """Write the model of folder `source` to folder `target` with that many layers; the new ones add zero.

    Returns:
        how many layers it had.

    Raises:
        ValueError: it has more layers already.
    """
    shallow: Any = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    present = shallow.config.num_hidden_layers
    if layers < present:
        raise ValueError(f"{source} has {present} layers; ask for at least as many, not {layers}.")
    config = copy.deepcopy(shallow.config)
    config.num_hidden_layers = layers
    config.layer_types = ["full_attention"] * layers
    deep: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    deep.load_state_dict(shallow.state_dict(), strict=False)
    for layer in deep.model.layers[present:]:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    deep.save_pretrained(target)
    link_files(source, target)
    return int(present)
