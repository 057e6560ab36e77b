"""Grade short factual answers by exact match or token overlap after the usual normalisation.

Normalisation and F1 are those of SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250) and HotpotQA: lower case, no
punctuation, no articles. On top of it numbers in words, dates and initials are brought to one form. Whether two texts
mean the same beyond their words is for the judge.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from agentdistill.grading.words import FIRST_WORDS, number_from_words, ordinal_from_words
from agentdistill.records import Problem, Verdict

_ARTICLES = {"a", "an", "the"}
_CLOSED = {"yes", "no", "noanswer"}  # as in HotpotQA: these overlap with nothing but themselves
_DROP = re.compile(r"['\u2019`]")
_NOT_WORD = re.compile(r"[^\w.]+|(?<!\d)\.|\.(?!\d)|_")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
# "u.s." and "j. k."; only the last may lack its full stop, and an "a" then only without a space: it may be an article.
_INITIALS = re.compile(r"(?<!\w)(?:[^\W\d_]\.\s*)+(?:(?<=\.)[^\W\d_]|(?<=\s)(?!a)[^\W\d_])?(?!\w)")
# "a a milne" and "u s a": a letter beside another with nothing but a space between is no article
_APART = re.compile(r"(?<![\w.&-])[^\W\d_](?: [^\W\d_])+(?![^\s,;)])")
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
# Full names and the usual short ones: "mar" followed by any letters would take "Marathon" for March.
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)(?![a-z])\.?"
)
_DAY, _YEAR = r"(?P<day>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?", r"(?P<year>\d{4})"
_NO_NUMBER = r"(?!\w|[.,:]\d)"  # the day ends here: "March 5.5" and "March 1999" hold no day
_DATES = (
    re.compile(rf"\b{_MONTH}\s+{_DAY}(?:,\s*|\s+){_YEAR}\b"),
    re.compile(rf"\b{_DAY}\s+(?:of\s+)?{_MONTH},?\s+{_YEAR}\b"),
    re.compile(r"\b(?P<year>\d{4})-(?P<number>0[1-9]|1[0-2])-(?P<day>\d{2})\b"),
)
# One pattern, so that in "5 March 12" the month goes to one number only.
_DAYS = re.compile(
    rf"(?<![\w.,:])(?:{_DAY}\s+(?:of\s+)?{_MONTH}(?!\w)"
    rf"|{_MONTH.replace('month', 'month_first')}\s+{_DAY.replace('day', 'day_last')}{_NO_NUMBER})"
)
_LONGEST_NUMBER = 12  # words


def normalise(text: str) -> str:
    """Return `text` in the form in which answers are compared: lower-case words parted by single spaces."""
    text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(character for character in text if not unicodedata.combining(character))
    for pattern in _DATES:
        text = pattern.sub(_date, text)
    text = _DAYS.sub(_day, text)
    text = _THOUSANDS.sub("", _DROP.sub("", text))
    text = _APART.sub(lambda match: match.group().replace(" ", ""), text)
    text = _INITIALS.sub(lambda match: re.sub(r"[.\s]", "", match.group()) + " ", text)
    words = list(_digits(_NOT_WORD.sub(" ", text).split()))
    named = [word for word in words if word not in _ARTICLES]
    # Where nothing else is left, an "a" is a letter, and the others are words.
    return " ".join(_initials_joined(named or [word for word in words if word == "a"] or words))


def _date(match: re.Match[str]) -> str:
    """Write a date as day, month and year, whatever its order was."""
    parts = match.groupdict()
    month = _MONTHS[int(parts["number"]) - 1] if "number" in parts else _full_month(parts["month"])
    return f"{int(parts['day'])} {month} {parts['year']}"


def _day(match: re.Match[str]) -> str:
    """Write a date without a year as day and month, whatever its order was."""
    parts = match.groupdict()
    month, day = parts["month"] or parts["month_first"], parts["day"] or parts["day_last"]
    return f"{int(day)} {_full_month(month)}"


def _full_month(short: str) -> str:
    return next(month for month in _MONTHS if month.startswith(short))


def _digits(words: list[str]) -> Iterator[str]:
    """Yield the words with numbers in digits: "twenty one" becomes "21", "third" and "3rd" the same."""
    position = 0
    while position < len(words):
        # "a hundred" and "minus two" are for mathematics; in names these words stand for themselves.
        longest = _LONGEST_NUMBER if words[position] in FIRST_WORDS else 1
        for length in range(min(longest, len(words) - position), 0, -1):
            number = _number(" ".join(words[position : position + length]))
            if number is not None:
                yield number
                position += length
                break
        else:
            yield words[position]
            position += 1


def _number(phrase: str) -> str | None:
    if (cardinal := number_from_words(phrase)) is not None:
        return str(cardinal)
    ordinal = ordinal_from_words(phrase)
    return None if ordinal is None else f"{ordinal}th"


def _initials_joined(words: list[str]) -> Iterator[str]:
    """Yield the words with runs of single letters as one: "j k rowling" becomes "jk rowling"."""
    for single, run in groupby(words, key=lambda word: len(word) == 1 and word.isalpha()):
        if single:
            yield "".join(run)
        else:
            yield from run


def exact_match(gold: str, answer: str) -> bool:
    """Return whether both are the same after `normalise`; two texts without any word never are."""
    left, right = normalise(gold), normalise(answer)
    return left == right != ""


def f1(gold: str, answer: str) -> float:
    """Return the harmonic mean of token precision and recall after `normalise`, from 0 to 1; symmetric."""
    left, right = normalise(gold), normalise(answer)
    if left in _CLOSED or right in _CLOSED:
        return float(left == right)
    left_words, right_words = left.split(), right.split()
    common = sum((Counter(left_words) & Counter(right_words)).values())
    if not common:
        return 0.0
    return 2 * common / (len(left_words) + len(right_words))


class FactGrader:
    """A `Grader` for problems of kind "fact": the answer must match the gold answer or one of its aliases."""

    def __init__(self, *, f1_at_least: float = 1.0) -> None:
        """`f1_at_least` is the overlap that counts as correct; at 1 only an exact match does."""
        self._threshold = f1_at_least

    async def grade(self, problem: Problem, answer: str | None) -> Verdict:
        """Compare words; never undecided."""
        name = "exact" if self._threshold >= 1 else f"f1>={self._threshold:g}"
        if answer is None or not answer.strip():
            return Verdict(correct=False, grader=name, detail="no answer")
        golds = (problem.answer, *problem.aliases)
        if any(exact_match(gold, answer) for gold in golds):
            return Verdict(correct=True, grader=name)
        if self._threshold >= 1:
            return Verdict(correct=False, grader=name)
        best = max(f1(gold, answer) for gold in golds)
        return Verdict(correct=best >= self._threshold, grader=name, detail=f"f1 {best:.3f}")
