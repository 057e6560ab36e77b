"""The form in which candidates' results are compared: the same value computed in two ways is the same text.

`45`, `np.int64(45)`, `45.0`, `sympy.Integer(45)` and `"45"` are all `45`. Values are recognised by duck typing, so that
nothing is imported for it. No promise is made for objects of other classes: their repr without addresses is their
canonical form.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from decimal import Decimal
from fractions import Fraction
from typing import Any

from .output import without_addresses

SIGNIFICANT_DIGITS = 12  # sums of the same floats in another order differ in the last three or four of 17 digits
EXACT_FLOAT = 2.0**53  # above it a float no longer names one integer
MAX_DEPTH = 50  # of nested containers; deeper ones are compared by repr


def canonical(value: Any) -> str:
    """Return the canonical text of `value`. Whatever a hostile `__repr__` raises passes through."""
    if isinstance(value, str):
        return without_addresses(value.strip())
    return _form(value, 0)


def _form(value: Any, depth: int) -> str:
    plain = _plain(value)
    if isinstance(plain, bool) or plain is None:
        return repr(plain)
    if isinstance(plain, int):
        return int.__repr__(plain)
    if isinstance(plain, float):
        return _number(plain)
    if isinstance(plain, complex):
        return f"{_number(plain.real)}{'+' if plain.imag >= 0 else ''}{_number(plain.imag)}j"
    if isinstance(plain, Fraction):
        return str(plain)
    if isinstance(plain, Decimal):
        return _number(float(plain))
    if depth < MAX_DEPTH:
        if isinstance(plain, list | tuple):
            return "[" + ", ".join(_form(item, depth + 1) for item in plain) + "]"
        if isinstance(plain, Mapping):
            items = sorted(f"{_form(k, depth + 1)}: {_form(v, depth + 1)}" for k, v in plain.items())
            return "{" + ", ".join(items) + "}"
        if isinstance(plain, Set):
            return "{" + ", ".join(sorted(_form(item, depth + 1) for item in plain)) + "}"
    return without_addresses(repr(plain))


def _number(value: float) -> str:
    if math.isfinite(value) and value == int(value) and abs(value) < EXACT_FLOAT:
        return str(int(value))
    return format(value, f".{SIGNIFICANT_DIGITS}g")


def _plain(value: Any) -> Any:
    """Turn scalars and arrays of numpy and numbers of sympy into Python's own."""
    module = type(value).__module__.partition(".")[0]
    if module == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if module == "sympy":
        if getattr(value, "is_Integer", False):
            return int(value)
        if getattr(value, "is_Rational", False):
            return Fraction(int(value.p), int(value.q))
        if getattr(value, "is_Float", False):
            return float(value)
        if value in (True, False):
            return bool(value)
    if isinstance(value, Fraction) and value.denominator == 1:
        return int(value)
    return value
