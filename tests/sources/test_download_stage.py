"""The stage itself: sources of all kinds in, disjoint splits out, nothing half-written."""

import json
from pathlib import Path
from typing import Any

import pytest

import tasks.download as stage
from agentdistill.config.download import DownloadParams
from agentdistill.errors import DataError
from agentdistill.records import Passage, Problem
from agentdistill.store.jsonl import read_jsonl

LOCAL: dict[str, Any] = {
    "type": "local",
    "name": "mine",
    "fields": {"question": "q", "answer": "a", "aliases": None, "family": None},
    "where": {},
    "answer_kind": "fact",
    "answer_is_boxed": False,
    "needs_search": False,
    "skip_unanswered": False,
    "records": None,
    "size": None,
    "seed": 0,
}


CORPUS = {"type": "local", "path": "corpus.jsonl", "records": None, "id": None, "title": "title", "text": "text"}
BENCHMARK = {"type": "benchmark", "split": "train", "size": 1, "seed": 0, "revision": None, "snapshot": None}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [{"q": f"Question number {i} about something?", "a": str(i)} for i in range(20)]
    write(tmp_path / "train.jsonl", [*rows, rows[3]])
    write(tmp_path / "test.jsonl", [*rows[:5], {"q": "Only in test?", "a": "yes"}])
    write(tmp_path / "corpus.jsonl", [{"title": "T", "text": f"passage {i}"} for i in range(3)])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def run(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    params = DownloadParams.model_validate(
        {
            "sources": [
                {**LOCAL, "path": "train.jsonl", "split": "train"},
                {**LOCAL, "path": "test.jsonl", "split": "test"},
            ],
            "corpus": [CORPUS],
            "validation": 4,
            "seed": 0,
            "duplicates": {"threshold": 0.8, "remove_overlap": True},
            **changes,
        }
    )

    class Params:
        download = params

    monkeypatch.setattr(stage, "load_params", lambda: Params)
    stage.main()


def split(folder: Path, name: str) -> list[Problem]:
    return read_jsonl(folder / "data" / "problems" / f"{name}.jsonl", Problem)


def test_splits_are_disjoint_and_every_removal_is_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch)
    train, validation, test = (split(folder, name) for name in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (20 - 5 - 4, 4, 6)
    assert not {one.question for one in train + validation} & {one.question for one in test}
    assert {one.split for one in validation} == {"validation"}
    duplicates = json.loads((folder / "reports/metrics/download.json").read_text())["duplicates"]
    assert duplicates["within_train_removed"] == 1
    assert duplicates["train_with_test_found"] == 5
    assert len(read_jsonl(folder / "data/corpus.jsonl", Passage)) == 3


def test_overlap_can_be_kept_and_is_still_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, duplicates={"threshold": 0.8, "remove_overlap": False}, validation=0)
    assert len(split(folder, "train")) == 20
    metrics = json.loads((folder / "reports/metrics/download.json").read_text())
    assert metrics["duplicates"]["train_with_test_found"] == 5


def test_a_test_question_stands_once_whatever_else_is_asked_in_its_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("Who?", "y"), ("Who?", "x"), ("Who?", "x"), ("Where?", "z"), ("Where?", "z"), ("Where?", "z")]
    write(folder / "test.jsonl", [{"q": question, "a": answer} for question, answer in rows])
    run(monkeypatch)
    assert [(one.question, one.answer) for one in split(folder, "test")] == [
        ("Who?", "y"),
        ("Who?", "x"),
        ("Where?", "z"),
    ]


@pytest.mark.parametrize("repeated", ["train", "test"])
def test_rows_of_one_question_and_answer_become_one_with_all_aliases(
    folder: Path, monkeypatch: pytest.MonkeyPatch, repeated: str
) -> None:
    rows = [{"q": "Which city?", "a": "Paris", "b": alias} for alias in ("", "City of Light", "Lutetia")]
    other = [{"q": "Another question?", "a": "no", "b": ""}]
    write(folder / "many.jsonl", rows)
    write(folder / "few.jsonl", other)
    fields = {**LOCAL["fields"], "aliases": "b"}
    sources = [
        {**LOCAL, "fields": fields, "path": "many.jsonl" if name == repeated else "few.jsonl", "split": name}
        for name in ("train", "test")
    ]
    run(monkeypatch, sources=sources, validation=0)
    (found,) = split(folder, repeated)
    assert found.aliases == ("City of Light", "Lutetia")
    metrics = json.loads((folder / "reports/metrics/download.json").read_text())
    assert metrics["duplicates"][f"within_{repeated}_removed"] == 2


def test_provenance_says_what_came_from_where(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch)
    provenance = json.loads((folder / "data/problems/sources.json").read_text())
    first, second = provenance["questions"]
    assert provenance["corpus"][0]["path"] == "corpus.jsonl"
    assert (first["path"], first["questions"]) == ("train.jsonl", 21)
    assert first["digest"] != second["digest"]


def test_the_same_params_give_the_same_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch)
    before = {path: path.read_bytes() for path in (folder / "data").rglob("*") if path.is_file()}
    run(monkeypatch)
    assert {path: path.read_bytes() for path in (folder / "data").rglob("*") if path.is_file()} == before


def test_a_source_that_fails_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "test.jsonl").write_text('{"q": "x", "a": "y"}\n{"q": ', encoding="utf-8")
    with pytest.raises(DataError, match=r"test\.jsonl, line 2"):
        run(monkeypatch)
    assert not (folder / "data").exists()


def test_train_wholly_contained_in_test_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "train.jsonl").write_bytes((folder / "test.jsonl").read_bytes())
    with pytest.raises(DataError, match=r"train split is empty"):
        run(monkeypatch, validation=0)


def test_unknown_benchmark_lists_the_known_ones(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="hotpotqa"):
        run(monkeypatch, sources=[{**BENCHMARK, "name": "hotpot"}])


def test_a_bad_row_is_named_by_its_file_where_several_make_up_one_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "test.jsonl", [{"q": "Only in test?", "a": "yes"}, {"q": "And this?", "a": ""}])
    with pytest.raises(DataError, match=r"^Row 2 of test\.jsonl has no answer"):
        run(monkeypatch)


def test_a_split_that_no_source_gives_is_said_to_lack_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="No source gives questions for the test split"):
        run(monkeypatch, sources=[{**LOCAL, "path": "train.jsonl", "split": "train"}])
