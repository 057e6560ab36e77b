"""`python -m tasks.preset NAME`: params.yaml becomes presets/NAME.yaml.

A params.yaml that is no preset as it ships is kept as .cache/params.before-1.yaml, -2 and so on. The embedded default
comes back with `git checkout params.yaml`.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

from agentdistill.config import load_params
from agentdistill.errors import DataError
from agentdistill.store.atomic import write_text
from tasks.stage import PARAMS, run_command

PRESETS = Path("presets")
KEPT = Path(".cache")


def apply(name: str) -> Path | None:
    """Check the preset `name`, replace params.yaml by it and return where the old one is kept. Raises `ConfigError`."""
    source = PRESETS / f"{name}.yaml"
    load_params(source)
    kept = _keep(PARAMS.read_text(encoding="utf-8")) if PARAMS.exists() else None
    write_text(PARAMS, source.read_text(encoding="utf-8"))
    return kept


def _keep(params: str) -> Path | None:
    if any(params == preset.read_text(encoding="utf-8") for preset in PRESETS.glob("*.yaml")):
        return None
    names = (KEPT / f"params.before-{number}.yaml" for number in itertools.count(1))
    free = next(path for path in names if not path.exists())
    write_text(free, params)
    return free


def main() -> None:
    """Apply the preset named on the command line."""
    known = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    if not known:
        raise DataError(f"There are no presets in {PRESETS.resolve()}. Run from the root of the checkout.")
    parser = argparse.ArgumentParser(prog="python -m tasks.preset", description="Replace params.yaml by a preset.")
    parser.add_argument("name", choices=known)
    name = parser.parse_args().name
    kept = apply(name)
    print(f"{PARAMS} is now {PRESETS / name}.yaml{f'; the one before is {kept}' if kept else ''}. Next: dvc repro")


if __name__ == "__main__":
    run_command(main)
