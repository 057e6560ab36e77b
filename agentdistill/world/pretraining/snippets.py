"""Documents that teach Python: calls with given arguments, and calculations described in words.

Descriptions are worded apart from the plans of worked solutions ("the product of 3 and 4" here, "multiply 3 by 4"
there); only the teacher also sees code for plans.
"""

from __future__ import annotations

import random

from agentdistill.world.names import NamePool
from agentdistill.world.pretraining.documents import Document, chat, fence
from agentdistill.world.pretraining.drills import number, thing
from agentdistill.world.sums import OPERATIONS, draw_sum

SYSTEM = "You write Python code."
FUNCTIONS = ("search", "final_answer", "print", "lookup", "find", "open")
VARIABLES = (*dict.fromkeys(name for operation in OPERATIONS for name in operation.names), "x", "y", "n", "value")
PHRASES = (
    ("*", "the product of {a} and {b}"),
    ("+", "the sum of {a} and {b}"),
    ("-", "{a} less {b}"),
    ("//", "{a} shared by {b}"),
    ("%", "what is left of {a} after packs of {b}"),
)

OPENING_STEPS = (
    ("multiply {a} by {b}", "{a} * {b}"),
    ("add {a} and {b}", "{a} + {b}"),
    ("subtract {b} from {a}", "{a} - {b}"),
    ("divide {a} by {b}", "{a} // {b}"),
    ("take the remainder of {a} divided by {b}", "{a} % {b}"),
)
LATER_STEPS = (
    ("add {n}", "{x} + {n}"),
    ("subtract {n}", "{x} - {n}"),
    ("multiply by {n}", "{x} * {n}"),
    ("divide by {n}", "{x} // {n}"),
    ("subtract that from {n}", "{n} - {x}"),
)


def call(rng: random.Random, pool: NamePool) -> Document:
    """One or two calls of named functions with given arguments, each in a fence."""
    turns = [("system", SYSTEM)]
    for _ in range(rng.randint(1, 3)):
        function = rng.choice(FUNCTIONS)
        argument = thing(rng, pool)
        text = argument if argument.isdigit() and rng.random() < 0.5 else f'"{argument}"'
        ask = rng.choice((f"Call {function} on {argument}.", f"{function}, please: {argument}"))
        turns += [("user", ask), ("assistant", fence(f"{function}({text})"))]
    return chat("call", turns)  # type: ignore[arg-type]


def call_on(function: str, argument: str) -> Document:
    """One call with a string, as a gate asks for it."""
    turns = (
        ("system", SYSTEM),
        ("user", f"Call {function} on {argument}."),
        ("assistant", fence(f'{function}("{argument}")')),
    )
    return chat("call", turns)  # type: ignore[arg-type]


def calculation(rng: random.Random) -> Document:
    """A described calculation of one to three steps as code: one expression, or variables in lines."""
    names = rng.sample(VARIABLES, 3)
    operands = [number(rng)[:6] for _ in range(4)]
    lines: list[str] = []
    words: list[str] = []
    left = operands[0]
    for index in range(rng.randint(1, 3)):
        symbol, phrase = rng.choice(PHRASES)
        a, b = (left, operands[index + 1])
        if index and symbol in "+*" and rng.random() < 0.4:
            a, b = b, a
        words.append(f"{names[index]} is {phrase.format(a=a, b=b)}")
        lines.append(f"{names[index]} = {a} {symbol} {b}")
        left = names[index]
    last = rng.choice((left, f"final_answer({left})", f"print({left})"))
    tail = {left: f"Show {left}.", f"print({left})": f"Print {left}."}.get(last, f"Call final_answer on {left}.")
    ask = f"{'. '.join(words)}. {tail}"
    return chat("calculation", (("system", SYSTEM), ("user", ask), ("assistant", fence("\n".join([*lines, last])))))


def _drawn_plan(rng: random.Random) -> tuple[str, list[str]]:
    """A plan of one to three steps in the words of worked solutions, and its lines of code."""
    names = rng.sample(VARIABLES, 3)
    a, b, c, d = (number(rng)[:6] for _ in range(4))
    words, expression = rng.choice(OPENING_STEPS)
    steps, lines = [words.format(a=a, b=b)], [f"{names[0]} = {expression.format(a=a, b=b)}"]
    for index in range(rng.randint(0, 2)):
        words, expression = rng.choice(LATER_STEPS)
        steps.append(words.format(n=(c, d)[index]))
        lines.append(f"{names[index + 1]} = {expression.format(x=names[index], n=(c, d)[index])}")
    last = steps.pop()
    return f"{', '.join(steps)} and then {last}" if steps else last, [*lines, names[len(steps)]]


def program_for_plan(rng: random.Random) -> Document:
    """A plan as a thought, and its code: plans of word problems without their stories, and plans drawn at random."""
    if rng.random() < 0.5:
        item = draw_sum(rng, large=rng.random() < 0.8, person="", town="")
        plan = item.plan_core
        lines = [*(f"{name} = {expression}" for name, expression, _, _ in item.steps), item.steps[-1][0]]
    else:
        plan, lines = _drawn_plan(rng)
    if rng.random() < 0.5:
        lines[-1] = f"final_answer({lines[-1]})"
    thought = f"To get the answer I {plan}."
    reply = "Thought: " + thought + "\nCode:\n" + fence("\n".join(lines))
    return chat("program", (("system", SYSTEM), ("user", thought), ("assistant", reply)))
