"""Refuse parameters that name local files which DVC does not watch: their change would go unnoticed, and old results
would stand as new ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agentdistill.config import Params
from agentdistill.errors import ConfigError
from agentdistill.prompts.builders import BUILT_IN, prompt_folder


def require_watched(params: Params) -> None:
    """Raise `ConfigError` for a local path that is neither what the block `watched` names for it nor below that."""
    for role, key, path in _local_paths(params):
        watched = getattr(params.watched, role)
        if not path.resolve().is_relative_to(Path(watched).resolve()):
            raise ConfigError(
                f"params.yaml: {key} is {path}, but watched.{role} is {watched}, so a change of its files would not "
                f"rerun the stages that read them. Set watched.{role} to {path}, or to a folder that holds it."
            )


def _local_paths(params: Params) -> Iterator[tuple[str, str, Path]]:
    """Yield what exists on this machine: the key of `watched`, the key that names it, the path."""
    models = (
        ("teacher", params.teacher, ""),
        ("student", params.student, ""),
        ("judge", params.grading.judge, "grading."),
    )
    for role, block, where in models:
        path = getattr(block, "path", None)
        if path is not None and Path(path).is_dir():
            yield role, f"{where}{role}.path", Path(path)
    for kind in ("sources", "corpus"):
        for number, source in enumerate(getattr(params.download, kind)):
            for name in ("path", "snapshot"):
                path = getattr(source, name, None)
                if path is not None:
                    yield "data", f"download.{kind}.{number}.{name}", Path(path)
    prompts = prompt_folder(params.prompts.set)
    if prompts.is_dir() and not prompts.is_relative_to(BUILT_IN):
        yield "prompts", "prompts.set", prompts
