"""The packages that code may import, with all that they need in turn, by version."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # what a requirement begins with
OPTIONAL = re.compile(r";.*\bextra\b")


def versions(modules: Sequence[str]) -> dict[str, str]:
    """Return the versions of the installed distributions that provide `modules`, and of those that they require.

    Modules that come with Python belong to none; nor do those that are not installed.
    """
    providers = metadata.packages_distributions() if any(map(_is_foreign, modules)) else {}
    left = [name for module in modules for name in _providers(module, providers)]
    found: dict[str, str] = {}
    while left:
        name = _normalised(left.pop())
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # required on another system only
            continue
        if name not in found:
            found[name] = distribution.version
            left += [_required(line) for line in distribution.requires or () if not OPTIONAL.search(line)]
    return dict(sorted(found.items()))


def _is_foreign(module: str) -> bool:
    return module.partition(".")[0] not in sys.stdlib_module_names


def _providers(module: str, providers: Mapping[str, Sequence[str]]) -> Sequence[str]:
    return providers.get(module.partition(".")[0], ()) if _is_foreign(module) else ()


def _required(line: str) -> str:
    found = NAME.match(line.strip())
    return found.group() if found else line


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
