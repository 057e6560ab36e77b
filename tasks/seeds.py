"""The pipeline under several seeds, and one table of them all.

`python -m tasks.seeds 0 1 2` runs `dvc repro` under each seed, gathers the grades, puts params.yaml and its results
back as they were, and writes `reports/seeds.md`. What a seed changes: the teacher's sampled turns, the start and order
of training, the students' sampled turns. The world, its questions and the embedded models stay. An interval takes the
answers of several seeds to one question as one cluster.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from agentdistill.errors import ConfigError
from agentdistill.evaluation import Interval, clustered, compare
from agentdistill.evaluation.questions import DECODINGS, RECIPES, System
from agentdistill.records import Grade, Problem
from agentdistill.store.atomic import write_text
from agentdistill.store.jsonl import read_jsonl
from tasks.examined import examined
from tasks.stage import METRICS, PARAMS, load_params, run_command

OUT = Path("reports/seeds.md")
EVALUATIONS = Path("data/eval")
GRADES = Path("data/grades")
TEST = Path("data/problems/test.jsonl")
TEACHER = {"agent": ("teacher", "plain"), "agent_ftp": ("teacher", "first_thought")}
COMPARISONS = (
    ("first thought over none, the teacher's yield", TEACHER["agent_ftp"], TEACHER["agent"]),
    ("agent distillation over CoT distillation, greedy", ("agent", "greedy"), ("cot", "greedy")),
    ("first thought over none, greedy", ("agent_ftp", "greedy"), ("agent", "greedy")),
    ("first thought over none, SAG", ("agent_ftp", "sag"), ("agent", "sag")),
    ("SAG over one sample", ("agent", "sag"), ("agent", "single")),
    ("SAG over one sample, first thought", ("agent_ftp", "sag"), ("agent_ftp", "single")),
    ("SAG over greedy", ("agent", "sag"), ("agent", "greedy")),
    ("SAG over greedy, first thought", ("agent_ftp", "sag"), ("agent_ftp", "greedy")),
)


@dataclass
class Gathered:
    """What the seeds gave: for each system the outcomes of every question, in the order of the seeds."""

    outcomes: dict[System, dict[str, list[bool]]] = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)  # question id -> family
    examples: dict[str, list[int]] = field(default_factory=dict)  # recipe -> training examples, each seed

    def add_current(self, limit: int | None) -> None:
        """Take up the results that stand in the workspace, of at most `limit` questions."""
        self.families = {problem.id: problem.family for problem in examined(read_jsonl(TEST, Problem), limit)}
        for system in itertools.product(RECIPES, DECODINGS):
            recipe, decoding = system
            self._add_grades(system, EVALUATIONS / recipe / f"{decoding}.grades.jsonl")
        for recipe, system in TEACHER.items():
            self._add_grades(system, GRADES / f"{recipe}.jsonl")
        for recipe in ("cot", *TEACHER):
            metrics = json.loads((METRICS / f"filter-{recipe}.json").read_text(encoding="utf-8"))
            self.examples.setdefault(recipe, []).append(metrics["kept"])

    def _add_grades(self, system: System, path: Path) -> None:
        """A question with several attempts counts as the share of them that is right."""
        found = self.outcomes.setdefault(system, {})
        for grade in read_jsonl(path, Grade):
            found.setdefault(grade.problem_id, []).append(grade.correct is True)

    def by_seed(self, system: System) -> list[float]:
        """The accuracy under each seed."""
        outcomes = list(self.outcomes[system].values())
        attempts = len(outcomes[0]) // self.seeds
        return [
            fmean(right for one in outcomes for right in one[seed * attempts : (seed + 1) * attempts])
            for seed in range(self.seeds)
        ]

    @property
    def seeds(self) -> int:
        return len(self.examples["cot"])


@contextmanager
def _params_restored() -> Iterator[None]:
    before = PARAMS.read_text(encoding="utf-8")
    try:
        yield
    finally:
        write_text(PARAMS, before)


def with_seed(params: str, seed: int) -> str:
    """Return the text of a params.yaml with another seed, all else as it is."""
    changed, count = re.subn(r"^seed:\s*-?\d+", f"seed: {seed}", params, count=1, flags=re.MULTILINE)
    if not count:
        raise ConfigError(f"{PARAMS} has no line `seed: NUMBER`. Add it.")
    return changed


def reproduce() -> None:
    """Bring the results up to date and complete their run in MLflow, before params.yaml changes again."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    for command in (["dvc", "repro"], ["tasks.finalise"]):
        if subprocess.run([sys.executable, "-m", *command], check=False, env=environment).returncode != 0:
            sys.exit(
                f"{' '.join(command)} failed; its message stands above. params.yaml is as it was. Mend the cause and "
                "run this again."
            )


