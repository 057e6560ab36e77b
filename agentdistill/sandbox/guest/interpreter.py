"""Runs one action at a time in a namespace that persists, and says what came of it.

Code runs natively. The allow-list of imports is there for fidelity and for good error texts; it is not what confines
the code, since Python offers many ways around it. The kernel does that.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # without the conversions to enums, which each fork would pay
import ast
import builtins
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from .canonical import canonical
from .changes import Watch
from .explain import explain
from .output import Capture, cut, without_addresses

# Code may overwrite attributes of `builtins`, which all modules share; this undoes it without looking anything up.
_builtins_as_they_were = dict(vars(builtins))
_update_builtins = vars(builtins).update
_watch = Watch(vars(builtins))
_watch.look()


def restore_builtins() -> None:
    """Give `builtins` back the names that it had, if code may have changed them."""
    if _watch.changed():
        _update_builtins(_builtins_as_they_were)
        _watch.look()


LIMIT_SIGNALS = {signal.SIGALRM: "wall", signal.SIGXCPU: "cpu"}


class TimeLimit(BaseException):
    """Raised inside the code when its time is up; not an Exception, so `except Exception` lets it pass."""

    __module__ = "builtins"  # the model sees the bare name

    def __init__(self, kind: str, notice: str) -> None:
        super().__init__(notice)
        self.kind = kind


class ForbiddenImport(ImportError):
    """The module is not on the list of allowed imports."""

    __module__ = "builtins"


def importer(allowed: Sequence[str]) -> Callable[..., Any]:
    """Return an `__import__` that admits the modules of `allowed` and what lies below them."""
    genuine = builtins.__import__
    names = frozenset(allowed)
    listing = ", ".join(sorted(names))

    def guarded_import(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] not in names:
            raise ForbiddenImport(f"import of {name!r} is not allowed; allowed are: {listing}")
        return genuine(name, *rest, **more)

    return guarded_import


def no_input(prompt: object = "") -> NoReturn:
    raise EOFError("input() is not available: nobody is there to answer")


def no_files(file: object, *rest: object, **more: object) -> NoReturn:
    raise PermissionError(f"open({file!r})")


class Interpreter:
    """The state of an episode: one module `__main__`. Forked with its process."""

    def __init__(self, allowed_imports: Sequence[str], output_characters: int, notices: Mapping[str, str]) -> None:
        """`notices` are the texts for the model on the limits "wall", "cpu", "memory" and on what is "forbidden"."""
        self.output_characters = output_characters
        self.notices = notices
        self.sources: dict[str, list[str]] = {}
        self.module = types.ModuleType("__main__")
        self.namespace = vars(self.module)
        scope = dict(_builtins_as_they_were)
        scope["__import__"] = importer(allowed_imports)
        # For one error text everywhere: what the kernel says of a file depends on the rung of isolation.
        scope["input"], scope["open"] = no_input, no_files
        self.namespace["__builtins__"] = scope
        sys.modules["__main__"] = self.module

    def run(self, code: str, functions: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
        """Execute `code` with `functions` injected and return the report that goes to the host. Never raises."""
        self.output = Capture(self.output_characters)
        self.struck: list[TimeLimit] = []
        self.namespace.update(functions)
        sys.stdout = sys.stderr = self.output
        for number in LIMIT_SIGNALS:
            signal.signal(number, self._on_limit)
        try:
            try:
                report = self._execute(code)
            except BaseException as error:
                restore_builtins()
                report = self._failure(error)
            if self.struck and report.get("error_kind") != self.struck[0].kind:
                report = self._failure(self.struck[0])  # the code caught it: what it did then, another run would not
        except BaseException as error:  # a limit struck while the first error was being described, or memory is gone
            report = {"ok": False, "logs": "", "error": type(error).__name__, "error_kind": kind_of(error)}
        self.settle()
        return report

    def settle(self) -> None:
        """Take back the process from the code: what it may have changed must not reach the next action's running."""
        restore_builtins()
        sys.settrace(None)
        sys.setprofile(None)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in LIMIT_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])

    def final(self, answer: Any) -> dict[str, Any]:
        """The report of an action that called `final_answer(answer)`: what it did after the call does not count."""
        if self.struck:
            return self._failure(self.struck[0])
        return {
            "ok": True,
            "logs": self.output.text(),
            "final_answer": self._text(answer),
            "canonical": cut(canonical(answer), self.output_characters),
        }

    def _execute(self, code: str) -> dict[str, Any]:
        filename = f"<action {len(self.sources) + 1}>"
        self.sources[filename] = code.splitlines()
        statements, last = compiled(code, filename)
        exec(statements, self.namespace)
        value = None if last is None else eval(last, self.namespace)
        report: dict[str, Any] = {"ok": True}
        if value is not None:
            report["value"] = self._text(value)
            report["canonical"] = cut(canonical(value), self.output_characters)
        report["logs"] = self.output.text()
        return report

    def _failure(self, error: BaseException) -> dict[str, Any]:
        if isinstance(error, SystemExit):
            error = RuntimeError("exit() is not available; let the code run to its end").with_traceback(
                error.__traceback__
            )
        kind = kind_of(error)
        text = explain(error, self.sources)
        if isinstance(error, MemoryError | PermissionError):
            text += f" ({self.notices[kind]})"
        return {
            "ok": False,
            "logs": self.output.text(),
            "error": cut(without_addresses(text), self.output_characters),
            "error_kind": kind,
        }

    def _on_limit(self, number: int, _frame: object) -> NoReturn:
        kind = LIMIT_SIGNALS[number]
        error = TimeLimit(kind, self.notices[kind])
        self.struck.append(error)
        raise error

    def _text(self, value: Any) -> str:
        return cut(without_addresses(value if isinstance(value, str) else repr(value)), self.output_characters)


def compiled(code: str, filename: str) -> tuple[types.CodeType, types.CodeType | None]:
    """Return the statements of `code`, and its last one by itself if it is an expression, whose value then counts.

    Most code ends with a line that is an expression, behind lines that are whole without it. That needs no tree, whose
    nodes are objects of sixty classes, each in a page that a fork would copy.
    """
    head, newline, line = code.rstrip().rpartition("\n")
    if line[:1].strip():  # not indented
        try:
            last = compile("\n" * head.count("\n") + newline + line, filename, "eval")  # in its place, for errors
            return compile(head, filename, "exec"), last
        except SyntaxError:
            pass  # it is another kind of line, or a part of something longer, or wrong
    tree = ast.parse(code, filename)
    expression = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    statements = compile(tree, filename, "exec")
    if not isinstance(expression, ast.Expr):
        return statements, None
    return statements, compile(ast.Expression(expression.value), filename, "eval")


def kind_of(error: BaseException) -> str:
    if isinstance(error, TimeLimit):
        return error.kind
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, ForbiddenImport | PermissionError):
        return "forbidden"
    return "exception"
