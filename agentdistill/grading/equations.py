r"""What the left side of an equation says about the right one: `a + b = 7` and `(x, y) = (3, -1)` give a value.

An equation that may have been meant to be solved gives none: `2x = 10` is not the answer 10, nor is `x - 5 = 0` the
answer 0. Nor does it give the value of its left side: `7 = a + b` is not the answer 7.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import sympy

from agentdistill.grading.nodes import Group, Node, Scalar, Unreadable
from agentdistill.grading.units import find_measure
from agentdistill.grading.values import quantities_equal, values_equal

_LETTERS = r"(?:\\?[A-Za-z]+(?:_\{?\w+\}?)?'*)"
_VECTOR = (
    r"(?:\\text ?\{ ?[A-Za-z]{1,2} ?\}|\\(?:vec|overrightarrow|boldsymbol|hat) ?(?:\{ ?[A-Za-z]{1,2} ?\}|[A-Za-z]))"
)
# A name of whatever stands to the right: x, f(x), f^{-1}(x), v.
_NAME = re.compile(rf"{_LETTERS}(?:\^ ?\{{? ?-1 ?\}}?)?(?: ?\(\w(?:, ?\w)*\))?|{_VECTOR}")
_VECTORS = re.compile(rf"({_VECTOR}) ?(?:[+-]|\\times(?![A-Za-z])|\\cdot(?![A-Za-z])) ?(?!\1$){_VECTOR}")
_NAMES = re.compile(rf"\( ?{_LETTERS}(?: ?, ?{_LETTERS})* ?\)")
_PROSE = re.compile(
    r"(?:\\text ?\{)?([A-Za-z][A-Za-z ]*[A-Za-z])\}?"
    r"(?: ?(?:\\triangle|\\angle)? ?[A-Z]{1,4}|(?<=\}) ?[A-Za-z])?"
)
# Names of a number: f(-2), P(A|B), \angle ABC, |AB|, [ABC]. The letter before round
# brackets is one of those usual for functions, since x(x-1) = 12 is to be solved.
_CONSTANT = re.compile(
    r"[fghpqEFGHPQTV](?:\^ ?\{ ?-1 ?\})?'*\([^=]*\)|m? ?\\angle ?[A-Z]{1,3}|[|][A-Z]{2}[|]|\[[A-Z]{3,}\]"
    rf"|[|] ?{_VECTOR} ?[|]|\\[|] ?{_VECTOR} ?\\[|]"
    r"|\\overline ?\{? ?[A-Z]{2} ?\}?|\\(?:sin|cos|tan|cot|sec|csc) ?(?:\\angle ?)?[({]?(?:[A-Z]{1,3}|\\[a-z]+)[)}]?"
)
_OTHER_NUMBER = re.compile(
    r"\b(?:half|twice|double|doubled|triple|square|root|inverse|negative|not|no)\b", re.IGNORECASE
)


def names_value(left: str, right: Node) -> bool:
    r"""Return whether `left` is a name of what the right side is: `x`, `f(x)`, `\text{Area}`, `(x, y)`, a vector."""
    if isinstance(right, Unreadable):
        return False
    if _NAMES.fullmatch(left):
        names = left.strip("() ").replace(" ", "").split(",")
        return _in_order(names) and (len(names) == 1 or _has_length(right, len(names)))
    if _NAME.fullmatch(left) or (not isinstance(right, Scalar) and _VECTORS.fullmatch(left)):
        return True
    match = _PROSE.fullmatch(left)
    return match is not None and _means_its_own_number(match.group(1))


def names_number(left: str, right: Node) -> bool:
    r"""Return whether `left` is what only numbers are called by, `f(-2)` or `\angle ABC`, and `right` is a number."""
    return _is_constant(right) and _CONSTANT.fullmatch(left) is not None


def states_value(left: Scalar, right: Scalar) -> bool:
    """Return whether `left` is an expression of several variables whose value is given, or the same expression."""
    if not _is_constant(right):
        return values_equal(left.expr, right.expr)
    return len(left.expr.free_symbols) > 1 and right.expr != 0 and not _is_scaled(left.expr)


def _is_scaled(expr: sympy.Expr) -> bool:
    """Return whether `expr` is a multiple or a power of a product: 2AB = 12 and AB^2 = 12 may be about AB."""
    coefficient, product = expr.as_coeff_Mul()
    return bool(coefficient != 1 or any(factor.is_Pow and factor.exp != -1 for factor in sympy.Mul.make_args(product)))


def agree(sides: Sequence[Node]) -> bool:
    """Return whether the numbers among the sides of a chain are one number, and no side is of another kind."""
    last = sides[-1]
    if len(sides) == 1:
        return True
    if not isinstance(last, Scalar):
        return all(isinstance(side, Unreadable) for side in sides[:-1])
    if not all(isinstance(side, Scalar | Unreadable) for side in sides):
        return False
    numbers = [side for side in sides if isinstance(side, Scalar) and _is_constant(side)]
    return all(quantities_equal(numbers[0], number) for number in numbers[1:])


def _is_constant(node: Node) -> bool:
    return isinstance(node, Scalar) and not node.expr.free_symbols


def _in_order(names: Sequence[str]) -> bool:
    """Return whether Latin letters come in the order of the alphabet: (y, x) = (3, -1) is the point (-1, 3)."""
    latin = [name for name in names if not name.startswith("\\")]
    return latin == sorted(latin)


def _has_length(node: Node, length: int) -> bool:
    match node:
        case Group("list" | "set", items):
            return all(_has_length(item, length) for item in items)
        case Group(items=items):
            return len(items) == length
    return False


def _means_its_own_number(prose: str) -> bool:
    r"""Return whether no word makes the text about another number than the answer: not `\text{half the area}`."""
    return not _OTHER_NUMBER.search(prose) and find_measure("value " + prose, one=True) is not None
