"""The ledger's commands print what is there and never make a ledger by looking."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentdistill.store.ledger import Ledger
from agentdistill.store.ledger_cli import app
from tests.store.test_ledger import make_reply, make_request

runner = CliRunner()


def make_ledger(path: Path) -> str:
    with Ledger(path) as ledger:
        ledger.put(make_request(fingerprint="openai:1234"), make_reply("hello"))
        ledger.name("openai:1234", "openai some-model")
    return str(path)


def test_stats_name_the_model(tmp_path: Path) -> None:
    result = runner.invoke(app, ["stats", "--path", make_ledger(tmp_path / "l")])
    assert result.exit_code == 0
    assert "openai:1234" in result.stdout
    assert "openai some-model" in result.stdout


def test_show_prints_request_and_reply(tmp_path: Path) -> None:
    result = runner.invoke(app, ["show", "--path", make_ledger(tmp_path / "l")])
    content = json.loads(result.stdout)
    assert content["request"]["messages"] == [["system", "s"], ["user", "q"]]
    assert content["reply"]["completions"][0]["text"] == "hello"


@pytest.mark.parametrize("model", ["openai:1234", "openai some-model"])
def test_prune_deletes_a_model(model: str, tmp_path: Path) -> None:
    path = make_ledger(tmp_path / "l")
    result = runner.invoke(app, ["prune", "--model", model, "--path", path])
    assert "deleted 1 replies" in result.stdout


def test_prune_without_a_criterion_deletes_nothing(tmp_path: Path) -> None:
    result = runner.invoke(app, ["prune", "--path", make_ledger(tmp_path / "l")])
    assert result.exit_code == 1
    assert "--max-mb" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("prune", "--max-mb", "-1"),
        ("prune", "--max-mb", "nan"),
        ("prune", "--max-mb", "inf"),
        ("prune", "--older-than-days", "-1"),
        ("prune", "--older-than-days", "nan"),
        ("show", "--limit", "0"),
        ("show", "--limit", "99999999999999999999"),
        ("show", "xyz"),
        ("show", "\udcff"),
    ],
)
def test_a_number_out_of_range_is_refused_and_deletes_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    path = make_ledger(tmp_path / "l")
    result = runner.invoke(app, [*arguments, "--path", path])
    assert result.exit_code != 0
    assert isinstance(result.exception, SystemExit)  # a sentence, and no traceback
    with Ledger(Path(path)) as ledger:
        assert len(ledger.entries(limit=9)) == 1


def test_a_model_that_is_no_text_has_no_replies(tmp_path: Path) -> None:
    result = runner.invoke(app, ["prune", "--model", "\udcff", "--path", make_ledger(tmp_path / "l")])
    assert "deleted 0 replies" in result.stdout


def test_a_missing_ledger_is_not_made(tmp_path: Path) -> None:
    result = runner.invoke(app, ["stats", "--path", str(tmp_path / "absent")])
    assert result.exit_code == 1
    assert list(tmp_path.iterdir()) == []
