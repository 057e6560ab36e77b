"""Sets of reals: what intervals, inequalities and finite sets denote, alone or joined by "or" and "and"."""

from __future__ import annotations

import sympy

from agentdistill.grading.nodes import Group, Named, Node, Relation, Scalar, Sets


def is_condition(node: Node) -> bool:
    """Return whether `node` is an inequality, or several joined by a word."""
    match node:
        case Relation(sign=sign):
            return sign != "="
        case Group(joined=joined):
            return joined != ""
    return False


def is_region(node: Node) -> bool:
    """Return whether `node` has the form of what `as_set` understands, without solving anything."""
    match node:
        case Sets() | Named(value=Scalar()) | Group("()" | "[]" | "(]" | "[)", (Scalar(), Scalar())):
            return True
    return is_condition(node)


def as_set(node: Node) -> sympy.Set | None:
    """Return an interval, inequality or finite set as a set of reals, None for what is none."""
    match node:
        case Sets(value):
            return value
        case Named(value=Scalar(expr=expr)):
            return sympy.FiniteSet(expr)
        case Group("()" | "[]" | "(]" | "[)" as kind, (Scalar() as low, Scalar() as high)):
            return _interval(low.expr, high.expr, kind)
        case Group("set", items) if all(isinstance(item, Scalar) for item in items):
            return sympy.FiniteSet(*(item.expr for item in items if isinstance(item, Scalar)))
        case Group(joined="or" | "and"):
            return _joined(node)
        case Relation():
            return _solutions(node)
    return None


def _interval(low: sympy.Expr, high: sympy.Expr, brackets: str) -> sympy.Set | None:
    try:
        interval = sympy.Interval(low, high, brackets[0] == "(", brackets[1] == ")")
    except ValueError:  # an end is imaginary
        return None
    return None if interval == sympy.EmptySet else interval  # (3, 1) is a point, not another way to write no number


def _joined(group: Group) -> sympy.Set | None:
    if len(_variables(group)) > 1:
        return None
    pieces = [as_set(item) for item in group.items]
    if any(piece is None for piece in pieces):
        return None
    return sympy.Union(*pieces) if group.joined == "or" else sympy.Intersection(*pieces)


def _variables(node: Node) -> set[str]:
    """Return the names of what the relations in `node` are about."""
    match node:
        case Relation(difference):
            return {symbol.name for symbol in difference.free_symbols}
        case Named(name):
            return {name}
        case Group(items=items):
            return set[str]().union(*map(_variables, items))
    return set()


def _solutions(relation: Relation) -> sympy.Set | None:
    difference, unknowns = relation.difference, len(relation.difference.free_symbols)
    # `x < oo` has lost its variable: x - oo is -oo.
    if relation.sign == "=" or unknowns > 1 or (unknowns == 0 and not difference.is_infinite):
        return None
    try:
        condition = {"<": sympy.Lt, "<=": sympy.Le, "!=": sympy.Ne}[relation.sign](difference, 0)
        return sympy.Reals if condition == sympy.true else condition.as_set()
    except (NotImplementedError, TypeError, ValueError):
        # sympy gives up, in this order, on what repeats for ever ("sin x < 1/2"), on what is never real
        # ("sqrt(-x^2 - 1) < 2") and on imaginary bounds ("sqrt x < i"). The set is unknown; the relation still
        # equals itself.
        return None
