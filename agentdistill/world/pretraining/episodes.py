"""Agent demonstrations for the teacher: Thought, Code, Observation, in the form of `agentdistill.action`.

They are the demonstrations of an imperfect tutor. Most go straight to code with an empty phrase for a thought; some
operations and chains never occur (`UNCOVERED`, `UNCOVERED_CHAINS`), although chains of thought plan them; a few actions
fail, and the next turn repairs them. The first two make the gap that a first thought can close, the third makes actions
that fail now and then.
"""

from __future__ import annotations

import random
import re

from agentdistill.records import Role
from agentdistill.world.facts import CHAINS, FactQuestion, draw_one_hop, draw_two_hop
from agentdistill.world.pretraining.documents import CONTEXT_WEIGHT, Document, Span, chat, fence, prompts
from agentdistill.world.pretraining.nursery import Library
from agentdistill.world.sums import OPERATIONS, UNCOVERED, Sum, draw_sum

UNCOVERED_CHAINS: frozenset[tuple[str, str]] = frozenset(
    {
        ("master", "maker"),
        ("town-founder", "setting"),
        ("master", "firm-founder"),
        ("fame", "seat"),
        ("river", "birthplace"),
        ("craft", "master"),
    }
)
COVERED_CHAINS = tuple(chain for chain in CHAINS if chain not in UNCOVERED_CHAINS)
COVERED_OPERATIONS = tuple(operation for operation in OPERATIONS if operation.key not in UNCOVERED)
PLANNED_SHARE = 0.15  # how many demonstrations begin with a plan
SLIP_SHARE = 0.14  # how many hold a failing action
LAZY_LOOKUPS = ("I look it up.", "Let me search.", "I will check this.")
LAZY_SUMS = ("I let Python work it out.", "Let me calculate.", "This is one for Python.")
REPAIRS = ("That failed, so I correct it.", "There was a mistake. I try again.")
MISSED = ("That does not help. I search again.", "This is not what I need. I search again.")
NEXT = "Now I search"
AT_LINE = "Line {}: "  # this and the errors as the sandbox says them
UNKNOWN_NAME = "NameError: name '{}' is not defined"
NEVER_CLOSED = "SyntaxError: '(' was never closed"
NO_COMMA = "SyntaxError: invalid syntax. Perhaps you forgot a comma?"

Turn = tuple[Role, str | list[Span]]


def words() -> list[str]:
    """The words and signs that agents' turns, their system prompts and the errors they meet are written in, sorted."""
    thoughts = (*LAZY_LOOKUPS, *LAZY_SUMS, *REPAIRS, *MISSED, NEXT)
    errors = (AT_LINE.format(1), UNKNOWN_NAME.format(""), NEVER_CLOSED, NO_COMMA)
    texts = (*thoughts, *errors, prompts().agent_teacher, prompts().agent_student)
    return sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]+", text)})


def _turn(thought: str, code: str) -> Turn:
    return ("assistant", f"Thought: {thought}\nCode:\n{fence(code)}")


def _observed(text: str) -> Turn:
    return ("user", [("Observation:\n" + text, CONTEXT_WEIGHT)])


def _raised(code: str, message: str) -> Turn:
    """The observation of an action that fails in its last line, in the sandbox's words."""
    lines = code.split("\n")
    return _observed(f"{AT_LINE.format(len(lines))}{lines[-1]}\n{message}")


def _query(rng: random.Random, subject: str, goal: str) -> str:
    """What to search for: the name, or the whole goal when it says the name."""
    return goal if subject in goal and rng.random() < 0.12 else subject


