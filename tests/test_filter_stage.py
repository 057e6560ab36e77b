"""The stage `filter`: trajectories in, training set, grades and funnel out."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import tasks.filter as stage
from agentdistill.config import load_params
from agentdistill.config.filter import FilterParams
from agentdistill.config.grading import GradingParams
from agentdistill.errors import DataError
from agentdistill.records import Grade, Message, Problem, Trajectory, Usage
from agentdistill.store.jsonl import read_jsonl, write_jsonl

ROOT = Path(__file__).parent.parent
FILTER: dict[str, Any] = {
    "drop_unparsable": True,
    "drop_failed_steps": False,
    "drop_forced_answers": True,
    "require_search": False,
    "max_steps": None,
    "max_tokens": None,
    "prefer": "first",
    "max_per_problem": 1,
    "max_examples": None,
}
GRADING: dict[str, Any] = {"fact": "exact", "f1": 0.8, "deadline_seconds": 5, "workers": 1, "judge": None}
PROBLEMS = [
    Problem.create(
        question=f"q{i}", answer=f"Name{i}", source="s", split="train", answer_kind="fact", family=f"f{i % 2}"
    )
    for i in range(4)
]


def attempt(problem: Problem, answer: str | None, number: int = 0) -> Trajectory:
    return Trajectory(
        id=f"{problem.id}-{number}",
        problem_id=problem.id,
        attempt=number,
        recipe="cot",
        messages=(Message(role="assistant", text="t", sampled=True),),
        steps=(),
        answer=answer,
        stop="answered" if answer else "max_steps",
        usage=Usage(),
        prefix=None,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    params = SimpleNamespace(filter=FilterParams.model_validate(FILTER), grading=GradingParams.model_validate(GRADING))
    monkeypatch.setattr(stage, "load_params", lambda: params)
    write_jsonl(tmp_path / "data/problems/train.jsonl", PROBLEMS)
    return tmp_path


def test_every_attempt_has_a_grade_and_the_funnel_adds_up(folder: Path) -> None:
    attempts = [
        attempt(PROBLEMS[0], "name0"),
        attempt(PROBLEMS[0], "Name0", 1),
        attempt(PROBLEMS[1], "Name2"),
        attempt(PROBLEMS[2], None),
        attempt(PROBLEMS[3], "Name3"),
    ]
    write_jsonl(folder / "data/trajectories/cot.jsonl", attempts)
    stage.main("cot")
    grades = {grade.trajectory_id: grade for grade in read_jsonl(folder / "data/grades/cot.jsonl", Grade)}
    assert [grades[one.id].dropped for one in attempts] == [None, "other_attempt_preferred", "wrong", "no_answer", None]
    assert [one.id for one in read_jsonl(folder / "data/sft/cot.jsonl", Trajectory)] == [attempts[0].id, attempts[4].id]
    metrics = json.loads((folder / "reports/metrics/filter-cot.json").read_text())
    assert (metrics["attempts"], metrics["correct"], metrics["kept"], metrics["ungraded"]) == (5, 3, 2, 0)
    assert metrics["by_family"]["f0"]["kept"] == 1
    with (folder / "data/sft/cot.funnel.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["group"] == "all"]
    assert (rows[0]["left"], rows[-1]["left"]) == ("5", "2")
    assert sum(int(row["taken"]) for row in rows) == 3


def test_nothing_kept_is_an_error_that_says_what_took_it(folder: Path) -> None:
    write_jsonl(folder / "data/trajectories/plain.jsonl", [attempt(PROBLEMS[0], "x"), attempt(PROBLEMS[1], None)])
    with pytest.raises(DataError, match=r"'agent'.*2 attempts.*1 no_answer, 1 wrong"):
        stage.main("agent")
    assert not (folder / "data/sft").exists()
    assert not (folder / "data/grades").exists()


def test_where_most_gave_no_answer_no_rule_is_to_blame(folder: Path) -> None:
    write_jsonl(folder / "data/trajectories/plain.jsonl", [attempt(problem, None) for problem in PROBLEMS[:3]])
    with pytest.raises(DataError, match=r"3 no_answer\. Look at .*plain\.jsonl: prompts .*prompts\.set") as caught:
        stage.main("agent")
    assert "Loosen" not in str(caught.value)


def test_trajectories_of_another_download_are_refused(folder: Path) -> None:
    stranger = Problem.create(question="else", answer="a", source="s", split="train", answer_kind="fact", family="f")
    write_jsonl(folder / "data/trajectories/cot.jsonl", [attempt(stranger, "a")])
    with pytest.raises(DataError, match="not among"):
        stage.main("cot")


def test_the_attempt_that_the_student_finds_likeliest_is_preferred(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = load_params(ROOT / "params.yaml")
    rules = params.filter.model_copy(update={"prefer": "lowest_nll"})
    student = params.student.model_copy(update={"path": str(ROOT / "models/embedded/student")})
    changed = params.model_copy(update={"filter": rules, "student": student})
    monkeypatch.setattr(stage, "load_params", lambda: changed)
    texts = ("Qq zv 77 ## wub wub.", "To get the answer I multiply 3 by 4.\n\n3 * 4 = 12.")
    attempts = [
        attempt(PROBLEMS[0], "Name0", number).model_copy(
            update={
                "messages": (
                    Message(role="system", text="replaced by the student's prompt"),
                    Message(role="user", text="How many plums are there?"),
                    Message(role="assistant", text=text, sampled=True),
                )
            }
        )
        for number, text in enumerate(texts)
    ]
    write_jsonl(folder / "data/trajectories/cot.jsonl", attempts)
    stage.main("cot")
    (kept,) = read_jsonl(folder / "data/sft/cot.jsonl", Trajectory)
    assert kept.id == attempts[1].id
