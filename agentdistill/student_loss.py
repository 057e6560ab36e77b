"""How likely the student already finds an attempt: its mean loss on the tokens that it would be trained on.

The filter can prefer, among correct attempts at one problem, the one nearest to the student's own distribution.
Perplexity under the student as a criterion for distillation data: Zhang et al. 2025, arXiv 2502.04194 (GRAPE).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from agentdistill.errors import ModelError
from agentdistill.models.loading import LOADING_ERRORS, first_line, load_whole, require_device
from agentdistill.rendering import Example


def mean_losses(
    base: str,
    examples: Sequence[Example],
    *,
    dtype: torch.dtype,
    device: str,
    advance: Callable[[], object] = lambda: None,
) -> list[float]:
    """Return, for each example, the mean negative log-likelihood in nats of its masked-in tokens.

    One example at a time, so that its loss does not depend on its neighbours; `advance` is called after each. An
    example without a trained token has loss infinity: nothing could be learnt from it.

    Raises:
        ModelError: the model at `base` (a folder or hub name) cannot be loaded to `device`, or its numbers run over in
            `dtype`.
    """
    require_device(device)
    try:
        model = load_whole(base, dtype=dtype).to(device).eval()
    except LOADING_ERRORS as error:
        raise ModelError(
            f"The student base '{base}' cannot be loaded: {first_line(error)}. Correct student.path."
        ) from error
    losses = []
    for example in examples:
        losses.append(_mean_loss(model, example, device))
        if math.isnan(losses[-1]):
            raise ModelError(
                f"The student base '{base}' gives no numbers in {dtype}. Set student.dtype to bfloat16 or float32; if "
                "it is one of them, the weights are broken."
            )
        advance()
    return losses


@torch.inference_mode()
def _mean_loss(model: torch.nn.Module, example: Example, device: str) -> float:
    counted = torch.tensor(example.mask[1:], device=device)  # the first token has nothing before it
    if not counted.any():
        return float("inf")
    ids = torch.tensor([example.ids], device=device)
    logits = model(input_ids=ids).logits[0, :-1][counted].float()
    return float(torch.nn.functional.cross_entropy(logits, ids[0, 1:][counted]))
