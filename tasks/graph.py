"""The pipeline's graph as DVC sees it: what runs after what, and what dvc.lock says was made from what.

DVC is imported by the functions, not by the module: stages and the tracker start faster without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentdistill.config import read_yaml
from agentdistill.errors import ConfigError
from agentdistill.records import content_id
from tasks.stage import PARAMS


@dataclass(frozen=True)
class Node:
    """A stage: `name` is what DVC calls it, e.g. "rollout@plain"; `upstream` are the stages whose outputs it reads."""

    name: str
    upstream: tuple[str, ...]
    command: str
    metrics: tuple[Path, ...]


@dataclass(frozen=True)
class Lock:
    """What dvc.lock says of a stage: the digest of its entry, the md5 of each file or folder that it read and of those
    that it wrote, and the values that it had of params.yaml, by dotted key."""

    digest: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    params: dict[str, Any]


def read_graph(root: Path, targets: tuple[str, ...] = ()) -> list[Node]:
    """Return the stages in an order in which each follows its upstream: all, or `targets` and what they need.

    A target is a stage, or all variants of one: "rollout" stands for "rollout@plain" and its siblings.

    Raises:
        ConfigError: there is no such target.
        DvcException: the graph cannot be read.
    """
    import networkx
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        # What `dvc add` tracks has no name: it is a file, not a stage.
        graph = repo.index.graph.subgraph([stage for stage in repo.index.stages if not stage.is_data_source])
        wanted = [stage for stage in graph if is_target(stage.name, targets)] if targets else list(graph)
        for target in targets:
            if not any(is_target(stage.name, [target]) for stage in wanted):
                known = ", ".join(sorted(stage.name for stage in graph))
                raise ConfigError(f"There is no stage {target!r} in dvc.yaml. The stages are: {known}.")
        # Reversed edges give the order of dvc.yaml among stages that do not wait for each other.
        needed = set(wanted).union(*(networkx.descendants(graph, stage) for stage in wanted))
        written = {stage: position for position, stage in enumerate(repo.index.stages)}
        order = networkx.lexicographical_topological_sort(graph.subgraph(needed).reverse(), key=written.__getitem__)
        return [
            Node(
                name=stage.name,
                upstream=tuple(above.name for above in graph.successors(stage)),
                command=str(stage.cmd),
                metrics=tuple(Path(out.fs_path).relative_to(repo.root_dir) for out in stage.outs if out.metric),
            )
            for stage in order
        ]


def is_target(stage: str, targets: Iterable[str]) -> bool:
    """Tell whether one of `targets` names the stage at this address, itself or with all its variants."""
    return any(stage == target or stage.startswith(f"{target}@") for target in targets)


def read_locks(root: Path) -> dict[str, Lock]:
    """Return dvc.lock by stage; empty before anything has run."""
    path = root / "dvc.lock"
    if not path.exists():
        return {}
    stages: dict[str, dict[str, Any]] = read_yaml(path).get("stages", {})
    return {
        name: Lock(
            content_id(entry),
            {dep["path"]: dep["md5"] for dep in entry.get("deps", []) if "md5" in dep},
            {out["path"]: out["md5"] for out in entry.get("outs", []) if "md5" in out},
            entry.get("params", {}).get(PARAMS.name, {}),
        )
        for name, entry in stages.items()
    }


def outdated(locks: Mapping[str, Lock], params: Mapping[str, Any]) -> set[str]:
    """Return the stages whose entries are of other `params` (the content of params.yaml), or of other files than those
    that the stages before them have written since. Code is not looked at."""
    written = {path: md5 for lock in locks.values() for path, md5 in lock.outputs.items()}
    return {
        name
        for name, lock in locks.items()
        if any(_value(params, key) != value for key, value in lock.params.items())
        or any(written.get(path, md5) != md5 for path, md5 in lock.inputs.items())
    }


def _value(params: Mapping[str, Any], key: str) -> Any:
    value: Any = params
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