def _shown(interval: Interval, sign: str = "") -> str:
    return f"{interval.estimate:{sign}.3f} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _accuracies(gathered: Gathered, confidence: float) -> list[str]:
    lines = [_row("", *DECODINGS.values(), "Greedy, each seed"), "|---" * (len(DECODINGS) + 2) + "|"]
    for recipe, name in RECIPES.items():
        groups = [list(gathered.outcomes[recipe, decoding].values()) for decoding in DECODINGS]
        each = ", ".join(f"{mean:.3f}" for mean in gathered.by_seed((recipe, "greedy")))
        lines.append(_row(name, *(_shown(clustered(group, confidence)) for group in groups), each))
    return lines


def _by_family(gathered: Gathered) -> list[str]:
    families = sorted(set(gathered.families.values()))
    lines = [_row("Greedy", *families), "|---" * (len(families) + 1) + "|"]
    for recipe, name in RECIPES.items():
        outcomes = gathered.outcomes[recipe, "greedy"]
        means = [
            fmean(right for key, seeds in outcomes.items() if gathered.families[key] == family for right in seeds)
            for family in families
        ]
        lines.append(_row(name, *(f"{mean:.2f}" for mean in means)))
    return lines


def _differences(gathered: Gathered, confidence: float) -> list[str]:
    lines = [_row("Difference", "", "Each seed"), "|---|---|---|"]
    for name, first, second in COMPARISONS:
        difference = compare(gathered.outcomes[first], gathered.outcomes[second], confidence).difference
        pairs = zip(gathered.by_seed(first), gathered.by_seed(second), strict=True)
        lines.append(_row(name, _shown(difference, "+"), ", ".join(f"{a - b:+.3f}" for a, b in pairs)))
    return lines


def page(gathered: Gathered, command: str, date: datetime.date, confidence: float) -> str:
    """Return the table of all seeds as Markdown."""
    asked = len(gathered.families)
    examples = "; ".join(f"{RECIPES[key]} {', '.join(map(str, each))}" for key, each in gathered.examples.items())
    parts = [
        f"`{command}`, {date.isoformat()}: {gathered.seeds} seeds, {asked} test questions each; "
        f"{confidence:.0%} intervals.",
        *_accuracies(gathered, confidence),
        "",
        *_by_family(gathered),
        "",
        *_differences(gathered, confidence),
        "",
        f"Training examples, each seed: {examples}.",
    ]
    return "\n".join([parts[0], "", *parts[1:], ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--confidence", type=float, default=0.95, help="of the intervals, between 0 and 1")
    arguments = parser.parse_args()
    if not 0 < arguments.confidence < 1:
        parser.error(f"--confidence should be between 0 and 1, such as 0.95; got {arguments.confidence:g}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that params.yaml is put back
    gathered, limit = Gathered(), load_params().evaluate.limit
    with _params_restored():
        for seed in arguments.seeds:
            write_text(PARAMS, with_seed(PARAMS.read_text(encoding="utf-8"), seed))
            reproduce()
            gathered.add_current(limit)
    reproduce()
    today = datetime.datetime.now(tz=datetime.UTC).date()
    command = f"python -m tasks.seeds {' '.join(map(str, arguments.seeds))}"
    write_text(OUT, page(gathered, command, today, arguments.confidence))
    print(OUT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_command(main)
