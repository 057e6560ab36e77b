"""Training of an adapter, on a tiny model."""

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM
from trl import SFTConfig
from trl.trainer import sft_trainer
from trl.trainer import utils as trl_utils

from agentdistill import sft
from agentdistill.errors import DataError, ModelError
from agentdistill.rendering import Example
from agentdistill.sft import Schedule, split_by_length
from agentdistill.student_loss import mean_losses
from tests.damaged import LACKED, lacking
from tests.training import Run, example, train_on, weights


@pytest.fixture
def trl_losses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many positions each loss was computed for."""
    counts: list[int] = []
    function = trl_utils._ChunkedLogProbFunction

    class Counting(function):  # type: ignore[misc, valid-type]
        @staticmethod
        def forward(ctx: object, hidden: torch.Tensor, *rest: object) -> object:
            counts.append(len(hidden))
            return function.forward(ctx, hidden, *rest)

    monkeypatch.setattr(trl_utils, "_ChunkedLogProbFunction", Counting)
    return counts


@given(st.lists(st.tuples(st.integers(2, 12), st.integers(0, 3))), st.integers(1, 12))
def test_an_example_is_kept_whole_or_not_at_all(lengths: list[tuple[int, int]], longest: int) -> None:
    examples = [example(length, min(trained, length)) for length, trained in lengths]
    fitting = [e for e in examples if len(e.ids) <= longest and any(e.mask)]
    if not fitting:
        with pytest.raises(DataError, match="No training example is left"):
            split_by_length(examples, longest)
        return
    assert split_by_length(examples, longest) == (fitting, len(examples) - len(fitting))


def test_first_loss_is_the_mean_over_the_trained_tokens_of_the_batch(
    run: Run, tiny_model: Path, tmp_path: Path
) -> None:
    examples = [example(4 + 2 * i, 1 + i, seed=i) for i in range(8)]
    curve = run(tmp_path, examples)
    means = mean_losses(str(tiny_model), examples, dtype=torch.float32, device="cpu")
    trained = [sum(e.mask) for e in examples]
    expected = sum(mean * count for mean, count in zip(means, trained, strict=True)) / sum(trained)
    assert curve[0].loss == pytest.approx(expected, rel=1e-4)


def test_batches_that_go_through_in_pieces_give_the_same_loss(run: Run, tmp_path: Path) -> None:
    examples = [example(4 + 2 * i, 1 + i, seed=i) for i in range(8)]
    whole = run(tmp_path / "whole", examples)
    pieces = run(tmp_path / "pieces", examples, micro_batch_size=2)
    assert pieces[0].loss == pytest.approx(whole[0].loss, rel=1e-4)


def test_logits_are_computed_only_where_a_token_is_trained(run: Run, tmp_path: Path, trl_losses: list[int]) -> None:
    examples = [example(20, 3, seed=i) for i in range(8)]
    run(tmp_path, examples)
    assert trl_losses == [8 * 3, 2 * 3]  # the only step, and the validation after it


def test_untrained_tokens_teach_nothing(run: Run, tmp_path: Path) -> None:
    """The loss sees only labels: what follows the last trained token cannot matter at all."""
    examples = [example(8, 3, seed=i) for i in range(8)]
    longer = [Example((*e.ids, 5, 6, 7), (*e.mask, False, False, False)) for e in examples]
    first = run(tmp_path / "first", examples, epochs=3)
    second = run(tmp_path / "second", longer, epochs=3)
    assert [p.loss for p in second] == pytest.approx([p.loss for p in first], rel=1e-4)


def test_training_lowers_the_loss_of_what_it_saw(run: Run, tmp_path: Path) -> None:
    curve = run(tmp_path, [example(10, 4, seed=i % 2) for i in range(16)], epochs=10)
    assert curve[-1].loss < curve[0].loss / 2


def test_the_same_training_writes_the_same_files(run: Run, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        run(tmp_path / folder, [example(6, 2, seed=i) for i in range(8)])
    first, second = (
        {p.name: p.read_bytes() for p in (tmp_path / f / "adapter").iterdir()} for f in ("first", "second")
    )
    assert first == second
    targets = json.loads(first["adapter_config.json"])["target_modules"]
    assert targets == sorted(targets)  # within one process a set has one order; from one to another it changes


@given(st.integers(1, 64), st.integers(1, 16), st.integers(1, 8))
def test_processes_and_pieces_make_up_the_batch_exactly_or_not_at_all(batch: int, piece: int, processes: int) -> None:
    try:
        schedule = Schedule(0.1, 1, batch, piece, 0.0, 0, processes)
    except ValueError:
        assert batch % processes or (batch // processes) % piece
    else:
        assert processes * schedule.micro_batches * schedule.rows == batch
        assert schedule.rows <= piece


def test_processes_that_share_each_batch_train_the_same_adapter(run: Run, tmp_path: Path) -> None:
    examples = [example(6 + i % 5, 1 + i % 3, seed=i) for i in range(24)]
    alone = run(tmp_path / "alone", examples, epochs=2)
    together = run(tmp_path / "together", examples, epochs=2, micro_batch_size=4, processes=2)
    assert [p.step for p in together] == [p.step for p in alone]
    for name, weight in weights(tmp_path / "alone").items():
        assert torch.allclose(weights(tmp_path / "together")[name], weight, atol=1e-4)


FIT = sft._fit
SEEN = "TEST_SFT_SEEN"  # the folder where each process leaves what it was given


def recording_fit(*arguments: Any, **options: Any) -> Any:
    """Train, and leave the last token of each example in the order in which this process met them."""
    met: list[int] = []
    collate = sft_trainer.DataCollatorForLanguageModeling.torch_call

    def recording(self: Any, examples: list[dict[str, Any]]) -> Any:
        met.extend(int(one["input_ids"][-1]) for one in examples if max(one["labels"]) > 0)
        return collate(self, examples)

    with mock.patch.object(sft_trainer.DataCollatorForLanguageModeling, "torch_call", recording):
        trainer = FIT(*arguments, **options)
    Path(os.environ[SEEN], os.environ["RANK"]).write_text(json.dumps(met))
    return trainer


@pytest.mark.slow
def test_processes_meet_every_example_once_in_every_epoch(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sft, "_fit", recording_fit)
    monkeypatch.setenv(SEEN, str(tmp_path))
    numbers = list(range(10, 43))  # 33, of which two processes cannot have pieces of 4 each
    examples = []
    for number in numbers:
        one = example(6 + number % 7, 2, seed=number)
        examples.append(Example((*one.ids[:-1], number), one.mask))
    run(tmp_path, examples, epochs=3, micro_batch_size=4, processes=2, dropout=0.3, validation=0)
    met = [json.loads((tmp_path / str(rank)).read_text()) for rank in range(2)]
    assert sorted(met[0] + met[1]) == sorted(3 * numbers)


@pytest.mark.slow
def test_a_training_process_that_dies_is_one_sentence(run: Run, tmp_path: Path) -> None:
    def kill_the_other() -> None:
        (other,) = multiprocessing.active_children()
        other.kill()

    with pytest.raises(ModelError, match=r"exit code -9.*lower sft\.device_batch_size"):
        run(tmp_path, [example(6, 2, seed=i) for i in range(24)], processes=2, on_step=kill_the_other)
    assert not (tmp_path / "adapter").exists()


@pytest.mark.slow
def test_an_interrupted_training_leaves_no_process(run: Run, tmp_path: Path) -> None:
    def interrupt() -> None:
        assert multiprocessing.active_children()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [example(6, 2, seed=i) for i in range(24)], processes=2, on_step=interrupt)
    assert not multiprocessing.active_children()


def test_a_process_trains_on_one_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where transformers sees several, it would multiply the batch by their number."""

    class FourDevices(SFTConfig):  # type: ignore[misc, unused-ignore]
        def __post_init__(self) -> None:
            super().__post_init__()
            self._n_gpu = 4

    monkeypatch.setattr(sft, "SFTConfig", FourDevices)
    schedule = Schedule(
        learning_rate=0.1, epochs=1, batch_size=8, micro_batch_size=4, warmup_ratio=0.0, seed=0, processes=1
    )
    arguments = sft._arguments(schedule, torch.float32, tmp_path, has_validation=False)
    assert arguments.train_batch_size * arguments.gradient_accumulation_steps == 8


