from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from agentdistill.boxed import last_boxed, unbox
from agentdistill.errors import DataError
from agentdistill.records import Passage
from agentdistill.sources.fields import Fields, Origin, to_passages, to_problems

ORIGIN = Origin("set", "train", "math", needs_search=False)
FIELDS = Fields("q", "a")


def problems(*rows: dict[str, Any], fields: Fields = FIELDS, skip: bool = False) -> Any:
    return to_problems(rows, fields, ORIGIN, skip_unanswered=skip)


def passages(*rows: dict[str, Any]) -> list[Passage]:
    return list(to_passages(rows, name="c", title="t", text="x", id=None))


def test_columns_become_fields() -> None:
    fields = Fields("q.text", "a", aliases="b", family="level")
    found, _ = problems({"q": {"text": " Why? "}, "a": 7, "b": ["seven", "7", ""], "level": 3}, fields=fields)
    assert found[0].question == "Why?"
    assert found[0].answer == "7"
    assert found[0].aliases == ("seven",)
    assert found[0].family == "set-3"


@pytest.mark.parametrize("answers", [["a", "b", "a"], '["a", "b", "a"]'])
def test_list_of_answers_gives_aliases(answers: object) -> None:
    found, _ = problems({"q": "q", "a": answers})
    assert (found[0].answer, found[0].aliases) == ("a", ("b",))


@pytest.mark.parametrize("answer", ["[0, 1)", "[0, 1]", "[1, [2]]"])
def test_interval_is_not_a_list_of_answers(answer: str) -> None:
    assert problems({"q": "q", "a": answer})[0][0].answer == answer


def test_gold_is_taken_from_the_last_box() -> None:
    solution = r"First \boxed{1}, but then \boxed{\frac{1}{\sqrt{2}}}."
    assert (
        problems({"q": "q", "a": solution}, fields=Fields("q", "a", boxed=True))[0][0].answer == r"\frac{1}{\sqrt{2}}"
    )


def test_missing_answer_is_an_error_or_is_counted() -> None:
    rows = ({"q": "q1", "a": ""}, {"q": "q2", "a": "2"}, {"q": "q3", "a": None})
    with pytest.raises(DataError, match=r"Row 1 of set has no answer"):
        problems(*rows)
    found, skipped = problems(*rows, skip=True)
    assert len(found) == 1
    assert skipped == 2


def test_filter_keeps_the_values_named() -> None:
    fields = Fields("q", "a", where={"level": ("4", "5")})
    found, _ = problems(*({"q": f"q{i}", "a": "a", "level": i} for i in range(1, 6)), fields=fields)
    assert [problem.question for problem in found] == ["q4", "q5"]


def test_bad_rows_are_named() -> None:
    with pytest.raises(DataError, match=r"Row 2 of set has no column 'a'; its columns are: q"):
        problems({"q": "q", "a": "a"}, {"q": "q"})
    with pytest.raises(DataError, match="empty question"):
        problems({"q": " ", "a": "a"})
    with pytest.raises(DataError, match="no question"):
        problems({"q": "q", "a": "a", "x": 1}, fields=Fields("q", "a", where={"x": ("2",)}))


def test_an_object_is_no_text_and_its_inner_columns_are_named() -> None:
    for row in ({"q": "q", "a": {"value": "1", "k": "2"}}, {"q": {"value": "q", "k": "2"}, "a": "1"}):
        with pytest.raises(
            DataError, match=r"Row 1 of set holds an object.*Name the inner column.*[qa]\.value, [qa]\.k"
        ):
            problems(row)
    assert problems({"q": "q", "a": {"value": "1"}}, fields=Fields("q", "a.value"))[0][0].answer == "1"


@pytest.mark.parametrize(
    "row",
    [
        {"q": ["x"], "a": "1"},
        {"q": "q", "a": float("nan")},
        {"q": "q", "a": [["1", "2"]]},
        {"q": "q", "a": [{"k": 1}]},
        {"q": "q", "a": b"1"},
    ],
)
def test_no_python_notation_becomes_a_question_or_an_answer(row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"Row 2 of set holds the (list|float|dict|bytes) .* in column '[qa]'"):
        problems({"q": "q", "a": "1"}, row)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.5, "0.5"), (True, "True"), (Decimal("1.50"), "1.50"), (date(1900, 1, 2), "1900-01-02")],
)
def test_numbers_and_dates_are_written_out(value: object, text: str) -> None:
    assert problems({"q": "q", "a": value})[0][0].answer == text


def test_a_row_without_a_family_is_of_its_sets_own() -> None:
    assert problems({"q": "q", "a": "1", "f": None}, fields=Fields("q", "a", family="f"))[0][0].family == "set"


def test_half_a_character_is_refused_with_its_row() -> None:
    whole = {"q": "q", "a": "1", "t": "T", "x": "text"}
    for column in ("q", "a"):
        with pytest.raises(DataError, match=rf"Row 2 of set holds half a character.*column '{column}'"):
            problems(whole, {**whole, column: "caf\ud83d"})
    for column in ("t", "x"):
        with pytest.raises(DataError, match=rf"Row 2 of c holds half a character.*column '{column}'"):
            passages(whole, {**whole, column: "caf\ud83d"})


@pytest.mark.parametrize("body", [["x"], {"k": "x"}, float("nan")])
def test_no_python_notation_becomes_a_passage(body: object) -> None:
    with pytest.raises(DataError, match="Row 1 of c holds"):
        passages({"t": "T", "x": body})


def test_a_passage_whose_id_is_missing_is_refused() -> None:
    with pytest.raises(DataError, match=r"Row 1 of c has no id in column 'i'"):
        list(to_passages([{"t": "T", "x": "text", "i": None}], name="c", title="t", text="x", id="i"))


def test_passage_without_id_is_named_by_its_content() -> None:
    rows = [{"t": "T", "x": "text"}, {"t": "T", "x": "other"}]
    first, second = passages(*rows)
    assert first.id != second.id
    assert passages(rows[0]) == [first]
    with pytest.raises(DataError, match="empty"):
        passages()
    with pytest.raises(DataError, match="Row 1 of c has an empty text"):
        passages({"t": "T", "x": ""})


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{1}", "1"),
        (r"a \boxed{1} b \boxed{ 2 } c", "2"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\fbox{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed 5 is it", "5"),
        (r"$\boxed 5$", "5"),
        (r"\boxed{1} and \boxed{2", "1"),
        (r"\boxedness{1}", None),
        ("none", None),
    ],
)
def test_last_box(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


def test_nested_boxes_are_opened() -> None:
    assert unbox(r"\boxed{\boxed{3}}") == "3"
