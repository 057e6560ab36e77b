"""Scores: what counts in the denominator, what is told apart, what is refused."""

from typing import get_args

import pytest

from agentdistill.errors import DataError
from agentdistill.evaluation import Run, score
from agentdistill.records import Grade, Problem, Stop, Trajectory
from tests.evaluation.world import make_problems, make_run


def make(recipe: str, problems: list[Problem], **options: int) -> tuple[list[Trajectory], dict[str, Grade]]:
    trajectories, grades = make_run(recipe, "greedy", problems, **options)
    return trajectories, {grade.trajectory_id: grade for grade in grades}


def test_every_question_asked_is_in_the_denominator_by_its_own_name() -> None:
    problems = make_problems(8)
    trajectories, grades = make("agent", problems)
    trajectories = trajectories[:6]  # two questions were never answered
    verdicts: list[bool | None] = [True, True, False, None, None, False]
    grades = {
        one.id: grades[one.id].model_copy(update={"correct": verdict})
        for one, verdict in zip(trajectories, verdicts, strict=True)
    }
    trajectories[4] = trajectories[4].model_copy(update={"error": "it went away", "stop": "model_error"})
    found = score(Run("agent", "greedy", trajectories, grades), problems, 0.95).accuracy
    assert (found.asked, found.correct, found.wrong) == (8, 2, 2)
    assert (found.ungraded, found.errors, found.missing) == (1, 1, 2)
    assert found.interval.estimate == 2 / 8


@pytest.mark.parametrize("stop", get_args(Stop))
def test_what_the_machine_stopped_is_an_error_and_not_a_wrong_answer(stop: Stop) -> None:
    problems = make_problems(1)
    trajectories, grades = make("agent", problems)
    ended = trajectories[0].model_copy(update={"stop": stop, "error": "why it ended", "answer": None})
    wrong = {ended.id: grades[ended.id].model_copy(update={"correct": False})}
    found = score(Run("agent", "greedy", [ended], wrong), problems, 0.95).accuracy
    assert (found.errors, found.wrong) == ((0, 1) if stop in ("answered", "max_steps", "context_full") else (1, 0))


def test_families_add_up_to_the_whole() -> None:
    problems = make_problems(40)
    found = score(Run("agent", "greedy", *make("agent", problems)), problems, 0.95)
    assert len(found.families) == 4
    assert sum(family.correct for family in found.families.values()) == found.accuracy.correct
    assert sum(family.asked for family in found.families.values()) == 40


def test_attempts_are_pooled_by_question_and_give_pass_at_k() -> None:
    problems = make_problems(20)
    found = score(Run("agent", "greedy", *make("agent", problems, attempts=4)), problems, 0.95)
    assert found.accuracy.asked == 80
    assert {len(outcomes) for outcomes in found.outcomes.values()} == {4}
    assert list(found.pass_at) == [2, 4]
    assert found.accuracy.interval.estimate <= found.pass_at[2] <= found.pass_at[4]


def test_an_answer_to_a_question_that_was_not_asked_is_refused() -> None:
    problems = make_problems(5)
    run = Run("agent", "greedy", *make("agent", problems))
    with pytest.raises(DataError, match="not among the 4"):
        score(run, problems[:4], 0.95)


def test_an_answer_without_a_grade_is_refused() -> None:
    problems = make_problems(5)
    trajectories, grades = make("agent", problems)
    del grades[trajectories[3].id]
    with pytest.raises(DataError, match=trajectories[3].id):
        score(Run("agent", "greedy", trajectories, grades), problems, 0.95)


def test_no_questions_is_one_sentence() -> None:
    with pytest.raises(DataError, match="no questions"):
        score(Run("agent", "greedy", [], {}), [], 0.95)
