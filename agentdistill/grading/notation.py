r"""Spellings of one and the same notation brought to one form, as text.

`tidy` undoes what only concerns looks: the box, dollar signs, spacing commands, `\left`, `\dfrac`, Unicode symbols,
"The answer is". It never evaluates anything, and its result is meant for `reading`, not for people.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from agentdistill.boxed import unbox

DOLLAR = "\N{FULLWIDTH DOLLAR SIGN}"  # stands for \$, so that it is not taken for the border of mathematics

_SYMBOLS = {
    "\N{MINUS SIGN}": "-",
    "\N{EN DASH}": "-",
    "\N{MULTIPLICATION SIGN}": r"\times ",
    "\N{MIDDLE DOT}": r"\cdot ",
    "\N{DOT OPERATOR}": r"\cdot ",
    "\N{DIVISION SIGN}": "/",
    "\N{FRACTION SLASH}": "/",
    "\N{PLUS-MINUS SIGN}": r"\pm ",
    "\N{GREEK SMALL LETTER PI}": r"\pi ",
    "\N{INFINITY}": r"\infty ",
    "\N{UNION}": r"\cup ",
    "\N{ELEMENT OF}": r"\in ",
    "\N{LESS-THAN OR EQUAL TO}": r"\le ",
    "\N{GREATER-THAN OR EQUAL TO}": r"\ge ",
    "\N{NOT EQUAL TO}": r"\ne ",
    "\N{LOGICAL OR}": r"\lor ",
    "\N{LOGICAL AND}": r"\land ",
    "\N{DEGREE SIGN}": r"^\circ ",
    "\N{SUPERSCRIPT TWO}": "^2",
    "\N{SUPERSCRIPT THREE}": "^3",
}
_SYMBOL = re.compile("|".join(map(re.escape, _SYMBOLS)))
_ROOT = re.compile("\N{SQUARE ROOT}\\s*(?:\\(([^()]*)\\)|(\\w+))")
_MIXED_CHARACTER = re.compile(r"(\d)([\u00bc-\u00be\u2150-\u215e])")  # 1 and a vulgar fraction
_WRAPPERS = (
    re.compile(r"\$\$(.*)\$\$", re.DOTALL),
    re.compile(r"\$([^$]*)\$", re.DOTALL),
    re.compile(r"\\\((.*)\\\)", re.DOTALL),
    re.compile(r"\\\[(.*)\\\]", re.DOTALL),
    re.compile(r"\*\*(.*)\*\*", re.DOTALL),
    re.compile(r"`([^`]*)`", re.DOTALL),
    re.compile(r"(?:the\s+)?(?:final\s+)?answer(?:\s+is|\s*[:=])\s*:?\s*(.*)", re.DOTALL | re.IGNORECASE),
)
_GONE = re.compile(r"(?<=,)\\!\s+|\\(?:left|right|big|Big|bigg|Bigg|displaystyle|limits)(?![A-Za-z])\.?|(?<!\\)\\!")
_SPACE = re.compile(r"(?<!\\)\\[,;: ~]|\\(?:quad|qquad)(?![A-Za-z])|~|\s+")
_TEXT = re.compile(r"\\(?:text|textnormal|textrm|textbf|textit|mbox|hbox|mathrm|mathbf|rm)\s*\{([^{}]*)\}")
_SAME = (
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\leq(?:slant)?(?![A-Za-z])"), r"\\le "),
    (re.compile(r"\\geq(?:slant)?(?![A-Za-z])"), r"\\ge "),
    (re.compile(r"\\neq(?![A-Za-z])"), r"\\ne "),
    (re.compile(r"\\lbrace(?![A-Za-z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![A-Za-z])"), r"\\}"),
    (re.compile(r"\\(?:lparen|rparen)"), lambda match: "(" if match.group() == r"\lparen" else ")"),
    (re.compile(r"\^\s*\{?\s*\\(?:circ|degree)\s*\}?|\\degree(?![A-Za-z])"), r" \\text{degrees} "),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac\s*(\d)\s*\{"), r"\\frac{\1}{"),
    (re.compile(r"\\sqrt\s*(\w)(?![\w}])"), r"\\sqrt{\1}"),
)
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


def tidy(text: str) -> str:
    """Return the answer within `text` in one spelling; see the module."""
    text = unbox(text).strip().replace(r"\$", DOLLAR)
    while (inner := _unwrap(text)) != text:
        text = inner
    text = _MIXED_CHARACTER.sub(r"\1 \2", text)
    text = _ROOT.sub(lambda match: rf"\sqrt{{{match.group(1) or match.group(2)}}}", text)
    text = _SYMBOL.sub(lambda match: _SYMBOLS[match.group()], text)
    text = unicodedata.normalize("NFKC", text.replace(DOLLAR, r"\$")).replace("\N{FRACTION SLASH}", "/")
    text = _SPACE.sub(" ", _GONE.sub("", text))
    text = _TEXT.sub(lambda match: rf" \text{{{match.group(1).strip()}}} ", text)
    for pattern, replacement in _SAME:
        text = pattern.sub(replacement, text)
    return _SPACE.sub(" ", text).strip()


def _unwrap(text: str) -> str:
    text = text.strip()
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1]
    for wrapper in _WRAPPERS:
        if match := wrapper.fullmatch(text):
            return unbox(match.group(1)).strip()
    return text


def split_top(text: str, separator: re.Pattern[str]) -> list[str]:
    """Split at the matches of `separator` that stand outside all brackets; escaped braces count as brackets."""
    parts, start, depth, position = [], 0, 0, 0
    while position < len(text):
        match = separator.match(text, position) if depth == 0 else None
        if match and match.end() > position:
            parts.append(text[start:position])
            start = position = match.end()
            continue
        step = _BRACKETS.get(text[position], 0)
        depth = max(0, depth + step)
        position += 2 if text[position] == "\\" and text[position + 1 : position + 2] not in "{}" else 1
    return [*parts, text[start:]]


def enclosed(text: str) -> tuple[str, str, str] | None:
    r"""Return opening bracket, inside and closing bracket when one pair of brackets holds all of `text`.

    The brackets may differ, as in `[0,1)`; `\{` and `{` are both given as `{`.
    """
    text = text.strip()
    if len(text) < 2:
        return None
    opening, start = ("{", 2) if text.startswith(r"\{") else (text[0], 1)
    closing, end = ("}", len(text) - 2) if text.endswith(r"\}") else (text[-1], len(text) - 1)
    if opening not in "([{" or closing not in ")]}" or (opening == "{") != (closing == "}") or end < start:
        return None
    inside = text[start:end]
    depths = list(_depths(inside))
    return None if depths and (min(depths) < 0 or depths[-1] != 0) else (opening, inside, closing)


def _depths(text: str) -> Iterator[int]:
    depth = 0
    for character in text:
        depth += _BRACKETS.get(character, 0)
        yield depth
