"""dvc.yaml, params.yaml and the stages' modules agree with each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import load_yaml

from agentdistill.config import load_params, read_yaml
from agentdistill.config.base import Params, parse_params

ROOT = Path(__file__).parent.parent
SHARED = ("config", "errors", "protocols", "records", "store")  # types and plumbing, which decide no result
GRAPH: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PRESETS = pytest.mark.parametrize(
    "preset", [ROOT / "params.yaml", *(ROOT / "presets").glob("*.yaml")], ids=lambda path: path.stem
)
IMPORT = re.compile(r"^ *from agentdistill\.(\w+)", re.MULTILINE)  # also those of functions
IMPORT_OF_TASKS = re.compile(r"^ *from tasks\.(\w+)", re.MULTILINE)
PLUMBING = {"stage", "journal"}


def body(stage: str) -> dict[str, Any]:
    found: dict[str, Any] = GRAPH[stage].get("do", GRAPH[stage])
    return found


def paths(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        yield next(iter(entry)) if isinstance(entry, Mapping) else entry


@pytest.mark.parametrize("stage", GRAPH)
def test_a_stage_runs_its_module_and_depends_on_it(stage: str) -> None:
    assert body(stage)["cmd"].startswith(f"python -m tasks.{stage}")
    assert f"tasks/{stage}.py" in body(stage)["deps"]
    assert (ROOT / "tasks" / f"{stage}.py").exists()


@pytest.mark.parametrize("stage", GRAPH)
def test_code_that_a_stage_depends_on_exists(stage: str) -> None:
    code = [path for path in body(stage)["deps"] if path.startswith(("tasks/", "agentdistill/"))]
    assert [path for path in code if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("stage", GRAPH)
def test_a_stage_depends_on_the_library_that_it_imports(stage: str) -> None:
    modules = [ROOT / "tasks" / f"{stage}.py"]
    modules += [ROOT / "tasks" / f"{name}.py" for name in {"graders", "examined"} & imported_tasks(stage)]
    used = {name for module in modules for name in IMPORT.findall(module.read_text())} - set(SHARED)
    declared = {
        path.split("/")[1].removesuffix(".py") for path in body(stage)["deps"] if path.startswith("agentdistill/")
    }
    assert used - declared == set()


def imported_tasks(stage: str) -> set[str]:
    return set(IMPORT_OF_TASKS.findall((ROOT / "tasks" / f"{stage}.py").read_text()))


@pytest.mark.parametrize("stage", GRAPH)
def test_a_stage_depends_on_the_tasks_that_it_imports(stage: str) -> None:
    needed = {f"tasks/{name}.py" for name in imported_tasks(stage) - PLUMBING}
    assert needed - set(body(stage)["deps"]) == set()


@pytest.mark.parametrize("stage", ["filter", "evaluate"])
def test_a_stage_that_grades_watches_a_judge_of_ones_own(stage: str) -> None:
    assert "${watched.judge}" in body(stage)["deps"]


@PRESETS
@pytest.mark.parametrize("stage", GRAPH)
def test_the_params_of_a_stage_exist_whatever_the_backends(stage: str, preset: Path) -> None:
    params = read_yaml(preset)
    for name in body(stage)["params"]:
        value: Any = params
        for part in name.split("."):
            assert part in value, name
            value = value[part]


def test_every_block_of_params_is_read_by_a_stage_or_decides_no_result() -> None:
    read = {name.split(".")[0] for stage in GRAPH for name in body(stage)["params"]}
    assert set(Params.model_fields) - read == {"tracking", "watched"}


def test_the_download_watches_own_data() -> None:
    assert "${watched.data}" in body("download")["deps"]


@pytest.mark.parametrize("role", ["teacher", "student", "prompts"])
def test_a_stage_that_reads_own_files_watches_them(role: str) -> None:
    asking = {name for name in GRAPH if {role, f"{role}.path"} & set(body(name)["params"])} - {"report"}
    text = {name: str(GRAPH[name]) for name in asking}
    assert [name for name in asking if f"${{watched.{role}}}" not in text[name]] == []


@pytest.mark.parametrize(
    "preset", [ROOT / "params.yaml", *sorted((ROOT / "presets").glob("*.yaml"))], ids=lambda p: p.stem
)
def test_dvc_reads_a_preset_as_the_stages_do(preset: Path) -> None:
    read = load_yaml(str(preset))
    assert parse_params(read) == load_params(preset)


@PRESETS
def test_the_presets_watch_what_exists(preset: Path) -> None:
    watched = read_yaml(preset)["watched"]
    assert [path for path in watched.values() if not (ROOT / path).exists()] == []


def test_no_command_differs_by_machine() -> None:
    for stage in GRAPH:
        assert re.fullmatch(r"python -m tasks\.\w+( --variant \$\{key\})?", body(stage)["cmd"])


def test_metrics_are_outside_the_cache_so_that_git_can_compare_them() -> None:
    for stage in GRAPH:
        for entry in body(stage)["metrics"]:
            assert isinstance(entry, Mapping)
            assert next(iter(entry.values())) == {"cache": False}


def test_no_two_stages_write_one_file() -> None:
    outs = [
        path for stage in GRAPH for kind in ("outs", "metrics", "plots") for path in paths(body(stage).get(kind, []))
    ]
    assert len(outs) == len(set(outs))
