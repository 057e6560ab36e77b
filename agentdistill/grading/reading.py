r"""An answer's text read as a mathematical object: number, quantity, tuple, set, interval, matrix, equation, words.

Structure (lists, brackets, unions, relations, rows of matrices) is split here, and `scalars` reads the pieces. Nothing
in the text is executed. Reading may take any time; it is meant for a process that can be killed.
"""

from __future__ import annotations

import re
from typing import Literal

import sympy

from agentdistill.grading.equations import agree, names_number, names_value, states_value
from agentdistill.grading.nodes import Based, Group, Matrix, Named, Node, Relation, Scalar, Sets, Unreadable, Words
from agentdistill.grading.notation import enclosed, split_top, tidy
from agentdistill.grading.regions import as_set, is_condition, is_region
from agentdistill.grading.scalars import is_grouped, read_scalar
from agentdistill.grading.words import number_from_words

_NUMERAL = r"\(?\s*(?P<digits>-?[0-9A-Za-z]+)\s*\)?\s*"
_SUBSCRIPT = re.compile(_NUMERAL + r"_\s*(?:\{(?P<braced>[^{}]*)\}|(?P<bare>\d{1,2}|[A-Za-z]+))")
_IN_BASE = re.compile(_NUMERAL + r",?\s*\(?\s*(?:in\s+)?base[\s-]*(?P<base>\d{1,2}|[A-Za-z]+)\s*\)?")
_MATRIX = re.compile(r"\\begin\s*\{([pbvBV]?matrix|array)\}(?:\{[clr|]*\})?(.*)\\end\s*\{\1\}", re.DOTALL)
_ROW, _CELL = re.compile(r"\\\\"), re.compile("&")
_UNION = re.compile(r"\\cup(?![A-Za-z])|\bU\b|\bunion\b")
_MEMBER = re.compile(r"(?:\\?[A-Za-z](?:\([a-z]\))?)\s*\\in(?![A-Za-z])\s*(.*)", re.DOTALL)
_EQUALS = re.compile(r"(?<![<>!:=\\])={1,2}(?!=)")
_ORDER = re.compile(r"\\(?:le|ge|lt|gt|ne)(?![A-Za-z])|<=|>=|<|>|!=")
_ITEM = re.compile(r"'?([A-Za-z])'?\s*:\s*(.*)", re.DOTALL)  # one of a dict: x: 5
_PM = re.compile(r"\\pm(?![A-Za-z])|\+/-|\+-")
_COMMA = re.compile(r"[,;]|\\text\{,?\s*(?:and|or)\s*\}|,?\s+(?:and|or)\s+")
# "or" comes first, since "and" binds closer. sympy prints | and &, with spaces; |x| is an absolute value.
_JOINTS: dict[Literal["or", "and"], re.Pattern[str]] = {
    "or": re.compile(r",?\s*\\text\{,?\s*or\s*\}|,?\s+or\s+|\\(?:lor|vee)(?![A-Za-z])|\s\|\s"),
    "and": re.compile(r",?\s*\\text\{,?\s*and\s*\}|,?\s+and\s+|\\(?:land|wedge)(?![A-Za-z])|\s&\s"),
}
_LOOSE_SPACE = re.compile(r"(?<!\d) | (?!\d)| (?=\d{3}(?![\d/]))")  # 1 1/2 is not 11/2; 1 000 is 1000
_TEXT = re.compile(r"\\text\{([^{}]*)\}")


def read(text: str) -> Node:
    """Read an answer as it was given, box and all."""
    return _node(tidy(text))


def canonical(text: str) -> str:
    """Return the text in which two answers that only look different are the same."""
    text = " ".join(_TEXT.sub(r"\1", tidy(text)).split())
    return _LOOSE_SPACE.sub("", text)


def _node(text: str) -> Node:
    text = text.strip()
    if not text:
        return Words("")
    if (numeral := _based(text)) is not None:
        return numeral
    if match := _MATRIX.fullmatch(text):
        rows = [row for row in split_top(match.group(2), _ROW) if row.strip()]
        return Matrix(tuple(tuple(map(_node, split_top(row, _CELL))) for row in rows))
    if match := _MEMBER.fullmatch(text):
        return _node(match.group(1))
    parts = split_top(text, _UNION)
    if len(parts) > 1:
        pieces = [as_set(_node(part)) for part in parts]
        if any(piece is None for piece in pieces):
            return Unreadable()
        return Sets(sympy.Union(*pieces))
    return _joined(text) or _several(text) or _related(text) or _inside(text) or _both_signs(text) or read_scalar(text)


def _based(text: str) -> Based | Unreadable | None:
    r"""Read `204_5`, `204_{\text{five}}` and `204 (base 5)`; a numeral with another subscript is unreadable."""
    plain = " ".join(_TEXT.sub(r" \1 ", text).split())
    if match := _SUBSCRIPT.fullmatch(plain):
        base = _base((match.group("braced") or match.group("bare") or "").strip().removeprefix("base"))
        refused = Unreadable() if re.fullmatch(r"-?\d+", match.group("digits")) else None  # 2x_1 is a product
    elif match := _IN_BASE.fullmatch(plain):
        base, refused = _base(match.group("base")), None
    else:
        return None
    digits = match.group("digits").lower()
    if base is None or not re.search("[0-9]", digits) or not set(digits.lstrip("-")) <= set(_digits(base)):
        return refused
    return Based(digits, base)


