from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agentdistill.errors import ConfigError, DataError
from tasks.preset import apply, main

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    (tmp_path / "params.yaml").write_text("mine\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def kept() -> list[str]:
    return sorted(path.read_text() for path in Path(".cache").glob("params.before-*.yaml"))


def test_params_become_the_preset() -> None:
    apply("paper")
    assert Path("params.yaml").read_text() == Path("presets/paper.yaml").read_text()


def test_the_params_of_a_user_are_kept_through_several_presets() -> None:
    apply("paper")
    apply("api-teacher")
    assert kept() == ["mine\n"]


def test_each_file_that_a_user_wrote_is_kept() -> None:
    apply("paper")
    Path("params.yaml").write_text("mine too\n")
    apply("api-teacher")
    assert kept() == ["mine\n", "mine too\n"]


def test_a_wrong_preset_leaves_the_params() -> None:
    Path("presets/wrong.yaml").write_text("seed: 0\n")
    with pytest.raises(ConfigError):
        apply("wrong")
    assert Path("params.yaml").read_text() == "mine\n"


def run(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("sys.argv", ["preset", name])
    main()


def test_it_says_where_the_old_params_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "paper")
    said = capsys.readouterr().out
    assert Path(said.partition("the one before is ")[2].split(". Next")[0]).read_text() == "mine\n"


def test_an_unknown_preset_is_answered_by_the_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(monkeypatch, "papr")
    assert "api-teacher" in capsys.readouterr().err


def test_outside_a_checkout_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree("presets")
    with pytest.raises(DataError, match="root of the checkout"):
        run(monkeypatch, "paper")
