"""The mathematical objects that answers are read as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sympy

from agentdistill.grading.units import Unit


@dataclass(frozen=True)
class Scalar:
    """A number or expression.

    `rounded` says that it was printed from a double, so that it is exact to 1e-12 only. `letters` is the text of a
    product that is nothing but letters, which may have been meant as a word.
    """

    expr: sympy.Expr
    rounded: bool = False
    percent: bool = False
    unit: Unit | None = None
    letters: str = ""


@dataclass(frozen=True)
class Based:
    """A numeral with its base as subscript, such as `204_5`."""

    digits: str
    base: int


@dataclass(frozen=True)
class Group:
    """Several items: a bare list, a set in braces, or items in round, square or mixed brackets.

    A list of relations or intervals may be `joined` by a word to one condition; "" is any other list.
    """

    kind: Literal["list", "set", "()", "[]", "(]", "[)"]
    items: tuple[Node, ...]
    joined: Literal["", "or", "and"] = ""


@dataclass(frozen=True)
class Sets:
    """A union of intervals or another set of reals."""

    value: sympy.Set


@dataclass(frozen=True)
class Matrix:
    """Rows of equal length."""

    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True)
class Named:
    """`x = 5`: a value and what it is called."""

    name: str
    value: Node


@dataclass(frozen=True)
class Relation:
    """`difference` compared with zero: "=", "!=", "<" or "<=".

    `value` is the right side of an equation whose left side only says what it is the value of, as in `a + b = 7`.
    """

    difference: sympy.Expr
    sign: Literal["=", "!=", "<", "<="]
    value: Scalar | None = None


@dataclass(frozen=True)
class Words:
    """An answer in words, compared as text."""

    text: str


@dataclass(frozen=True)
class Unreadable:
    """Mathematics that could not be read."""


Node = Scalar | Based | Group | Sets | Matrix | Named | Relation | Words | Unreadable
