import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentdistill.grading.fact import FactGrader, exact_match, f1, normalise
from agentdistill.records import Problem

UNHURRIED = settings(deadline=None, max_examples=50)  # other processes may hold the cores
vocabulary = ["the", "cat", "sat", "on", "a", "mat", "in", "Paris", "1999", "yes", "no", "twenty", "one"]
words = st.lists(st.sampled_from(vocabulary), max_size=6).map(" ".join)


def problem(answer: str, *aliases: str) -> Problem:
    return Problem.create(
        question="?", answer=answer, aliases=aliases, source="test", split="test", answer_kind="fact", family="f"
    )


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("The Beatles", "beatles", True),
        ("Titan IIIE", "Titan IIIE.", True),
        ("Gödel", "Godel", True),
        ("Coahuila, Mexico", "coahuila mexico", True),
        ("O'Brien", "O\N{RIGHT SINGLE QUOTATION MARK}Brien", True),
        ("three", "3", True),
        ("twenty-one", "21", True),
        ("1,234", "1234", True),
        ("one hundred and five years", "105 years", True),
        ("March 5, 1999", "5 March 1999", True),
        ("5th of March 1999", "1999-03-05", True),
        ("Sept. 11, 2001", "September 11, 2001", True),
        ("March 5, 1999", "6 March 1999", False),
        ("March 5,1999", "5 March 1999", True),
        ("3 December", "December 3", True),
        ("3 December", "December 3rd", True),
        ("22 November", "November 22", True),
        ("22 November", "November 22nd", True),
        ("22 November", "the 22nd of November", True),
        ("born on Nov. 22", "born on 22 November", True),
        ("1 May", "May 1", True),
        ("September 3", "3 Sept", True),
        ("3 December", "December 4", False),
        ("3 December", "3 November", False),
        ("3 December", "December 3, 1999", False),
        ("March 1999", "1999 March", False),
        ("Marathon 5", "March 5", False),
        ("Marathon 5, 1999", "March 5, 1999", False),
        ("Marathon 5", "5 Marathon", False),
        ("Mayor 3", "May 3", False),
        ("Decade 3", "December 3", False),
        ("March 5.5", "5 March 5", False),
        ("March 45", "45 March", False),
        ("the third", "3rd", True),
        ("twenty-first", "21st", True),
        ("the twenty-first century", "21st century", True),
        ("one hundred and twenty-first", "121st", True),
        ("thirtieth", "30th", True),
        ("twenty-first", "22nd", False),
        ("twenty-first", "21", False),
        ("twenty eleventh", "31st", False),
        ("one second", "3rd", False),
        ("3.5", "35", False),
        ("1999", "1998", False),
        ("A", "the", False),
        ("yes", "no", False),
        ("Paris", "Paris, France", False),
        ("!", "?", False),
    ],
)
def test_exact_match(gold: str, answer: str, same: bool) -> None:
    assert exact_match(gold, answer) is same


@pytest.mark.parametrize(
    "spellings",
    [
        ["U.S.", "US", "U.S", "U S", "The U.S."],
        ["Washington, D.C.", "Washington DC", "Washington D. C."],
        ["U.S. Virgin Islands", "US Virgin Islands"],
        ["J.K. Rowling", "JK Rowling", "J. K. Rowling", "J K Rowling", "J.K Rowling"],
        ["A.C. Milan", "AC Milan", "A. C. Milan"],
        ["U.S.A.", "USA", "U.S.A", "U S A"],
        ["A. A. Milne", "A A Milne", "A.A. Milne", "AA Milne"],
        ["A. P. Hill", "A P Hill"],
        ["J. A. Smith", "J A Smith"],
        ["a U.S. citizen", "US citizen"],
        ["a K-pop group", "K-pop group"],
        ["9 a.m.", "9 am"],
        ["R&B", "R & B"],
    ],
)
def test_initials_match_however_they_are_spelled(spellings: list[str]) -> None:
    assert len(set(map(normalise, spellings))) == 1


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("Vitamin C", "Vitamin D"),
        ("Vitamin C", "C"),
        ("plan B", "plan"),
        ("plan B", "plan A"),
        ("U.S.", "U.K."),
        ("D.C.", "C.D."),
        ("J.K. Rowling", "J. Rowling"),
        ("World War I", "World War II"),
    ],
)
def test_other_letters_do_not_match(gold: str, answer: str) -> None:
    assert not exact_match(gold, answer)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Vitamin C", "vitamin c"),
        ("Franklin D. Roosevelt", "franklin d roosevelt"),
        ("plan B. A new start", "plan b new start"),
        ("an X-ray", "x ray"),
    ],
)
def test_a_single_letter_stands_for_itself(text: str, normal: str) -> None:
    assert normalise(text) == normal


@UNHURRIED
@given(words, words)
def test_f1_and_exact_match_are_symmetric(left: str, right: str) -> None:
    assert f1(left, right) == f1(right, left)
    assert exact_match(left, right) == exact_match(right, left)


@UNHURRIED
@given(words)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@UNHURRIED
@given(words, words)
def test_f1_is_one_exactly_for_the_same_words(left: str, right: str) -> None:
    same = sorted(normalise(left).split()) == sorted(normalise(right).split()) and normalise(left) != ""
    assert (f1(left, right) == 1.0) is same


@UNHURRIED
@given(words)
def test_spaces_and_case_change_nothing(text: str) -> None:
    assert exact_match(text, f"  {text.upper()}\n") is (normalise(text) != "")


async def test_alias_is_accepted() -> None:
    assert (await FactGrader().grade(problem("United Kingdom", "UK"), "uk")).correct is True


async def test_missing_answer_is_wrong() -> None:
    assert (await FactGrader().grade(problem("none"), None)).correct is False


async def test_f1_strategy_accepts_at_its_threshold_and_not_below() -> None:
    gold = problem("President Richard Nixon")
    assert (await FactGrader(f1_at_least=0.8).grade(gold, "Richard Nixon")).correct is True
    assert (await FactGrader(f1_at_least=0.81).grade(gold, "Richard Nixon")).correct is False
