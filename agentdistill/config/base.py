"""params.yaml as one frozen object, and the errors a wrong params.yaml gives.

Every block has a module of its own in this package. Loading is strict: a number in quotes is not a number, an unknown
key is an error that names the nearest known one, and all problems of a file are reported at once.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from agentdistill.config.block import Block, Seed
from agentdistill.config.cot import CotParams
from agentdistill.config.download import DownloadParams
from agentdistill.config.evaluate import EvaluateParams
from agentdistill.config.filter import FilterParams
from agentdistill.config.grading import GradingParams
from agentdistill.config.index import IndexParams
from agentdistill.config.models import ModelParams, StudentParams
from agentdistill.config.prompts import PromptsParams
from agentdistill.config.report import ReportParams
from agentdistill.config.rollout import RolloutParams
from agentdistill.config.sandbox import SandboxConfig
from agentdistill.config.search import SearchConfig
from agentdistill.config.sft import SftParams
from agentdistill.config.tracking import TrackingParams
from agentdistill.config.watched import WatchedParams
from agentdistill.errors import ConfigError


class Params(Block):
    """All of params.yaml. `seed` is the one from which every stage derives its own."""

    seed: Seed
    download: DownloadParams
    index: IndexParams
    search: SearchConfig
    sandbox: SandboxConfig
    teacher: ModelParams
    student: StudentParams
    watched: WatchedParams
    prompts: PromptsParams
    cot: CotParams
    rollout: RolloutParams
    filter: FilterParams
    grading: GradingParams
    sft: SftParams
    evaluate: EvaluateParams
    report: ReportParams
    tracking: TrackingParams


def load_params(path: Path) -> Params:
    """Read and check a params file.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds an unknown key, lacks one, or has a value of the wrong
            type or out of range. The message has one line for each problem.
    """
    return parse_params(read_yaml(path), source=path.name)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, read by the call that DVC reads it by.

    Raises:
        ConfigError: no such file, not YAML, or not a mapping.
    """
    try:
        data = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist. Run from the root of the checkout, or name another file.") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path.name}{where}: not valid YAML: {error.problem}. Mend that line.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}. Name a file of params.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is not UTF-8 text: {error.reason}. Save it as UTF-8.") from None
    except (YAMLError, ValueError, KeyError, TypeError, RecursionError) as error:  # of a tag or a date, or too deep
        raise ConfigError(f"{path.name}: not valid YAML: {error}. Mend that value.") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path.name} should hold a mapping of blocks, but holds {_shown(data)}.")
    return data


def parse_params(data: Mapping[str, Any], *, source: str = "params.yaml") -> Params:
    """Check `data` against the blocks; `source` names it in messages. Raises `ConfigError` as `load_params` does."""
    try:
        text = json.dumps(data, default=str)
    except (TypeError, ValueError, RecursionError) as error:  # a date for a key, or what holds itself
        raise ConfigError(
            f"{source}: {error}. Keys are words, and values numbers, words, lists and mappings."
        ) from None
    try:
        # Strict JSON mode: lists may become tuples and integers floats, but "8" is no number and 1 no boolean.
        return Params.model_validate_json(text, strict=True)
    except ValidationError as error:
        problems = error.errors()
        causes = [p for p in problems if not any(_inside(other, p) for other in problems)]
        raise ConfigError("\n".join(_sentence(problem, data, source) for problem in causes)) from None


def _inside(problem: ErrorDetails, container: ErrorDetails) -> bool:
    """A list whose item is wrong is also reported as one item too short: only the item is worth telling."""
    loc = container["loc"]
    return len(problem["loc"]) > len(loc) and problem["loc"][: len(loc)] == loc


def _sentence(problem: ErrorDetails, data: Mapping[str, Any], source: str) -> str:
    where = _path(problem["loc"], data)
    name = _dotted(where)
    match problem["type"]:
        case "extra_forbidden":
            known = sorted({field for model in _models_at(where[:-1]) for field in model.model_fields})
            near = difflib.get_close_matches(str(where[-1]), known, n=1)
            advice = f"Did you mean {_dotted((*where[:-1], near[0]))}?" if near else f"Known here: {', '.join(known)}."
            return f"{source}: unknown key {name}. {advice}"
        case "missing":
            return f"{source}: the key {name} is missing. Add it; presets/ has an example of every key."
        case "union_tag_invalid":
            context = problem["ctx"]
            near = difflib.get_close_matches(context["tag"], context["expected_tags"].replace("'", "").split(", "), n=1)
            advice = f"Did you mean {near[0]!r}? " if near else ""
            return f"{source}: {name} has type {context['tag']!r}. {advice}Known types: {context['expected_tags']}."
        case "model_type" | "model_attributes_type":
            return f"{source}: {name} is {_shown(problem['input'])}, but should be a mapping of keys to values."
        case "too_short":
            return f"{source}: {name} is empty, but needs at least {problem['ctx']['min_length']} item."
    expected = problem["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{source}: {name} is {_shown(problem['input'])}, but should be {expected}."


def _path(loc: Sequence[str | int], data: Any) -> tuple[str | int, ...]:
    """Drop from `loc` what is not in the file: pydantic also names the branch of a union that it took."""
    path: list[str | int] = []
    for part, last in zip(loc, [False] * (len(loc) - 1) + [True], strict=True):
        inside = (isinstance(data, Mapping) and part in data) or (isinstance(data, list) and isinstance(part, int))
        if inside:
            data = data[part]
        if inside or (last and isinstance(data, Mapping)):
            path.append(part)
    return tuple(path)


def _dotted(path: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _models_at(path: Sequence[str | int]) -> list[type[BaseModel]]:
    """Return the models whose fields may stand at `path`: several where the type is a union."""
    models: list[type[BaseModel]] = [Params]
    for part in path:
        if isinstance(part, str):
            fields = [model.model_fields[part] for model in models if part in model.model_fields]
            models = [model for field in fields for model in _models_in(field.annotation)]
    return models


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
