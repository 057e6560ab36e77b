"""The same random numbers for every episode, so that equal candidates draw equal ones and a log can be replayed."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

NUMPY = "numpy.random"


def seed_everything() -> None:
    """Seed Python's generator, and numpy's global one now or when it is imported."""
    random.seed(0)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(0)  # imports it, which would take each episode 20 ms and 10 MB
    else:
        sys.meta_path.insert(0, SeededNumpy())


class SeededNumpy:
    """Finds `numpy.random` as ever, and seeds it at the end of its import. Other modules are left to others.

    No `MetaPathFinder` by name: `importlib.abc` brings compression and files with it, thirty mappings in every fork."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != NUMPY:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_seed(module: ModuleType) -> None:
            load(module)
            module.seed(0)

        spec.loader.exec_module = load_and_seed  # type: ignore[method-assign]
        return spec
