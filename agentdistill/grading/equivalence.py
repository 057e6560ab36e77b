"""Whether two mathematical answers are equal: `compare(gold, answer)`, pure, of any duration.

Exactness: a decimal is the number that it spells, so 0.33 is not 1/3; only a decimal of 15 significant digits or more
is taken for a printed double, which equals what it differs from by at most one part in 10^12. Expressions are compared
by value, at 50 digits or at several points, not by rewriting. Order matters in tuples and not in lists of solutions
and sets; what the gold answer is decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import sympy

from agentdistill.grading.nodes import Based, Group, Matrix, Named, Node, Relation, Scalar, Unreadable, Words
from agentdistill.grading.reading import canonical, read
from agentdistill.grading.regions import as_set
from agentdistill.grading.values import EXACT, POINTS, close, evaluate, point_for, quantities_equal

_QUARTERS = re.compile(r"\bquarters\b", re.IGNORECASE)


def warm_up() -> None:
    """Import and build what the first comparison needs, which takes most of a second."""
    for answer in (r"\frac{1}{2}", r"\sqrt{2}", r"(1,2)", "x+1", "sqrt(3)"):
        compare(answer, answer + " ")
        compare(answer, "x^2")


def compare(gold: str, answer: str) -> tuple[bool | None, str]:
    """Return whether `answer` equals `gold`, and why not if it is not obvious; None when gold cannot be read."""
    if canonical(gold) and canonical(gold) == canonical(answer):
        return True, ""
    right = _read_gold(gold)
    left = read(answer)
    if equal(right, left):
        return True, ""
    if isinstance(left, Unreadable):
        return False, "the answer cannot be read as mathematics"
    if isinstance(right, Unreadable):
        return None, "the gold answer cannot be read as mathematics, and the answer is not the same text"
    return False, ""


@lru_cache(maxsize=256)
def _read_gold(gold: str) -> Node:
    # "12 quarters" may be twelve coins or three; as an answer it is 3, and that decides against the answer at worst.
    return Unreadable() if _QUARTERS.search(gold) else read(gold)


def equal(gold: Node, answer: Node) -> bool:
    """Compare two answers that have been read."""
    match gold, answer:
        case (Named(), Named()):
            return bool(gold.name == answer.name and equal(gold.value, answer.value))
        case (Named(), Relation()) | (Relation(), Named()):
            left, right = _as_relation(gold), _as_relation(answer)
            return left is not None and right is not None and _relations_equal(left, right)
        case (Named(value=value), _):
            return equal(value, answer)
        case (_, Named(value=value)):
            return equal(gold, value)
        case (Scalar(), Relation(value=Scalar() as value)):
            return equal(gold, value)
        case (Based(), Based()):
            return bool(gold == answer)
        case (Based(digits=digits), Scalar(expr=expr)) | (Scalar(expr=expr), Based(digits=digits)):
            return bool(expr.is_Integer) and str(expr) == digits
        case (Words(), Words()):
            return _words(gold.text) == _words(answer.text)
        case (Words(text), Scalar(letters=letters)) | (Scalar(letters=letters), Words(text)) if letters:
            return _words(text) == _words(letters)
        case (Words(), Scalar(expr=sympy.Symbol())) | (Scalar(expr=sympy.Symbol()), Words()):
            word, symbol = (gold, answer) if isinstance(gold, Words) else (answer, gold)
            assert isinstance(word, Words)
            assert isinstance(symbol, Scalar)
            return word.text.strip("() ") == str(symbol.expr)
        case (Scalar(), Scalar()):
            return quantities_equal(gold, answer)
        case (Matrix(), Matrix()):
            return len(gold.rows) == len(answer.rows) and all(map(_ordered, gold.rows, answer.rows))
        case (Matrix(), Group()):
            return _matrix_equal(gold, answer)
        case (Group(), Matrix()):
            return _matrix_equal(answer, gold)
        case (Group(), Group()) if _groups_equal(gold, answer):
            return True
        case (Group(kind="list" | "set" | "[]", items=(only,)), _):
            return equal(only, answer)
        case (_, Group(kind="list" | "set" | "[]", items=(only,))):
            return equal(gold, only)
        case (Group(joined=""), Group(joined="")):
            return False
        case (Relation(), Relation()) if _relations_equal(gold, answer):
            return True
    left_set, right_set = as_set(gold), as_set(answer)
    return left_set is not None and right_set is not None and _sets_equal(left_set, right_set)


def _words(text: str) -> str:
    return " ".join(text.casefold().strip("(). ").split())


def _ordered(gold: Sequence[Node], answer: Sequence[Node]) -> bool:
    return len(gold) == len(answer) and all(map(equal, gold, answer))


def _unordered(gold: Sequence[Node], answer: Sequence[Node]) -> bool:
    if len(gold) != len(answer):
        return False
    rest = list(answer)
    for item in gold:
        match = next((other for other in rest if equal(item, other)), None)
        if match is None:
            return False
        rest.remove(match)
    return True


def _groups_equal(gold: Group, answer: Group) -> bool:
    if gold.joined and answer.joined and gold.joined != answer.joined:
        return False
    interval = len(gold.items) == 2
    match gold.kind, answer.kind:
        case ("list" | "set", "list" | "set" | "[]"):
            return _unordered(gold.items, answer.items)
        # Round brackets may be a point, so the order counts even where the gold answer is a list of solutions.
        case ("list" | "set", "()") | ("()", "()" | "list"):
            return _ordered(gold.items, answer.items)
        case ("[]", "[]"):
            return _ordered(gold.items, answer.items)
        # Two items may be an interval, and then the brackets matter.
        case ("()", "[]") | ("[]", "()" | "list"):
            return not interval and _ordered(gold.items, answer.items)
        case ("()", "set"):
            return _point_equal(gold.items, answer.items)
        case ("(]", "(]") | ("[)", "[)"):
            return _ordered(gold.items, answer.items)
    return False


def _point_equal(gold: Sequence[Node], answer: Sequence[Node]) -> bool:
    """Compare with the coordinates that `{x: 2, y: 3}` names; their names give the order."""
    coordinates = {item.name: item.value for item in answer if isinstance(item, Named)}
    return len(coordinates) == len(answer) and _ordered(gold, [coordinates[name] for name in sorted(coordinates)])


def _matrix_equal(matrix: Matrix, group: Group) -> bool:
    """Compare with nested lists, or a vector with a flat list."""
    if any(isinstance(item, Group) for item in group.items):
        rows = [item.items if isinstance(item, Group) else (item,) for item in group.items]
        return len(rows) == len(matrix.rows) and all(map(_ordered, matrix.rows, rows))
    if group.kind == "set":
        return False
    if len(matrix.rows) == 1:
        return _ordered(matrix.rows[0], group.items)
    return all(len(row) == 1 for row in matrix.rows) and _ordered([row[0] for row in matrix.rows], group.items)


def _as_relation(node: Node) -> Relation | None:
    if isinstance(node, Named):
        if not isinstance(node.value, Scalar):
            return None
        return Relation(sympy.Symbol(node.name, real=True) - node.value.expr, "=")
    return node if isinstance(node, Relation) else None


def _relations_equal(gold: Relation, answer: Relation) -> bool:
    """Two relations are the same when one is a constant multiple of the other, a positive one for an inequality."""
    if gold.sign != answer.sign:
        return False
    symbols = sorted(gold.difference.free_symbols | answer.difference.free_symbols, key=str)
    ratios = []
    for turn in range(len(POINTS)):
        point = point_for(symbols, turn)
        left, right = evaluate(gold.difference, point), evaluate(answer.difference, point)
        if left is None or right is None or right == 0 or not (left.is_finite and right.is_finite):
            return False
        ratios.append(left / right)
    same = all(close(ratio, ratios[0], EXACT) for ratio in ratios)
    return same and ratios[0] != 0 and (gold.sign in ("=", "!=") or bool(sympy.re(ratios[0]) > 0))


def _sets_equal(left: sympy.Set, right: sympy.Set) -> bool:
    return bool(left == right or left.symmetric_difference(right) == sympy.EmptySet)
