"""What runs inside an episode's process, called directly: how code is taken apart, and when `builtins` is put right."""

from __future__ import annotations

import ast
import dis
import types
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentdistill.sandbox.guest import changes
from agentdistill.sandbox.guest.changes import Watch
from agentdistill.sandbox.guest.interpreter import compiled

LINES = [
    "",
    "   ",
    "# a comment",
    "a",
    "a + 1  # a comment",
    "a = 1",
    "a; b",
    "a = 1; a",
    "(a,",
    "b)",
    "    a",
    "\ta",
    "if a:",
    "else:",
    "def f(): return 1",
    "@f",
    "'''",
    "'''a'''",
    "'a'",
    "a \\",
    "a)",
    "*a, b",
    "(a := 2)",
    "print(",
    "[i for i in a]",
    "lambda: a",
    "await a",
    "yield",
    "import math",
    "x: int = 3",
    "for i in a: i",
    "\x0ca",
    "a\rb",
]


def by_tree(code: str) -> tuple[types.CodeType, types.CodeType | None]:
    """The rule that `compiled` takes a short cut to."""
    tree = ast.parse(code, "<action 1>")
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    statements = compile(tree, "<action 1>", "exec")
    if not isinstance(last, ast.Expr):
        return statements, None
    return statements, compile(ast.Expression(last.value), "<action 1>", "eval")


def what(take_apart: Callable[[str], tuple[types.CodeType, types.CodeType | None]], code: str) -> object:
    """All instructions with the lines they come from, or the error."""
    try:
        parts = take_apart(code)
    except SyntaxError as error:
        return type(error), error.msg, error.lineno, error.text
    return [None if part is None else list(instructions(part)) for part in parts]


def instructions(code: types.CodeType) -> list[object]:
    found: list[object] = []
    for one in dis.get_instructions(code):
        inner = isinstance(one.argval, types.CodeType)
        found.append((one.opname, instructions(one.argval) if inner else one.argval, one.positions))
    return found


@example("\na")
@settings(max_examples=2000, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=6).map("\n".join))
def test_code_is_taken_apart_as_its_tree_would_be(code: str) -> None:
    if "\r" in code:  # Python counts a carriage return as a line, and ends a line of source at it only in errors
        return
    assert what(lambda code: compiled(code, "<action 1>"), code) == what(by_tree, code)


@pytest.mark.parametrize("code", ["a\rb\nc", "a = 1\rb", "a\r\nb\r\n"])
def test_a_carriage_return_ends_a_line(code: str) -> None:
    def operations(parts: tuple[types.CodeType, types.CodeType | None]) -> list[object]:
        return [None if part is None else [one.opname for one in dis.get_instructions(part)] for part in parts]

    assert operations(compiled(code, "<action 1>")) == operations(by_tree(code))


def assign(watched: dict[str, Any]) -> None:
    watched["a"] = 2


def assign_the_same(watched: dict[str, Any]) -> None:
    watched["a"] = [1]


CHANGES: list[Callable[[dict[str, Any]], object]] = [
    assign,
    assign_the_same,
    lambda watched: watched.update(b=1),
    lambda watched: watched.update(a=0),
    lambda watched: watched.__ior__({"c": 1}),
    lambda watched: watched.pop("a"),
    lambda watched: watched.popitem(),
    lambda watched: watched.setdefault("d", 1),
    lambda watched: watched.clear(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(change: Callable[[dict[str, Any]], object]) -> None:
    watched = {"a": 1}
    watch = Watch(watched)
    watch.look()
    change(watched)
    assert watch.changed()


def test_an_attribute_set_again_and_again_is_seen_each_time() -> None:
    """CPython writes to a module by a way of its own when an assignment has run often enough."""
    module = types.ModuleType("module")
    watch = Watch(vars(module))
    for number in range(100):
        watch.look()
        module.len = number  # type: ignore[attr-defined]
        assert watch.changed()


def test_reading_is_no_change() -> None:
    watched: dict[str, Any] = {"a": 1}
    watch = Watch(watched)
    watch.look()
    assert [watched["a"], watched.get("b"), list(watched), {**watched}, watched == {"a": 1}]
    assert watch.changed() is not changes._is_kept()  # where Python does not tell, all counts as changed


def test_where_python_does_not_tell_everything_counts_as_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "PLACE", 0)  # the count of references
    watch = Watch({"a": 1})
    watch.look()
    assert watch.changed()
