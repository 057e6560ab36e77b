"""A distilled student as a model of its own, to be taken away: adapter merged in, prompt and manners beside it."""

from __future__ import annotations

from pathlib import Path

from agentdistill.action import STOP_STRINGS
from agentdistill.agent import require_same
from agentdistill.config import Params
from agentdistill.errors import DataError
from agentdistill.models.loading import save_merged
from agentdistill.models.tokenizer import load_tokenizer
from agentdistill.models.weights import find_model
from agentdistill.store.atomic import atomic_directory
from tasks.parts import PROTOCOL_FILE, read_protocol, student_prompt, student_protocol
from tasks.sft import ADAPTERS
from tasks.stage import load_params

PROMPT_FILE = "system_prompt.txt"
CARD = """\
# {recipe}

`{base}`, distilled from `{teacher}` by agentdistill (arXiv 2505.17612); the adapter is merged into the weights, in
{dtype}. The system prompt is `{prompt}`, to the letter; the message of the user is the question.

"""
REASONER = "It reasons in one turn, which ends with its answer.\n"
AGENT = """\
It is an agent. Each of its turns holds `Thought:` and `Code:`, and whoever serves it runs the code:

1. Generate until the end of the turn, or until `{stop}`.
2. Run the code block where nothing can be harmed, in a Python that keeps its variables from turn to turn and has the
   functions that the system prompt names.
3. Send `Observation:`, a line break, what was printed and the value of the last line as the next message of the user.
   The code's call of `final_answer` ends it.
"""


def export(recipe: str, target: Path) -> None:
    """Write the student of `recipe` to the folder `target`, which must not exist.

    Its weights are those that `evaluate` asks through transformers: the adapter is merged in `student.dtype`.

    Raises:
        DataError: there is no such student yet, or the folder exists.
        ProtocolMismatch: prompt or chat template are not those that it was trained under.
        ModelError: base or adapter cannot be loaded.
    """
    params = load_params()
    adapter = ADAPTERS / recipe
    if not adapter.is_dir():
        raise DataError(f"There is no student in {adapter} yet. Distil one first: make repro.")
    if target.exists():
        raise DataError(f"{target} exists already. Name a folder that does not, or remove it.")
    prompt = student_prompt(params, "cot" if recipe == "cot" else "agent")
    ours = student_protocol(prompt, load_tokenizer(params.student.path), index=None)
    trained = read_protocol(adapter / PROTOCOL_FILE)
    require_same(ours, trained, we="export", they="training", parts=["system_prompt", "chat_template"])
    with atomic_directory(target) as folder:
        save_merged(find_model(params.student.path), adapter, params.student.dtype, folder)
        (folder / PROMPT_FILE).write_text(prompt, encoding="utf-8")
        (folder / "README.md").write_text(_card(params, recipe), encoding="utf-8")
        for file in folder.iterdir():
            file.chmod(0o644)  # safetensors keeps its files to their owner


def _card(params: Params, recipe: str) -> str:
    teacher = params.teacher.model if params.teacher.backend == "openai" else params.teacher.path
    card = CARD.format(
        recipe=recipe, base=params.student.path, teacher=teacher, dtype=params.student.dtype, prompt=PROMPT_FILE
    )
    return card + (REASONER if recipe == "cot" else AGENT.format(stop=STOP_STRINGS[0]))
