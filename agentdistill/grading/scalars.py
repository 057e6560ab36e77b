r"""A single quantity read: a numeral, a fraction, money, a percentage, a number with a unit, Python, LaTeX, or words.

Numerals are exact rationals of their digits. Python is parsed and never run; LaTeX is read by the reader of
`math-verify`.
"""

from __future__ import annotations

import re

import sympy

from agentdistill.grading.nodes import Group, Matrix, Node, Relation, Scalar, Sets, Unreadable, Words
from agentdistill.grading.python_value import NotPython, Value, read_python
from agentdistill.grading.units import find_measure, find_unit
from agentdistill.grading.words import multiplier, number_from_words, part_from_word

DOUBLE_DIGITS = 15  # significant digits from which a decimal is taken for a printed double and not for an exact number

_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3}(?:,\d{3})+)(?![\d,])|(?<![\d.])(\d{1,3}(?: \d{3})+)(?![\d ])")
_NUMERAL = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,4})?")
_FRACTION = re.compile(
    r"([-+]?)\s*(?:(\d+)\s*(?:\s|(?=\\frac)))?\s*(?:\\frac\s*\{(\d+)\}\s*\{(\d+)\}|(\d+)\s*/\s*(\d+))"
)
_DECIMAL = re.compile(r"\d*\.?\d+(?:[eE][-+]?\d+)?")
_PERCENT = re.compile(r"(.*?)\s*(?:\\?%|\\text\{\s*(?:%|percent)\s*\}|\bper\s?cent)", re.DOTALL)
_MONEY = re.compile(r"([-+]?)\s*\\?\$\s*(.*)|()(?:USD|\\text\{USD\})\s*(.*)", re.DOTALL)
_UNIT = re.compile(
    r"(?P<body>.*(?:[\d)}\]]|\\pi|\\infty))\s*(?:\\text\{(?P<text>[^{}]*)\}|(?P<bare>(?<=[\s\d}])[A-Za-z][A-Za-z .]*?))"
    r"\s*(?:\^\s*\{?(?P<power>[23])\}?)?",
    re.DOTALL,
)
# Nouns of three letters, as far as their vowels tell them from products, and abbreviations.
_SHORT_WORD = re.compile(
    "[^aeiou][aeiou][a-z]|[aeiou][^aeiou][aeiou]|mph|kph|mpg|rpm|bpm|lbs|pts|yrs|kwh|psi|egg|ant|arm", re.IGNORECASE
)
_PROSE = re.compile(r"[A-Za-z][A-Za-z.']*(?:[ -][A-Za-z.']+)*")
_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc|log|ln)(?![A-Za-z])")
_FUNCTION_NAMES = {"sin", "cos", "tan", "cot", "sec", "csc", "log", "exp", "sqrt"}
_LONE_NUMBER = re.compile(r"[-+]?\s*(?:\\?\$)?\s*\d[\d, ]*(?:\.\d+)?\s*(?:\\?%|\\text\{[^{}]*\}|[A-Za-z ]+)?")
_CLOSED = {"yes", "no"}  # answers that are words, short as they are
# Two numbers side by side, not a mixed number; after ^ and _ the first is an exponent or a base.
_SIDE_BY_SIDE = re.compile(r"(?<![\^_\d.])[\d.]+ [\d.]+(?![\d.]* ?/)")
_SUBSCRIPT = re.compile(r"(?<![A-Za-z_.\d])\d[\d.]*\s*_")
_TEXT = re.compile(r"\\text\{([^{}]*)\}")


def is_grouped(text: str) -> bool:
    """Return whether `text` is one number whose commas or spaces part thousands, with a unit perhaps."""
    return bool(_LONE_NUMBER.fullmatch(text) and _THOUSANDS.search(text))


def read_scalar(text: str) -> Node:
    """Read what is no list, bracket or relation: a number, quantity, Python value, LaTeX expression or word."""
    if match := _MONEY.fullmatch(text):
        inner = read_scalar((match.group(1) or "") + (match.group(2) or match.group(4) or ""))
        if isinstance(inner, Scalar):
            return inner if inner.unit else Scalar(inner.expr, inner.rounded, inner.percent, find_unit("dollars"))
        return Unreadable()
    if match := _PERCENT.fullmatch(text):
        inner = read_scalar(match.group(1))
        return Scalar(inner.expr, inner.rounded, percent=True) if isinstance(inner, Scalar) else inner
    if (node := _with_unit(text)) is not None:
        return node
    return _numeral(text) or _words(text) or _python(text) or _latex(text)


def _with_unit(text: str) -> Node | None:
    match = _UNIT.fullmatch(text)
    if match is None or _FUNCTION.search(match.group("body")):
        return None
    words = (match.group("text") or match.group("bare") or "").strip()
    power = int(match.group("power") or 1)
    if match.group("bare") is not None:
        # `5m`, `2 x` and `24xyz` are products unless the letters name a unit or, set apart, are a word.
        apart = match.group("body") != text[: match.start("bare")]
        known = find_unit(words, power) is not None or multiplier(words.split()[0].casefold()) is not None
        described = apart and "\\" not in text and "(" not in words and _is_word(words)
        if not (known and (apart or len(words) > 2)) and not described:
            return None
    inner = read_scalar(match.group("body"))
    if not isinstance(inner, Scalar) or inner.unit is not None:
        return None
    measure = find_measure(words, power, one=inner.expr == 1)
    if measure is None:
        return Unreadable()
    return Scalar(inner.expr * measure.factor, inner.rounded, inner.percent, measure.unit)


