"""Which packages an outcome depends on."""

from __future__ import annotations

from importlib import metadata

from agentdistill.sandbox.versions import versions


def test_what_comes_with_python_or_is_not_there_has_no_version() -> None:
    assert versions(["math", "json", "no_such_module"]) == {}


def test_a_package_brings_what_it_requires() -> None:
    assert versions(["sympy"]) == {name: metadata.version(name) for name in ("mpmath", "sympy")}


def test_a_module_may_be_named_otherwise_than_its_package() -> None:
    assert "python-dateutil" in versions(["dateutil"])


def test_what_is_optional_is_not_required() -> None:
    assert "pytest" not in versions(["sympy"])
