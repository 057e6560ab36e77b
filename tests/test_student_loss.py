import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from agentdistill.errors import ModelError
from agentdistill.rendering import Example
from agentdistill.student_loss import mean_losses
from tests.damaged import LACKED, lacking, overflowing


def losses(tiny_model: Path, *examples: Example) -> list[float]:
    return mean_losses(str(tiny_model), examples, dtype=torch.float32, device="cpu")


def test_loss_is_the_mean_over_the_trained_tokens_only(tiny_model: Path) -> None:
    ids = (1, 5, 7, 3)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        scores = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    expected = -(scores[1, 7] + scores[2, 3]) / 2
    (loss,) = losses(tiny_model, Example(ids, (False, False, True, True)))
    assert loss == pytest.approx(float(expected), rel=1e-5)


def test_neighbours_do_not_matter(tiny_model: Path) -> None:
    short = Example((1, 2, 3), (False, True, True))
    long = Example((4, 5, 6, 7, 8, 9), (True,) * 6)
    assert losses(tiny_model, short, long) == [*losses(tiny_model, short), *losses(tiny_model, long)]


def test_nothing_to_learn_is_the_worst(tiny_model: Path) -> None:
    assert losses(tiny_model, Example((1, 2), (True, False))) == [math.inf]


def test_missing_model_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"student\.path"):
        losses(Path("/nonexistent/model"), Example((1, 2), (True, True)))


def test_missing_weights_are_an_error(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"lacks weights such as {LACKED}"):
        losses(lacking(tiny_model, tmp_path), Example((1, 2), (True, True)))


def test_numbers_that_run_over_are_an_error_not_a_loss(tiny_model: Path, tmp_path: Path) -> None:
    large = str(overflowing(tiny_model, tmp_path))
    example = Example((1, 2, 3), (True, True, True))
    assert all(map(math.isfinite, mean_losses(large, [example], dtype=torch.float32, device="cpu")))
    with pytest.raises(ModelError, match=r"no numbers in torch.float16. Set student\.dtype"):
        mean_losses(large, [example], dtype=torch.float16, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="finds no GPU"):
        mean_losses(str(tiny_model), [Example((1, 2), (True, True))], dtype=torch.float32, device="cuda")