def _base(text: str) -> int | None:
    text = text.strip(" -")
    base = int(text) if text.isdecimal() else number_from_words(text)
    return base if base is not None and 2 <= base <= 36 else None


def _joined(text: str) -> Group | None:
    """Read relations and intervals that a word joins to one condition, `x < 1 or x > 2`."""
    for word, separator in _JOINTS.items():
        parts = split_top(text, separator)
        if len(parts) > 1:
            items = tuple(map(_node, parts))
            # Points, intervals and solutions are listed with "and" too; only conditions hold at once.
            meant = all(map(is_region, items)) and (word == "or" or any(map(is_condition, items)))
            return Group("list", items, word) if meant else None
    return None


def _several(text: str) -> Node | None:
    """Read a bare list, `3, 5 and 7`."""
    if is_grouped(text) or number_from_words(text) is not None:
        return None
    parts = [part for part in split_top(text, _COMMA) if part.strip()]
    if len(parts) < 2:
        return None
    items = _items(parts)
    # `x = 1, 2` names its values once.
    if isinstance(items[0], Named) and not any(isinstance(item, Named) for item in items[1:]):
        return Named(items[0].name, Group("list", (items[0].value, *items[1:])))
    return Group("list", items)


def _items(parts: list[str]) -> tuple[Node, ...]:
    """Read items; one with a plus-minus sign counts as two."""
    items: list[Node] = []
    for part in parts:
        node = _node(part)
        items += node.items if isinstance(node, Group) and node.kind == "list" and not node.joined else (node,)
    return tuple(items)


def _related(text: str) -> Node | None:
    """Read `x = 5`, an equation or an inequality."""
    equated = [side.strip() for side in split_top(text, _EQUALS)]
    if len(equated) > 1 and all(equated):
        return _equated(equated[0], [_node(side) for side in equated[1:]])
    if match := _ITEM.fullmatch(text):
        return Named(match.group(1), _node(match.group(2)))
    sides = split_top(text, _ORDER)
    signs = _ORDER.findall(text)
    if len(sides) < 2 or len(sides) > 3 or len(signs) != len(sides) - 1:
        return None
    terms = [term for term in map(_node, sides) if isinstance(term, Scalar)]
    if len(terms) < len(sides):
        return Unreadable()
    relations = tuple(
        _ordered(left.expr, sign, right.expr) for left, sign, right in zip(terms, signs, terms[1:], strict=False)
    )
    return relations[0] if len(relations) == 1 else Group("list", relations, "and")


def _equated(left: str, others: list[Node]) -> Node:
    """Read `left = other`, or a chain of more sides, whose last is the value."""
    last = others[-1]
    named = Named(re.sub(r"\\text(?![a-z])|[\\{}\s]", "", left), last)
    if not agree(others):
        return Unreadable()
    if names_value(left, last):
        return named
    first, number = _node(left), names_number(left, last)
    if not isinstance(first, Scalar) or not isinstance(last, Scalar):
        return named if number else Unreadable()
    if not first.expr.free_symbols and not last.expr.free_symbols:  # 1/2 = 0.5
        return last if agree([first, *others]) else Unreadable()
    stated = number or states_value(first, last)
    if len(others) > 1:
        return named if stated else Unreadable()
    return Relation(first.expr - last.expr, "=", last if stated else None)


def _ordered(left: sympy.Expr, sign: str, right: sympy.Expr) -> Relation:
    greater = sign.startswith((">", r"\g"))
    difference = right - left if greater else left - right
    if sign in (r"\ne", "!="):
        return Relation(difference, "!=")
    return Relation(difference, "<=" if sign in (r"\le", r"\ge", "<=", ">=") else "<")


def _inside(text: str) -> Node | None:
    """Read what one pair of brackets holds."""
    found = enclosed(text)
    if found is None:
        return None
    opening, inside, closing = found
    parts = split_top(inside, _COMMA)
    if parts[-1].strip() == "" and len(parts) > 1:  # Python's (1,)
        parts = parts[:-1]
    if opening == "(" and closing == ")" and len(parts) == 1:
        return _node(inside)
    if not inside.strip():
        return Group("set" if opening == "{" else "[]", ())
    kinds: dict[str, Literal["set", "()", "[]", "(]", "[)"]] = {
        "{}": "set", "()": "()", "[]": "[]", "(]": "(]", "[)": "[)",
    }  # fmt: skip
    return Group(kinds[opening + closing], _items(parts))


def _both_signs(text: str) -> Node | None:
    """Read an expression with a plus-minus sign as the two that it stands for."""
    if not _PM.search(text):
        return None
    return Group("list", tuple(_node(_PM.sub(sign, text)) for sign in ("+", "-")))


def _digits(base: int) -> str:
    return "0123456789abcdefghijklmnopqrstuvwxyz"[:base]
