"""Whether two scalars have one value: exactly, at 50 digits, or at several points where they have variables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import sympy

from agentdistill.grading.nodes import Scalar

DIGITS = 50
EXACT = sympy.Float("1e-40", DIGITS)  # relative; far above the rounding of 50 digits, far below any real difference
ROUNDED = sympy.Float("1e-12", DIGITS)  # relative; thousands of roundings of a double
POINTS = ("1.3719", "-0.8262", "2.6141", "-3.1079")  # where expressions with variables are compared, in turns


def quantities_equal(gold: Scalar, answer: Scalar) -> bool:
    """Compare two quantities: units that are both known must agree, and a percentage is its number or its share."""
    rounded = gold.rounded or answer.rounded
    if gold.unit is not None and answer.unit is not None:
        if (gold.unit.dimension, gold.unit.power) != (answer.unit.dimension, answer.unit.power):
            return False
        return values_equal(gold.expr * gold.unit.factor, answer.expr * answer.unit.factor, rounded=rounded)
    if values_equal(gold.expr, answer.expr, rounded=rounded):
        return True
    if gold.percent == answer.percent:
        return False
    percent, plain = (gold, answer) if gold.percent else (answer, gold)
    return values_equal(percent.expr / 100, plain.expr, rounded=rounded)


def values_equal(left: sympy.Expr, right: sympy.Expr, *, rounded: bool = False) -> bool:
    """Compare two expressions by value; with `rounded`, to the precision of a double."""
    left, right = left.doit(), right.doit()
    if left == right:
        return True
    if left.is_Rational and right.is_Rational and not rounded:
        return False
    tolerance = ROUNDED if rounded else EXACT
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)
    for turn in range(len(POINTS) if symbols else 1):
        point = point_for(symbols, turn)
        one, other = evaluate(left, point), evaluate(right, point)
        if one is None or other is None or not close(one, other, tolerance):
            return False
    return True


def point_for(symbols: Sequence[sympy.Symbol], turn: int) -> dict[sympy.Basic, sympy.Basic]:
    """Give each symbol its own number, positive and negative in turns."""
    return {
        symbol: sympy.Rational(POINTS[(index + turn) % len(POINTS)]) + sympy.Rational(index, 7)
        for index, symbol in enumerate(symbols)
    }


def evaluate(expr: sympy.Expr, point: dict[sympy.Basic, sympy.Basic]) -> sympy.Expr | None:
    """Return the value of `expr` at a point, None where it has none."""
    return _number(expr.xreplace(point))


@lru_cache(maxsize=4096)
def _number(expr: sympy.Expr) -> sympy.Expr | None:
    """Return the value of an expression without variables; None where it has none, or is no number."""
    value = expr.evalf(DIGITS)
    if value in (sympy.oo, -sympy.oo):
        return value
    return value if value.is_number and value.is_finite and not value.has(sympy.nan, sympy.zoo) else None


def close(left: sympy.Expr, right: sympy.Expr, tolerance: sympy.Float) -> bool:
    """Return whether two numbers differ by at most `tolerance`, relative to the larger."""
    if left == right:
        return True
    if not (left.is_finite and right.is_finite):
        return False
    return bool(sympy.Abs(left - right) <= tolerance * sympy.Max(sympy.Abs(left), sympy.Abs(right)))
