"""Output, canonical forms, explanations: the pure parts of the guest."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from agentdistill.sandbox.guest.canonical import canonical
from agentdistill.sandbox.guest.output import Capture, cut, without_addresses


@pytest.mark.parametrize(
    "value",
    [45, 45.0, "45", " 45\n", np.int64(45), np.float64(45), np.array(45), sympy.Integer(45), Decimal("45.0"),
     Fraction(90, 2), sympy.Float(45)],
)  # fmt: skip
def test_one_number_has_one_form(value: Any) -> None:
    assert canonical(value) == "45"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.1 + 0.2, 0.3),
        (np.array([1, 2]), [1.0, 2]),
        ((1, 2), [1, 2]),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}),
        ({3, 1, 2}, {1, 2, 3}),
        (sympy.Rational(1, 3), Fraction(1, 3)),
        (np.bool_(True), True),
    ],
)
def test_equal_results_have_equal_forms(one: Any, other: Any) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), [(True, 1), (["1"], [1]), (0.5, 0.25), (10**20, 10**20 + 1), ("a", "b")])
def test_different_results_have_different_forms(one: Any, other: Any) -> None:
    assert canonical(one) != canonical(other)


def test_a_container_of_itself_has_a_form() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert canonical(loop)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (repr(object()), "<object object>"),
        (f"<function <lambda> at {0x7F2B1C0D5E50:#x}>", "<function <lambda>>"),
        (f"<code object f at {0xFEED:#x}, file 'a', line 1>", "<code object f, file 'a', line 1>"),
        ("mapped at 0x1000, 4 KiB", "mapped at 0x1000, 4 KiB"),
    ],
)
def test_addresses_are_not_shown(text: str, shown: str) -> None:
    assert without_addresses(text) == shown


def test_two_objects_of_one_repr_are_one_result() -> None:
    assert canonical([object()]) == canonical([object()])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_every_plain_value_has_a_form(value: Any) -> None:
    assert canonical(value) == canonical(value)


@given(pieces=st.lists(st.text(max_size=30)), limit=st.integers(1, 60))
def test_captured_in_pieces_or_cut_at_once_is_the_same(pieces: list[str], limit: int) -> None:
    capture = Capture(limit)
    for piece in pieces:
        capture.write(piece)
    assert capture.text() == cut("".join(pieces), limit)


@given(text=st.text(max_size=200), limit=st.integers(1, 60))
def test_a_cut_text_tells_how_much_is_missing(text: str, limit: int) -> None:
    short = cut(text, limit)
    if len(text) <= limit:
        assert short == text
    else:
        assert f"[... {len(text) - limit} characters cut ...]" in short
        assert short.startswith(text[: limit - limit // 2])


def test_captured_text_takes_bounded_memory() -> None:
    capture = Capture(100)
    for _ in range(10_000):
        capture.write("x" * 1000)
    assert capture.total == 10_000_000
    assert sum(map(len, capture._tail)) <= 300
