"""Choose questions worth reading and lay out their trajectories for the report.

The choice follows fixed rules (below, `KINDS`), never taste: of the questions that fit a rule, the families take turns
in the order of the test set. So the failures shown are as typical as the successes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agentdistill.action import OBSERVATION_LABEL, UnparsableAction, parse
from agentdistill.evaluation.questions import System
from agentdistill.evaluation.scores import Run
from agentdistill.records import Candidate, Problem, Step, Trajectory
from agentdistill.sag import FAILED


@dataclass(frozen=True)
class Ballot:
    """One distinct action of a step, how many candidates gave exactly it, and what became of it."""

    code: str
    result: str
    count: int
    group: int  # which result it stood for, numbered from 0 by first appearance; FAILED when the action failed
    won: bool


@dataclass(frozen=True)
class Turn:
    """One message of the model or to it, in its parts; `ballots` only where several candidates were drawn."""

    thought: str = ""
    code: str = ""
    observation: str = ""
    plain: str = ""  # a chain of thought, or a turn that could not be parsed
    prefix: str = ""  # the part of the thought that was forced
    ballots: tuple[Ballot, ...] = ()


@dataclass(frozen=True)
class Column:
    """One system's attempt at the question."""

    system: System
    correct: bool | None
    answer: str | None
    stop: str
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Example:
    """A question with the attempts that are shown side by side."""

    problem: Problem
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Kind:
    """A rule that chooses examples: `fits` sees each system's trajectory and whether it was right."""

    title: str
    note: str
    systems: tuple[System, ...]
    fits: Callable[[Sequence[Trajectory], Sequence[bool]], bool]


@dataclass(frozen=True)
class Gallery:
    """The examples of one kind, and how many questions would have fitted."""

    kind: Kind
    fitting: int
    examples: tuple[Example, ...] = field(default=())


def _vote_mattered(trajectory: Trajectory) -> bool:
    return any(step.votes[step.chosen] not in (FAILED, step.votes[0]) for step in trajectory.steps)


KINDS = (
    Kind(
        "The agent is right, the chain of thought is wrong",
        "Both students learned from the same teacher; only one of them can look things up and compute.",
        (("cot", "greedy"), ("agent_ftp", "greedy")),
        lambda _, right: not right[0] and right[1],
    ),
    Kind(
        "The first-thought prefix makes the difference",
        "The same student, trained on the teacher's plain trajectories and on those that began with a first thought.",
        (("agent", "greedy"), ("agent_ftp", "greedy")),
        lambda _, right: not right[0] and right[1],
    ),
    Kind(
        "The vote overruled or repaired the first candidate, and the answer is right",
        "Without the vote the first candidate would have been the action. Beside it is another sample without a vote.",
        (("agent_ftp", "single"), ("agent_ftp", "sag")),
        lambda tries, right: right[1] and _vote_mattered(tries[1]),
    ),
    Kind(
        "The vote overruled or repaired the first candidate, and the answer is not right",
        "The other questions where the vote changed an action, be it for the worse or too little for the better.",
        (("agent_ftp", "single"), ("agent_ftp", "sag")),
        lambda tries, right: not right[1] and _vote_mattered(tries[1]),
    ),
    Kind(
        "The full method fails",
        "What is left to improve.",
        (("agent_ftp", "greedy"), ("agent_ftp", "sag")),
        lambda _, right: not right[1],
    ),
)


def galleries(runs: Sequence[Run], problems: Sequence[Problem], limit: int) -> list[Gallery]:
    """Return up to `limit` examples of each kind for which both systems were evaluated and a question fits."""
    by_system = {(run.recipe, run.decoding): run for run in runs}
    found = []
    for kind in KINDS:
        if not all(system in by_system for system in kind.systems):
            continue
        chosen = [by_system[system] for system in kind.systems]
        fitting = list(_fitting(kind, chosen, problems))
        if fitting:
            examples = tuple(_example(problem, chosen, tries) for problem, tries in _by_turns(fitting)[:limit])
            found.append(Gallery(kind, len(fitting), examples))
    return found


