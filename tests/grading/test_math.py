import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentdistill.grading.batch import grade_all
from agentdistill.grading.math import MAX_ANSWER_CHARACTERS, MathGrader
from agentdistill.records import Problem
from tests.processes import in_group

DEADLINE = 1.0


def problem(answer: str, *aliases: str) -> Problem:
    return Problem.create(
        question="?", answer=answer, aliases=aliases, source="test", split="test", answer_kind="math", family="m"
    )


@pytest.fixture
async def grader() -> AsyncIterator[MathGrader]:
    async with MathGrader.open(workers=1, deadline_seconds=DEADLINE) as opened:
        yield opened


async def test_missing_answer_is_wrong(grader: MathGrader) -> None:
    for answer in (None, "", "  \n"):
        assert (await grader.grade(problem("1"), answer)).correct is False


async def test_missing_answer_is_wrong_even_when_gold_is_none_as_text(grader: MathGrader) -> None:
    assert (await grader.grade(problem("None"), None)).correct is False


async def test_an_alias_counts(grader: MathGrader) -> None:
    assert (await grader.grade(problem("12", "1 dozen"), "1 dozen")).correct is True


@pytest.mark.parametrize(
    "bomb",
    ["9**9**9", "$9^{9^{9}}$", "9^9^9^9", "(10^{10^{10}})!", "factorial(10**9)", "x < 9**9**9 or x > 3"],
)
async def test_after_a_bomb_the_next_answer_is_graded(grader: MathGrader, bomb: str) -> None:
    verdict = await grader.grade(problem("7"), bomb)
    assert verdict.correct is not True
    assert (await grader.grade(problem("1/2"), "0.5")).correct is True


@pytest.mark.parametrize(
    "text",
    [
        "{" * 10_000,
        "(" * 9_999,
        r"\frac{" * 1_600,
        "[" * 5_000 + "]" * 5_000,
        "-" * 10_000,
        "(" * 1_200 + "x < 1" + ") or x > 2" * 800,
        "(" * 1_200 + "5" + " or 6)" * 1_200,
    ],
)
async def test_nesting_is_survived(grader: MathGrader, text: str) -> None:
    assert (await grader.grade(problem("7"), text)).correct is not True
    assert (await grader.grade(problem("7"), "7.0")).correct is True


async def test_an_endless_answer_is_ungraded_with_the_reason(grader: MathGrader) -> None:
    verdict = await grader.grade(problem("1"), "1" * 1_000_000)
    assert verdict.correct is None
    assert f"{MAX_ANSWER_CHARACTERS:,}" in verdict.detail


async def test_a_box_at_the_end_of_a_long_text_is_graded(grader: MathGrader) -> None:
    assert (await grader.grade(problem("1/2"), "so " * 10_000 + r"\boxed{\frac12}")).correct is True


async def test_code_in_an_answer_is_not_run(grader: MathGrader, tmp_path: Path) -> None:
    target = str(tmp_path / "made")
    for text in (f"__import__('os').mkdir({target!r})", f"sqrt(__import__('os').mkdir({target!r}))"):
        assert (await grader.grade(problem("7"), text)).correct is False
    assert not any(os.scandir(tmp_path))


async def test_verdicts_come_in_the_order_of_the_pairs(grader: MathGrader) -> None:
    pairs: list[tuple[Problem, str | None]] = [(problem(str(i)), str(i if i % 3 else -1)) for i in range(1, 40)]
    assert [verdict.correct for verdict in await grade_all(grader, pairs)] == [bool(i % 3) for i in range(1, 40)]


async def test_no_process_outlives_the_grader() -> None:
    async with MathGrader.open(workers=1, deadline_seconds=30) as grader:
        await grader.grade(problem("1/2"), "2/4")  # starts the worker
        (group,) = grader._pool.processes
        grading = asyncio.create_task(grader.grade(problem("7"), "9**9**9"))
        await asyncio.sleep(0.2)  # so that it is in the midst of it
        grading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await grading
    for _ in range(100):  # a killed process takes a moment to be gone
        if not in_group(group):
            break
        await asyncio.sleep(0.05)
    assert in_group(group) == []
