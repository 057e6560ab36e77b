"""What Python code returns as an answer, read without running it: `np.float64(3.0)`, `Fraction(1, 2)`, `2*sqrt(3)`.

The text is parsed by Python's own parser and the tree is walked; only arithmetic, a fixed list of names and a fixed
list of functions is understood, and everything else is refused.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import sympy

T = TypeVar("T")
Value = object  # a sympy expression, set or matrix, or a list/tuple/set of such


class NotPython(ValueError):
    """The text is no Python value of the kinds understood here."""


def _matrix(rows: object, *rest: object) -> sympy.Matrix:
    return sympy.Matrix(rows, *rest)


def _container(items: object = (), *_: object, **__: object) -> object:
    return items


_NAMES: dict[str, object] = {
    "pi": sympy.pi,
    "oo": sympy.oo,
    "inf": sympy.oo,
    "E": sympy.E,
    "e": sympy.E,
    "I": sympy.I,
    "i": sympy.I,
    "EmptySet": sympy.EmptySet,
    "Reals": sympy.Reals,
    "Integers": sympy.Integers,
}
_FUNCTIONS: dict[str, Callable[..., object]] = {
    "sqrt": sympy.sqrt,
    "cbrt": sympy.cbrt,
    "root": sympy.root,
    "exp": sympy.exp,
    "log": sympy.log,
    "ln": sympy.log,
    "factorial": sympy.factorial,
    "binomial": sympy.binomial,
    "Abs": sympy.Abs,
    "abs": sympy.Abs,
    "Rational": sympy.Rational,
    "Fraction": lambda top, *bottom: top / bottom[0] if bottom else top,
    "Pow": sympy.Pow,
    "Mul": sympy.Mul,
    "Add": sympy.Add,
    "Interval": sympy.Interval,
    "Interval.open": sympy.Interval.open,
    "Interval.Lopen": sympy.Interval.Lopen,
    "Interval.Ropen": sympy.Interval.Ropen,
    "FiniteSet": sympy.FiniteSet,
    "Union": sympy.Union,
    "Intersection": sympy.Intersection,
    "Complement": sympy.Complement,
    "Eq": sympy.Eq,
    "Ne": sympy.Ne,
    "Matrix": _matrix,
    "ImmutableMatrix": _matrix,
    "ImmutableDenseMatrix": _matrix,
    "MutableDenseMatrix": _matrix,
    "array": _container,
    "Tuple": lambda *items: tuple(items),
    "tuple": tuple,
    "list": list,
    "set": lambda items=(): set(items),
    **{
        name: getattr(sympy, name)
        for name in [
            "sin",
            "cos",
            "tan",
            "cot",
            "sec",
            "csc",
            "asin",
            "acos",
            "atan",
            "sinh",
            "cosh",
            "tanh",
            "floor",
            "ceiling",
            "Symbol",
        ]
    },
    **{
        # A number in a wrapper is that number; the wrapper says how it was stored, not what it is.
        name: lambda number: number
        for name in [
            "Integer",
            "Float",
            "Decimal",
            "int",
            "float",
            "int8",
            "int16",
            "int32",
            "int64",
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "float16",
            "float32",
            "float64",
            "complex128",
            "str",
            "str_",
            "mpf",
        ]
    },
}
_MODULES = {"np", "numpy", "sympy", "sp", "math", "fractions", "decimal", "mpmath", "mp"}
_OPERATORS: dict[type[ast.operator], Callable[[sympy.Expr, sympy.Expr], object]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
    ast.Pow: lambda left, right: left**right,
}


def read_python(text: str) -> Value:
    """Return the value that `text` denotes.

    Decimals become exact rationals of the digits that are written.

    Raises:
        NotPython: it is not Python, or not of the kinds understood.
    """
    try:
        # _numbers_ with underscores would be misread: 204_5 is a number in base 5.
        if "_" in text.replace("int_", "").replace("str_", ""):
            raise NotPython(text)
        # `^` is a power to people and an exclusive or, with another precedence, to Python.
        return _value(ast.parse(text.strip().replace("^", "**"), mode="eval").body)
    except NotPython:
        raise
    except (SyntaxError, ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise NotPython(text) from error


def _value(node: ast.expr) -> Value:
    match node:
        case ast.Constant(value=bool() | None):
            raise NotPython
        case ast.Constant(value=int(number)):
            return sympy.Integer(number)
        case ast.Constant(value=float(number)):
            return _rational(number)
        case ast.Constant(value=complex(imag=imag)):
            return _rational(imag) * sympy.I
        case ast.Constant(value=str(inner)):
            return read_python(inner)
        case ast.Name(id=name):
            if name in _NAMES:
                return _NAMES[name]
            if len(name) == 1:
                return sympy.Symbol(name)
            raise NotPython(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)  # type: ignore[operator]
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
        case ast.Tuple(elts=items):
            return tuple(map(_value, items))
        case ast.List(elts=items):
            return [_value(item) for item in items]
        case ast.Set(elts=items):
            return sympy.FiniteSet(*map(_value, items))
        case ast.Call(func=function, args=arguments, keywords=keywords):
            if any(keyword.arg != "dtype" for keyword in keywords):
                raise NotPython
            return _look_up(function, _FUNCTIONS)(*map(_value, arguments))
        case ast.Attribute():
            return _look_up(node, _NAMES)
    raise NotPython


def _rational(number: float) -> sympy.Rational:
    """Return the number that the shortest spelling of a double denotes: 1/10 for 0.1."""
    if not math.isfinite(number):
        raise NotPython(number)
    return sympy.Rational(repr(number))


def _look_up(node: ast.expr, known: Mapping[str, T]) -> T:
    """Return the known function or constant that `node` names, its module left out."""
    text = ast.unparse(node)
    head, _, tail = text.partition(".")
    if tail and head in _MODULES:
        text = tail
    if text not in known:
        raise NotPython(text)
    return known[text]