Tries = tuple[Trajectory, ...]


def _fitting(kind: Kind, runs: Sequence[Run], problems: Sequence[Problem]) -> Iterator[tuple[Problem, Tries]]:
    firsts = [_first_attempts(run.trajectories) for run in runs]
    for problem in problems:
        if all(problem.id in first for first in firsts):
            tries = tuple(first[problem.id] for first in firsts)
            right = [run.grades[one.id].correct is True for run, one in zip(runs, tries, strict=True)]
            if kind.fits(tries, right):
                yield problem, tries


def _first_attempts(trajectories: Iterable[Trajectory]) -> Mapping[str, Trajectory]:
    first: dict[str, Trajectory] = {}
    for trajectory in trajectories:
        first.setdefault(trajectory.problem_id, trajectory)
    return first


def _by_turns(fitting: Sequence[tuple[Problem, Tries]]) -> list[tuple[Problem, Tries]]:
    """Let the families take turns, each in its own order."""
    families: defaultdict[str, list[tuple[Problem, Tries]]] = defaultdict(list)
    for item in fitting:
        families[item[0].family].append(item)
    ranked = [(place, item) for members in families.values() for place, item in enumerate(members)]
    return [item for _, item in sorted(ranked, key=lambda pair: pair[0])]


def _example(problem: Problem, runs: Sequence[Run], tries: Tries) -> Example:
    columns = [
        Column(
            system=(run.recipe, run.decoding),
            correct=run.grades[trajectory.id].correct,
            answer=trajectory.answer,
            stop=trajectory.stop,
            turns=tuple(_turns(trajectory)),
        )
        for run, trajectory in zip(runs, tries, strict=True)
    ]
    return Example(problem, tuple(columns))


def _turns(trajectory: Trajectory) -> Iterator[Turn]:
    """Lay out what followed the question; the steps are matched to the model's messages in order."""
    steps = iter(trajectory.steps)
    for message in trajectory.messages[2:]:
        if message.role == "assistant":
            step = next(steps, None)
            ballots = _ballots(step) if step is not None and len(step.candidates) > 1 else ()
            yield _model_turn(message.text, message.prefix, ballots)
        else:
            yield Turn(observation=message.text.removeprefix(OBSERVATION_LABEL).strip("\n"))


def _model_turn(text: str, prefix: int, ballots: tuple[Ballot, ...]) -> Turn:
    try:
        action = parse(text)
    except UnparsableAction:
        return Turn(plain=text, ballots=ballots)
    forced = text[:prefix].removeprefix("Thought:").strip()
    forced = forced if action.thought.startswith(forced) else ""
    thought = action.thought.removeprefix(forced).strip()
    return Turn(thought=thought, code=action.code, prefix=forced, ballots=ballots)


def _ballots(step: Step) -> tuple[Ballot, ...]:
    """Gather equal candidates, in the order of their first appearance."""
    groups: dict[int, int] = {}
    seen: dict[tuple[str, str, int], list[int]] = {}
    for index, (candidate, vote) in enumerate(zip(step.candidates, step.votes, strict=True)):
        group = FAILED if vote == FAILED else groups.setdefault(vote, len(groups))
        seen.setdefault((_shown_action(candidate), _shown_result(candidate), group), []).append(index)
    return tuple(
        Ballot(code, result, len(members), group, won=step.chosen in members)
        for (code, result, group), members in seen.items()
    )


def _shown_action(candidate: Candidate) -> str:
    return candidate.code if candidate.code is not None else candidate.text


def _shown_result(candidate: Candidate) -> str:
    outcome = candidate.outcome
    if not outcome.ok:
        return outcome.error or "failed"
    if outcome.final_answer is not None:
        return f"final answer: {outcome.final_answer}"
    return "\n".join(part for part in (outcome.logs.rstrip("\n"), outcome.value) if part) or "(no output)"
