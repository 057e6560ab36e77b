import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentdistill.records import Problem
from agentdistill.sources.duplicates import find_duplicates, find_overlap, normalise

LONG = "A train leaves the station at {} in the morning and arrives in the next town {} hours later, says the timetable"


def problem(question: str, answer: str = "a") -> Problem:
    return Problem.create(question=question, answer=answer, source="s", split="train", answer_kind="fact", family="f")


def pairs(*questions: str, threshold: float = 0.8) -> list[tuple[str, str]]:
    found = find_duplicates(map(problem, questions), threshold=threshold)
    return [(pair.first.question, pair.second.question) for pair in found]


def test_wording_that_differs_in_looks_only_is_one_question() -> None:
    assert pairs("Who wrote it?", "  who  WROTE it ") == [("Who wrote it?", "  who  WROTE it ")]


def test_near_duplicate_is_found() -> None:
    first = LONG.format(7, 3)
    second = first.replace("says the timetable", "says a timetable")
    assert pairs(first, second) == [(first, second)]


def test_another_number_makes_another_question() -> None:
    assert pairs(LONG.format(7, 3), LONG.format(7, 4)) == []
    assert pairs("What is 1+1?", "What is 1-1?") == []


def test_another_answer_makes_another_question() -> None:
    first = LONG.format(7, 3)
    second = first.replace("the next town", "the first town")
    assert len(find_duplicates([problem(first, "12"), problem(second, "12")], threshold=0.6)) == 1
    assert find_duplicates([problem(first, "12"), problem(second, "20")], threshold=0.6) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (r"How many $x$ have $|x-2| \leq 5.6$?", r"How many $x$ have $|x-2|\leq5.6$ ?"),
        (r"What is $\left( 3 \right)!$?", "What is (3)! ?"),
        ("He has 1,000 apples.", "He has 1000 apples"),
        (r"He has 1{,}000 apples.", "He has 1000 apples"),
        ("What is 2\u2075?", "What is 2^5?"),
        ("Tell me the answer!", "Tell me the answer"),
    ],
)
def test_typesetting_does_not_count(first: str, second: str) -> None:
    assert normalise(first) == normalise(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [("What is 2\u2075?", "What is 25?"), ("What is 5!?", "What is 5?"), ("What is n!", "What is n?"), ("1.5?", "15?")],
)
def test_a_sign_of_mathematics_counts(first: str, second: str) -> None:
    assert normalise(first) != normalise(second)


def test_text_without_spaces_is_compared_by_its_characters() -> None:
    first = "法国的首都是哪座城市请说出它的名字并说明它位于哪条河边以及人口有多少"
    assert pairs(first, first.replace("哪座", "那座")) == [(first, first.replace("哪座", "那座"))]


def test_a_low_threshold_misses_nothing() -> None:
    words = [f"w{chr(97 + i)}" for i in range(26)]
    first = " ".join(words)
    seconds = [" ".join([*words[:16], *(f"{chr(97 + n)}{chr(97 + i)}" for i in range(10))]) for n in range(26)]
    for second in seconds:  # 14 of 34 trigrams are shared
        assert pairs(first, second, threshold=0.4) == [(first, second)]


def test_short_questions_about_different_names_are_different() -> None:
    assert pairs("Where was Ada born?", "Where was Bob born?") == []


def test_third_copy_pairs_with_the_first() -> None:
    assert [first for first, _ in pairs("q one?", "Q one?", "q ONE?")] == ["q one?", "q one?"]


def test_overlap_does_not_report_repeats_within_one_side() -> None:
    test, train = [problem("q one?")], [problem("other?"), problem("Other?"), problem("Q ONE?")]
    assert [pair.second.question for pair in find_overlap(test, train, threshold=0.8)] == ["Q ONE?"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text("ab c?", min_size=1, max_size=12), min_size=1, max_size=8))
def test_what_is_left_has_no_duplicates(questions: list[str]) -> None:
    problems = [problem(f"{question} x", str(i)) for i, question in enumerate(questions)]
    gone = {pair.second.id for pair in find_duplicates(problems, threshold=0.8)}
    left = [one for one in problems if one.id not in gone]
    assert find_duplicates(left, threshold=0.8) == []
    assert len({normalise(one.question) for one in left}) == len(left)