def test_a_training_that_diverges_ends_at_once(run: Run, tmp_path: Path) -> None:
    steps: list[int] = []
    with pytest.raises(
        DataError, match=r"diverged: at step 2 the training loss is (nan|inf).*Lower sft\.learning_rate"
    ):
        run(
            tmp_path,
            [example(6, 2, seed) for seed in range(16)],  # two steps an epoch
            learning_rate=1e30,
            epochs=50,
            on_step=lambda: steps.append(1),
        )
    assert len(steps) <= 2
    assert not (tmp_path / "adapter").exists()


def test_a_base_that_gives_no_numbers_is_not_trained(
    tiny_model: Path, byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    broken = Qwen2ForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        broken.model.norm.weight.fill_(float("nan"))
    broken.save_pretrained(tmp_path / "broken")
    with pytest.raises(DataError, match="at step 1 the training loss is nan"):
        train_on(tmp_path / "broken", byte_tokenizer, tmp_path, [example(6, 2)])
    assert not (tmp_path / "adapter").exists()


def test_a_base_that_lacks_weights_is_not_trained(
    tiny_model: Path, byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=f"cannot be loaded: the file lacks weights such as {LACKED}"):
        train_on(lacking(tiny_model, tmp_path), byte_tokenizer, tmp_path, [example(6, 2)])


def test_missing_base_is_one_sentence(byte_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be loaded.*student\.path"):
        train_on(Path("/nonexistent/model"), byte_tokenizer, tmp_path, [example(6, 2)])
