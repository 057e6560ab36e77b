"""Own files that DVC would not notice to have changed are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentdistill.config import parse_params, read_yaml
from agentdistill.errors import ConfigError
from tasks.watched import require_watched

ROOT = Path(__file__).parents[2]
LOCAL = {
    "type": "local",
    "name": "mine",
    "split": "train",
    "size": None,
    "seed": 0,
    "records": None,
    "fields": {"question": "question", "answer": "answer", "aliases": None, "family": None},
    "where": {},
    "answer_kind": "fact",
    "answer_is_boxed": False,
    "needs_search": False,
    "skip_unanswered": False,
}


def check(role: str, watched: str, change: dict[str, Any]) -> None:
    params = read_yaml(ROOT / "params.yaml")
    for block, keys in change.items():
        params[block] |= keys
    params["watched"][role] = watched
    require_watched(parse_params(params))


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "student": ("student.path", {"student": {"path": "own/part"}}),
    "data": ("download.sources.0.path", {"download": {"sources": [{**LOCAL, "path": "own/part/train.jsonl"}]}}),
    "judge": (
        "grading.judge.path",
        {"grading": {"judge": {**read_yaml(ROOT / "params.yaml")["teacher"], "path": "own/part"}}},
    ),
    "prompts": ("prompts.set", {"prompts": {"set": "own/part"}}),
}


@pytest.mark.parametrize("role", CASES)
@pytest.mark.parametrize("watched", ["own", "own/part", "own/other", "models/none"])
def test_a_local_path_must_lie_in_what_is_watched(
    role: str, watched: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own/part").mkdir(parents=True)
    key, change = CASES[role]
    if watched in ("own", "own/part"):
        check(role, watched, change)
    else:
        with pytest.raises(ConfigError, match=rf"{key} is own/part.*Set watched\.{role} to own/part"):
            check(role, watched, change)


def test_a_folder_with_the_name_of_a_built_in_set_is_none_of_its(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paper").mkdir()
    check("prompts", "models/none", {"prompts": {"set": "paper"}})


def test_a_copy_of_a_hub_dataset_is_a_local_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    corpus = {"type": "hub", "dataset": "a/b", "subset": None, "hub_split": "train", "revision": None}
    copied = {**corpus, "snapshot": "copy", "id": None, "title": "title", "text": "text"}
    with pytest.raises(ConfigError, match=r"download\.corpus\.0\.snapshot is copy"):
        check("data", "models/none", {"download": {"corpus": [copied]}})
    check("data", "copy", {"download": {"corpus": [copied]}})


@pytest.mark.parametrize("preset", [ROOT / "params.yaml", *sorted((ROOT / "presets").glob("*.yaml"))], ids=str)
def test_the_presets_watch_all_that_they_name(preset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    require_watched(parse_params(read_yaml(preset)))
