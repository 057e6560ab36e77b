"""Numbers written in words, for answers such as "twenty-one" or "three hundred and five"."""

from __future__ import annotations

import re

_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_UNITS = {word: value for value, word in enumerate(_SMALL)} | {
    word: 10 * tens for tens, word in enumerate(_TENS, start=2)
}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ORDINALS = dict(
    zip(
        [
            "first",
            "second",
            "third",
            "fourth",
            "fifth",
            "sixth",
            "seventh",
            "eighth",
            "ninth",
            "tenth",
            "eleventh",
            "twelfth",
            "thirteenth",
            "fourteenth",
            "fifteenth",
            "sixteenth",
            "seventeenth",
            "eighteenth",
            "nineteenth",
        ],
        range(1, 20),
        strict=True,
    )
)
_ORDINALS |= {word[:-1] + "ieth": _UNITS[word] for word in _TENS}
_CARDINALS = {value: word for word, value in _UNITS.items()}
FIRST_WORDS = frozenset(_UNITS)  # of a number, its sign and "a" aside
_MULTIPLIERS = {"hundred": 100, "dozen": 12, "lakh": 10**5, "crore": 10**7} | _SCALES
# "second" is a time, and the halves and quarters have names of their own.
_PARTS = {word: value for word, value in _ORDINALS.items() if value > 2} | {
    "half": 2, "quarter": 4, "hundredth": 100, "thousandth": 10**3, "millionth": 10**6, "billionth": 10**9,
}  # fmt: skip
_PLURAL_PARTS = {f"{word}s": value for word, value in _PARTS.items()} | {"halves": 2}
_SPLIT = re.compile(r"[\s-]+")


def number_from_words(text: str) -> int | None:
    """Return the cardinal number that `text` spells in English, None when it is anything else.

    "a hundred", "one hundred and five" and "minus two" are understood; "nineteen ninety" is not, since it is a year.
    """
    words = _SPLIT.split(text.strip().casefold())
    sign = 1
    if words[0] in ("minus", "negative"):
        sign, words = -1, words[1:]
    if words and words[0] == "a" and len(words) > 1:
        words[0] = "one"
    total = group = 0
    room = 10**15  # the next scale word must be smaller than the last
    last = ""  # "unit", "tens", "hundred", "scale" or "and"
    for word in words:
        if word in _UNITS:
            value = _UNITS[word]
            if last == "unit" or (last == "tens" and not 0 < value < 10):
                return None
            group, last = group + value, "tens" if value >= 20 else "unit"
        elif word == "hundred" and last == "unit" and 0 < group < 10:
            group, last = group * 100, "hundred"
        elif word in _SCALES and last in ("unit", "tens", "hundred") and group and _SCALES[word] < room:
            room = _SCALES[word]
            total, group, last = total + group * room, 0, "scale"
        elif word == "and" and last in ("hundred", "scale"):
            last = "and"
        else:
            return None
    return sign * (total + group) if last not in ("", "and") else None


def ordinal_from_words(text: str) -> int | None:
    """Return 3 for "third" or "3rd" and 21 for "twenty-first", None for anything that is no ordinal."""
    if match := re.fullmatch(r"(\d+)(?:st|nd|rd|th)", text.strip().casefold()):
        return int(match.group(1))
    *words, last = _SPLIT.split(text.strip().casefold())
    return number_from_words(" ".join([*words, _CARDINALS[_ORDINALS[last]]])) if last in _ORDINALS else None


def multiplier(word: str) -> int | None:
    """Return 1000 for "thousand" or "thousands" and 12 for "dozen", None for what multiplies nothing."""
    return _MULTIPLIERS.get(word) or _MULTIPLIERS.get(word.removesuffix("s"))


def part_from_word(word: str, *, one: bool) -> int | None:
    """Return 3 for "thirds" and, after the number one only, for "third"; None for what is no part of a whole."""
    return _PLURAL_PARTS.get(word) or (_PARTS.get(word) if one else None)