def _is_word(words: str) -> bool:
    """Return whether letters after a number are no product: "men" and "cups", not "xyz", "x y" and "sin x"."""
    names = words.split()
    if names[0].casefold() in _FUNCTION_NAMES or all(len(name) < 3 for name in names):
        return False
    return len(words) > 3 or "." in words or _SHORT_WORD.fullmatch(words) is not None


def _numeral(text: str) -> Scalar | None:
    """Read a plain number, fraction or mixed number exactly."""
    plain = _THOUSANDS.sub(lambda match: re.sub("[, ]", "", match.group()), text)
    plain = re.sub(r"^([-+])\s+", r"\1", plain)
    if _NUMERAL.fullmatch(plain):
        return Scalar(sympy.Rational(plain), rounded=is_rounded(plain))
    if match := _FRACTION.fullmatch(text):
        sign, whole, top, bottom, other_top, other_bottom = match.groups()
        denominator = int(bottom or other_bottom)
        if denominator == 0:
            return None
        value = int(whole or 0) + sympy.Rational(int(top or other_top), denominator)
        return Scalar(-value if sign == "-" else value)
    return None


def is_rounded(text: str) -> bool:
    """Return whether `text` holds a decimal with as many digits as a double has."""
    for match in _DECIMAL.finditer(text):
        mantissa = re.split("[eE]", match.group())[0]
        digits = mantissa.replace(".", "").lstrip("0")
        if ("." in mantissa and mantissa.split(".")[1].strip("0") and len(digits) >= DOUBLE_DIGITS) or (
            mantissa != match.group() and len(digits) >= DOUBLE_DIGITS
        ):
            return True
    return False


def _words(text: str) -> Words | Scalar | None:
    prose = _TEXT.sub(r"\1", text).strip("() ")
    if not _PROSE.fullmatch(prose):
        return None
    number = number_from_words(prose)
    if number is not None:
        return Scalar(sympy.Integer(number))
    head, _, unit = prose.rpartition(" ") if " " in prose else _hyphenated_part(prose)
    if head and (number := number_from_words(head)) is not None:
        measure = find_measure(unit, one=number == 1)
        # "twenty third" is an ordinal and "five squared" a word for another number; both equal themselves.
        return Words(prose) if measure is None else Scalar(number * measure.factor, unit=measure.unit)
    if "\\text{" in text or len(prose) > 3 or prose.casefold() in _CLOSED or (len(prose) == 1 and prose.isupper()):
        return Words(prose)
    return None  # up to three letters may be a product of variables


def _hyphenated_part(prose: str) -> tuple[str, str, str]:
    """Split "two-thirds" and "one-half" as if a space stood there; "twenty-third" stays whole."""
    head, hyphen, part = prose.rpartition("-")
    is_part = part_from_word(part.casefold(), one=head.casefold() == "one") is not None
    return (head, hyphen, part) if is_part else ("", "", prose)


def _python(text: str) -> Node | None:
    if "\\" in text:
        return None
    try:
        return _from_value(read_python(text), rounded=is_rounded(text))
    except (NotPython, RecursionError):
        return None


def _from_value(value: Value, *, rounded: bool) -> Node:
    match value:
        case sympy.Set():
            return Sets(value)
        case sympy.MatrixBase():
            return Matrix(tuple(tuple(Scalar(_plain(cell), rounded) for cell in row) for row in value.tolist()))
        case sympy.Eq() | sympy.Ne():
            return Relation(_plain(value.lhs - value.rhs), "=" if isinstance(value, sympy.Eq) else "!=")
        case tuple():
            return Group("()", tuple(_from_value(item, rounded=rounded) for item in value))
        case list():
            return Group("[]", tuple(_from_value(item, rounded=rounded) for item in value))
        case set() | frozenset():
            return Group("set", tuple(_from_value(item, rounded=rounded) for item in value))
        case sympy.Expr():
            return Scalar(_plain(value), rounded)
    raise NotPython


def _latex(text: str) -> Scalar | Unreadable | Words:
    """Read LaTeX with the reader of `math-verify`, letters kept in their case: `R` and `r` are two variables."""
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig, NormalizationConfig, latex2sympy, normalize_latex

    if not re.search(r"[A-Za-z0-9]", text):
        return Words(text)
    if _SIDE_BY_SIDE.search(text) or _SUBSCRIPT.search(text):  # the reader would add up the one and drop the other
        return Unreadable()
    if any(map(_changes_value, _TEXT.findall(text))):  # read after a single number only
        return Unreadable()
    try:
        expr = latex2sympy(
            normalize_latex(text, NormalizationConfig(malformed_operators=True, nits=True, boxed="none")),
            is_real=True,
            normalization_config=None,
            conversion_config=ConversionConfig(lowercase_symbols=False),
        )
    except Exception:  # its parser raises plain Exceptions; a text that it cannot read is not a failure of ours
        return Unreadable()
    if not isinstance(expr, sympy.Expr):
        return Unreadable()
    return Scalar(_plain(expr), rounded=is_rounded(text), letters=text if text.isalpha() else "")


def _changes_value(words: str) -> bool:
    measure = find_measure(words, one=True)
    return any(map(str.isalpha, words)) and (measure is None or measure.factor != 1)


def _plain(expr: sympy.Expr) -> sympy.Expr:
    """Make symbols of one name one symbol, `i` the imaginary unit, and decimals the exact numbers that they spell."""
    changes: dict[sympy.Basic, sympy.Basic] = {}
    for symbol in expr.free_symbols:
        changes[symbol] = sympy.I if symbol.name == "i" else sympy.Symbol(symbol.name, real=True)
    for number in expr.atoms(sympy.Float):
        changes[number] = sympy.Rational(str(number))
    return expr.xreplace(changes) if changes else expr