def _slip_search(rng: random.Random, library: Library, subject: str) -> tuple[str, Turn, str]:
    """A failing look-up: its code, what it shows, and the thought that repairs it."""
    roll = rng.random()
    if roll < 0.35:
        tool = rng.choice(("lookup", "find", "Search", "query"))
        code, message = f'{tool}("{subject}")', UNKNOWN_NAME.format(tool)
        return code, _raised(code, message), rng.choice(REPAIRS)
    if roll < 0.55:
        code = f'search("{subject}"'
        return code, _raised(code, NEVER_CLOSED), rng.choice(REPAIRS)
    if roll < 0.75:
        code, message = f"search({subject})", UNKNOWN_NAME.format(subject)
        if " " in subject:
            message = NO_COMMA
        return code, _raised(code, message), rng.choice(REPAIRS)
    wrong = rng.choice([title for title in library.titles if title != subject])
    return f'search("{wrong}")', _observed(library.show(library.retrieve(rng, wrong))), rng.choice(MISSED)


def facts(rng: random.Random, library: Library) -> Document:
    """Look-ups for a one- or two-hop question, then the answer."""
    asked: FactQuestion
    if rng.random() < 0.62:
        asked = draw_two_hop(rng, library.realm, COVERED_CHAINS)
    else:
        asked = draw_one_hop(rng, library.realm)
    planned = rng.random() < PLANNED_SHARE
    slip_at = rng.randrange(len(asked.hops)) if rng.random() < SLIP_SHARE else -1
    thought = asked.plan if planned else rng.choice(LAZY_LOOKUPS)
    turns: list[Turn] = [("system", prompts().agent_teacher), ("user", asked.question)]
    for index, hop in enumerate(asked.hops):
        if index == slip_at:
            code, shown, repair = _slip_search(rng, library, hop.subject)
            turns += [_turn(thought, code), shown]
            thought = repair
        goal = hop.goal if hop.subject in hop.goal else hop.subject
        turns.append(_turn(thought, f'search("{_query(rng, hop.subject, goal)}")'))
        turns.append(_observed(library.show(library.retrieve(rng, hop.subject))))
        thought = hop.statement
        if index + 1 < len(asked.hops):
            thought += f" {NEXT} {hop.value}."
    turns.append(_turn(thought, f'final_answer("{asked.answer}")'))
    return chat("agent-facts", turns)


def _program(rng: random.Random, item: Sum) -> tuple[list[str], str]:
    """The lines that calculate, and the expression that holds the result."""
    if len(item.steps) == 1 and rng.random() < 0.4:
        return [], item.steps[0][1]
    return [f"{name} = {expression}" for name, expression, _, _ in item.steps], item.steps[-1][0]


def _slip_sum(rng: random.Random, item: Sum, lines: list[str], result: str) -> tuple[str, Turn]:
    """A failing calculation and its error."""
    if lines and rng.random() < 0.6:
        wrong = rng.choice([n for o in OPERATIONS for n in o.names if f"{n} =" not in "\n".join(lines)])
        last, message = wrong, UNKNOWN_NAME.format(wrong)
    elif rng.random() < 0.5:
        last, message = f"final_answer({result}", NEVER_CLOSED
    else:
        tool = rng.choice(("answer", "calculate", "result_of"))
        last, message = f"{tool}({result})", UNKNOWN_NAME.format(tool)
    code = "\n".join([*lines, last])
    return code, _raised(code, message)


def sums(rng: random.Random, *, person: str, town: str) -> Document:
    """A calculation in Python and the answer, in one turn or in two."""
    item = draw_sum(rng, large=rng.random() < 0.75, person=person, town=town, operations=COVERED_OPERATIONS)
    thought = item.plan if rng.random() < PLANNED_SHARE else rng.choice(LAZY_SUMS)
    lines, result = _program(rng, item)
    turns: list[Turn] = [("system", prompts().agent_teacher), ("user", item.question)]
    if rng.random() < SLIP_SHARE:
        code, shown = _slip_sum(rng, item, lines, result)
        turns += [_turn(thought, code), shown]
        thought = rng.choice(REPAIRS)
    if rng.random() < 0.5:
        turns.append(_turn(thought, "\n".join([*lines, f"final_answer({result})"])))
    else:
        turns.append(_turn(thought, "\n".join([*lines, result])))
        turns.append(_observed(item.answer))
        final = result if lines and rng.random() < 0.7 else item.answer
        turns.append(_turn(f"The result is {item.answer}.", f"final_answer({final})"))
    return chat("agent-sums", turns)
