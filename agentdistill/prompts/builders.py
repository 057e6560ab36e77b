"""Loading a prompt set and filling its placeholders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from jinja2 import Environment, StrictUndefined, TemplateError

from agentdistill.errors import ConfigError
from agentdistill.protocols import ToolSignature

BUILT_IN = Path(__file__).parent


@dataclass(frozen=True)
class PromptSet:
    """The unfilled texts of one set; each field is the file `<field>.txt`."""

    cot: str
    agent_teacher: str
    agent_student: str


def prompt_folder(name_or_folder: str) -> Path:
    """Return where a set lies, or would lie: a built-in name goes before a path."""
    built_in = BUILT_IN / name_or_folder
    return built_in if built_in.is_dir() else Path(name_or_folder)


def load_prompts(name_or_folder: str) -> PromptSet:
    """Load a built-in set by name ("paper", "embedded") or any folder by path.

    Raises:
        ConfigError: neither exists, or a file of the set is missing or empty.
    """
    folder = prompt_folder(name_or_folder)
    if not folder.is_dir():
        built_in = ", ".join(sorted(path.name for path in BUILT_IN.iterdir() if (path / "cot.txt").exists()))
        raise ConfigError(
            f"There is no prompt set '{name_or_folder}'. Give one of {built_in}, or a folder that holds "
            f"{', '.join(f'{field.name}.txt' for field in fields(PromptSet))}."
        )
    return PromptSet(**{field.name: _read(folder / f"{field.name}.txt") for field in fields(PromptSet)})


def agent_prompt(template: str, tools: Iterable[ToolSignature], imports: Sequence[str]) -> str:
    """Fill an agent's prompt: `tools` as Python stubs with docstrings, `imports` as a comma-separated list.

    Raises:
        ConfigError: the template uses a placeholder that does not exist, or is not valid Jinja.
    """
    stubs = "\n\n".join(
        f"def {tool.name}({', '.join(f'{parameter}: str' for parameter in tool.parameters)}) -> str:\n"
        f'    """{tool.description}"""'
        for tool in tools
    )
    try:
        environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)
        return environment.from_string(template).render(tools=stubs, imports=", ".join(imports)).strip()
    except TemplateError as e:
        raise ConfigError(
            f"The agent's prompt cannot be filled: {e}. It may use {{{{ tools }}}} and {{{{ imports }}}}."
        ) from e


def _read(path: Path) -> str:
    text = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    if not text:
        raise ConfigError(f"The prompt file {path} is missing or empty. Write the system prompt into it.")
    return text
