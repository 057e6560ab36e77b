"""Rows of a dataset become problems and passages: which column is what, and which rows are refused.

A row that cannot become a problem is an error that names it; only a missing answer can, on request, be skipped, and
then it is counted.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from agentdistill.boxed import last_boxed
from agentdistill.errors import DataError
from agentdistill.records import AnswerKind, Passage, Problem, Split, content_id

Row = Mapping[str, Any]
PLAIN = (str, int, float, Decimal, date)  # what str() writes as people do; the last two come from Parquet


@dataclass(frozen=True)
class Fields:
    """Columns that become a problem's fields; a dotted name reaches into nested objects.

    A column holds a text, a number or nothing; those of the answer and of the aliases may hold a list of them, and what
    follows the first answer is an alias too. A row without a family is of its set's own. With `boxed` the answer is
    what the last `\\boxed{...}` of the column holds, as in the solutions of MATH.
    """

    question: str
    answer: str
    aliases: str | None = None
    family: str | None = None
    boxed: bool = False
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)  # column -> values that are kept


@dataclass(frozen=True)
class Origin:
    """What all problems of one dataset share; messages call it by its `file`, where it has one, since several may go by
    one name."""

    name: str
    split: Split
    answer_kind: AnswerKind
    needs_search: bool
    file: str | None = None


def to_problems(
    rows: Iterable[Row], fields: Fields, origin: Origin, *, skip_unanswered: bool
) -> tuple[list[Problem], int]:
    """Return the problems of the rows that `fields.where` keeps, and how many unanswered rows were skipped.

    Raises:
        DataError: a column is unknown or holds an object where a text is needed, a question is empty, an answer is
            missing and not to be skipped, or no row is left; rows are numbered from 1.
    """
    problems: list[Problem] = []
    skipped = 0
    called = origin.file or origin.name
    for number, row in enumerate(rows, start=1):
        where = f"Row {number} of {called}"
        if any(_value(row, name, where) not in allowed for name, allowed in fields.where.items()):
            continue
        question = _value(row, fields.question, where).strip()
        if not question:
            raise DataError(f"{where} has an empty question in column {fields.question!r}. Correct or remove the row.")
        answers = _answers(row, fields, where)
        if not answers:
            if not skip_unanswered:
                raise DataError(
                    f"{where} has no answer in column {fields.answer!r} (question: {_short(question)}). Give it one, "
                    "remove the row, or set skip_unanswered to leave such rows out and have them counted."
                )
            skipped += 1
            continue
        family = "" if fields.family is None else _value(row, fields.family, where)
        problems.append(
            Problem.create(
                question=question,
                answer=answers[0],
                aliases=tuple(answers[1:]),
                source=origin.name,
                split=origin.split,
                answer_kind=origin.answer_kind,
                needs_search=origin.needs_search,
                family=f"{origin.name}-{family}" if family else origin.name,
            )
        )
    if not problems:
        raise DataError(
            f"{called} gave no question for split {origin.split!r}: {skipped} rows had no answer, and the filter "
            f"{dict(fields.where)!r} left no other. Correct the filter or the file."
        )
    return problems, skipped


def to_passages(rows: Iterable[Row], *, name: str, title: str, text: str, id: str | None) -> Iterator[Passage]:
    """Yield one passage a row, so that a corpus need not fit into memory.

    Without an id column the id is the hash of title and text.

    Raises:
        DataError: a column is unknown or holds an object, a passage has no text or no id, or there is none.
    """
    number = 0
    for number, row in enumerate(rows, start=1):
        where = f"Row {number} of {name}"
        head = _value(row, title, where).strip()
        body = _value(row, text, where).strip()
        if not body:
            raise DataError(f"{where} has an empty text in column {text!r}. Correct or remove the row.")
        key = content_id(head, body) if id is None else _value(row, id, where)
        if not key:
            raise DataError(f"{where} has no id in column {id!r}. Correct the row, or set id to null to have one made.")
        yield Passage(id=key, title=head, text=body)
    if number == 0:
        raise DataError(f"The corpus {name} is empty. Name a file or dataset with at least one passage.")


def _answers(row: Row, fields: Fields, where: str) -> list[str]:
    """Return the answer and its aliases, without repeats and empty ones; an empty list means no answer."""
    answers = _values(row, fields.answer, where)
    if fields.boxed:
        answers = [box for box in map(last_boxed, answers) if box]
    if not answers:
        return []
    if fields.aliases is not None:
        answers += _values(row, fields.aliases, where)
    return list(dict.fromkeys(answers))


def _values(row: Row, column: str, where: str) -> list[str]:
    """Return the texts of a column, one or a list of them; a list that a CSV file holds as JSON counts as a list."""
    value = _column(row, column, where)
    if isinstance(value, str) and value.startswith("["):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            parsed = value  # An interval such as [0, 1) or plain text.
        value = parsed if isinstance(parsed, list) and all(isinstance(item, str) for item in parsed) else value
    items = value if isinstance(value, list | tuple) else [value]
    return [text for item in items if (text := _text(item, column, where).strip())]


def _value(row: Row, column: str, where: str) -> str:
    """Return the text of a column that holds no list."""
    return _text(_column(row, column, where), column, where)


def _text(value: Any, column: str, where: str) -> str:
    """Return a plain value as text, empty for none.

    Raises:
        DataError: it is not plain, so that what Python calls it would become the text, or no file could hold it.
    """
    if value is None:
        return ""
    if not isinstance(value, PLAIN) or value != value:  # a NaN is not itself
        raise DataError(
            f"{where} holds the {type(value).__name__} {reprlib.repr(value)} in column {column!r} where a text or a "
            "number is needed. Name another column, or correct or remove the row."
        )
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where} holds half a character, {text[error.start]!r}, in column {column!r}, and no file can hold it. "
            "Correct or remove the row."
        ) from error
    return text


def _column(row: Row, name: str, where: str) -> Any:
    value: Any = row
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            known = ", ".join(sorted(map(str, row))) or "none"
            raise DataError(f"{where} has no column {name!r}; its columns are: {known}. Correct the field mapping.")
        value = value[part]
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name}.{key}" for key in value) or "none"
        raise DataError(f"{where} holds an object in column {name!r}. Name the inner column; there are: {inner}.")
    return value


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
