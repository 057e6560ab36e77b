"""The command `agentdistill`: talk to the distilled agent, take it away, grade predictions, look into the ledger.

Run it from the root of the checkout: like the stages, `ask` and `export` read params.yaml there.
"""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from rich.text import Text

from agentdistill.errors import AgentDistillError
from agentdistill.grading.cli import grade
from agentdistill.records import Step
from agentdistill.store.ledger_cli import app as ledger

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.add_typer(ledger, name="ledger")
app.command()(grade)


class Learned(StrEnum):
    """The recipes that leave an agent behind."""

    agent = "agent"
    agent_ftp = "agent_ftp"


class Trained(StrEnum):
    """The recipes that leave a student behind."""

    cot = "cot"
    agent = "agent"
    agent_ftp = "agent_ftp"


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    recipe: Annotated[Learned, typer.Option(help="Which of the distilled agents answers.")] = Learned.agent_ftp,
    greedy: Annotated[
        bool, typer.Option("--greedy", help="One action a step instead of a vote among several.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the answer only.")] = False,
) -> None:
    """Ask the agent that the pipeline distilled, and watch its steps."""
    from tasks.ask import answer  # imports torch, which the other commands can do without

    trajectory = asyncio.run(answer(question, recipe.value, greedy=greedy))
    console = Console()
    if not quiet:
        for number, step in enumerate(trajectory.steps, start=1):
            _show(console, number, step)
    if trajectory.answer is None:
        sys.exit(f"The agent gave no answer: {(trajectory.error or trajectory.stop).rstrip('.')}.")
    console.print(Text(trajectory.answer, style="" if quiet else "bold green"))


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where the model goes; must not exist yet.")],
    recipe: Annotated[Trained, typer.Option(help="Which of the distilled students.")] = Trained.agent_ftp,
) -> None:
    """Write a distilled student as a model of its own: adapter merged in, tokenizer, system prompt, a card."""
    from tasks.export import export as write  # imports torch

    write(recipe.value, folder)
    print(f"{folder} holds the model, its system prompt and a README.md that says how to run it.")


def _show(console: Console, number: int, step: Step) -> None:
    text = step.winner.text
    agreeing = step.votes.count(step.votes[step.chosen]) if step.votes[step.chosen] >= 0 else 0
    of = f", {agreeing} of {len(step.candidates)} agree" if len(step.candidates) > 1 else ""
    console.print(Panel(Syntax(text, "markdown", word_wrap=True), title=f"Step {number}{of}", title_align="left"))
    if step.observation is not None:
        console.print(Text(step.observation, style="dim"))


def main() -> None:
    """Run the command; an error that the user can act on is one sentence, not a traceback."""
    try:
        app()
    except AgentDistillError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
