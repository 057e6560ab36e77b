"""Units that answers carry, so that `5 cm` is `5` and `0.05 m` but not `5 m`.

Two quantities whose units are both known are compared in one unit of their dimension. A word that changes the number
is part of it ("20 million", "2 thirds") or, where nothing is computed with it ("5 squared", "5 plus three"), makes the
whole unreadable. Any other word is taken for a description ("7 distinct integers") and not compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import sympy

from agentdistill.grading.words import multiplier, number_from_words, ordinal_from_words, part_from_word

_TABLE = {
    "length": {
        "1": "m meter meters metre metres",
        "1/100": "cm centimeter centimeters centimetre centimetres",
        "1/1000": "mm millimeter millimeters millimetre millimetres",
        "1000": "km kilometer kilometers kilometre kilometres",
        "127/5000": "in inch inches",
        "381/1250": "ft foot feet",
        "1143/1250": "yd yard yards",
        "201168/125": "mi mile miles",
    },
    "time": {
        "1": "s sec second seconds",
        "60": "min minute minutes",
        "3600": "h hr hrs hour hours",
        "86400": "day days",
        "604800": "week weeks",
    },
    "money": {"1": "dollar dollars usd", "1/100": "cent cents"},
    "angle": {"1": "rad radian radians", "pi/180": "degree degrees deg"},
    "mass": {"1": "g gram grams", "1000": "kg kilogram kilograms", "1/1000": "mg milligram milligrams"},
    "volume": {"1": "l liter liters litre litres", "1/1000": "ml milliliter milliliters"},
}
_POWERS = {"square": 2, "sq": 2, "cubic": 3}
# Words that make another number of the one before them: at once after it, or anywhere.
_FIRST = {
    "squared", "cubed", "factorial", "to", "over", "raised", "choose", "mil", "mn", "bn", "tn", "gross", "score",
}  # fmt: skip
_ANYWHERE = {
    "plus", "minus", "than", "or", "and", "divided", "multiplied", "mod", "modulo", "power", "root", "sqrt", "pi",
    "twice",
}  # fmt: skip
_AFTER_TIMES = {"as", "per", "more"}  # "5 times as many" is 5, "5 times the radius" is not
_SINGLE_LETTERS = {"a", "s", "m", "g", "l", "h"}


@dataclass(frozen=True)
class Unit:
    """A known unit: a power of a dimension, and how many base units one of it is."""

    dimension: str
    power: int
    factor: sympy.Expr


_KNOWN = {
    name: Unit(dimension, 1, sympy.sympify(factor))
    for dimension, units in _TABLE.items()
    for factor, names in units.items()
    for name in names.split()
}


def find_unit(words: str, power: int = 1) -> Unit | None:
    """Return the unit that `words` name ("cm", "square feet"), raised to `power`; None for words that are no unit."""
    names = words.casefold().replace(".", "").split()
    if len(names) == 2 and names[0] in _POWERS:
        power, names = _POWERS[names[0]], names[1:]
    elif len(names) == 2 and names[1] in ("squared", "cubed"):
        power, names = {"squared": 2, "cubed": 3}[names[1]], names[:1]
    if len(names) != 1 or names[0] not in _KNOWN:
        return None
    base = _KNOWN[names[0]]
    return Unit(base.dimension, power, base.factor**power)


@dataclass(frozen=True)
class Measure:
    """What the words after a number say: a factor ("million", "thirds") and a known unit, if any."""

    factor: sympy.Rational
    unit: Unit | None


def find_measure(words: str, power: int = 1, *, one: bool) -> Measure | None:
    """Return what `words` after a number mean, None when they change it in a way that is not understood.

    `one` says that the number is 1: "1 third" is a part, "5 third" and "twenty third" are none.
    """
    if match := re.fullmatch(r"(.*\S)\s*\^\s*([23])", words):
        words, power = match.group(1), int(match.group(2))
    names, factor = words.casefold().replace(",", " ").split(), sympy.Integer(1)
    while names and (scale := multiplier(names[0])) is not None:
        factor, names = factor * scale, names[1:]
    if names and (part := part_from_word(names[0], one=one and factor == 1)) is not None:
        factor, names = factor / part, names[1:]
    unit = find_unit(" ".join(names), power)
    return None if unit is None and _changes_value(names) else Measure(factor, unit)


def _changes_value(names: list[str]) -> bool:
    """Return whether a description has words by which it is about another number."""
    if not names:
        return False
    if names[0] in _FIRST or (names[0] == "times" and len(names) > 1 and names[1] not in _AFTER_TIMES):
        return True
    return any(map(_is_number_word, names)) or any(len(name) == 1 and name not in _SINGLE_LETTERS for name in names[1:])


def _is_number_word(name: str) -> bool:
    name = name.strip("().")
    return (
        name in _ANYWHERE
        or multiplier(name) is not None
        or part_from_word(name, one=True) is not None
        or number_from_words(name) is not None
        or (name != "second" and ordinal_from_words(name) is not None)
        or not any(map(str.isalpha, name))
    )
