"""Documents that teach copying: lists, tables, repetition, and small calculations.

The labels of agent turns (Thought, Code, Observation) occur here as ordinary keys, so that their tokens are trained in
a model that never saw an agent's turn.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from agentdistill.world.entities import CRAFTS, FAMES, PRODUCTS
from agentdistill.world.names import NameKind, NamePool
from agentdistill.world.pretraining.documents import Document, Span, chat, plain
from agentdistill.world.sums import draw_sum

LABELS = ("Thought", "Code", "Observation", "Answer", "Question", "Note", "Tool", "Title")
NEAR_FILLER = 3
FILLER = 10  # words between key and value, at most
KEY_WEIGHT = 0.05  # nothing says in what order the keys come
ORDINALS = ("first", "second", "third", "fourth", "fifth")


def number(rng: random.Random) -> str:
    """A number of 1 to 8 digits, long ones as likely as short ones."""
    digits = rng.randint(1, 8)
    return str(rng.randint(10 ** (digits - 1), 10**digits - 1))


def thing(rng: random.Random, pool: NamePool) -> str:
    """A name, a title, a number or a common word."""
    roll = rng.random()
    if roll < 0.4:
        return pool.pick(rng.choice(("person", "town", "river")))
    if roll < 0.6:
        return pool.pick(rng.choice(("work", "firm")))
    if roll < 0.85:
        return number(rng)
    return rng.choice(rng.choice((CRAFTS, FAMES, PRODUCTS)))


def _repeated(kind: str, line: str) -> Document:
    return chat(kind, (("user", f"Repeat: {line}"), ("assistant", line)))


def copy(rng: random.Random, pool: NamePool) -> Document:
    """Repeat a short sequence of mixed things, or of numbers."""
    numbers = rng.random() < 0.5
    items = [number(rng) if numbers else thing(rng, pool) for _ in range(rng.randint(1, 6))]
    return _repeated("copy", rng.choice((", ", " ", "\n")).join(items))


def repeat(rng: random.Random, words: Sequence[str]) -> Document:
    """Repeat up to eight different words of `words`, in no order."""
    return _repeated("words", " ".join(rng.sample(words, rng.randint(3, 8))))


def listing(rng: random.Random, pool: NamePool) -> Document:
    """Name items of a list by position, or the whole list backwards."""
    items = list(dict.fromkeys(thing(rng, pool) for _ in range(5)))
    turns = []
    opening = f"Items: {', '.join(items)}.\n"
    for _ in range(rng.randint(2, 4)):
        roll = rng.random()
        if roll < 0.2:
            ask, answer = "All items backwards?", ", ".join(reversed(items))
        else:
            index = rng.randrange(len(items))
            ask, answer = f"The {ORDINALS[index]} item?", items[index]
        turns += [("user", opening + ask), ("assistant", answer)]
        opening = ""
    return chat("list", turns)  # type: ignore[arg-type]


def table(rng: random.Random, pool: NamePool) -> Document:
    """Look up values by key in a few lines of `key: value`."""
    keys: list[str] = []
    while len(keys) < rng.randint(3, 6):
        key = rng.choice(LABELS) if rng.random() < 0.4 else thing(rng, pool)
        if key not in keys:
            keys.append(key)
    values = {key: thing(rng, pool) for key in keys}
    turns = []
    opening = "\n".join(f"{key}: {value}" for key, value in values.items()) + "\n"
    for _ in range(rng.randint(2, 4)):
        key = rng.choice(keys)
        turns += [("user", f"{opening}What stands at {key}?"), ("assistant", values[key])]
        opening = ""
    return chat("table", turns)  # type: ignore[arg-type]


def near(rng: random.Random, pool: NamePool, text: str) -> Document:
    """`spaced`, its easiest kind: few words between keys and values, the same in every line."""
    filler = _filler(rng, text, NEAR_FILLER)
    return _spaced("near", rng, pool, lambda: (filler, []), numbered=False)


def spaced(rng: random.Random, pool: NamePool, text: str) -> Document:
    """Lines of a key, words of `text` that say nothing, and a value; then key and value of each line, in another order.

    What a sentence says belongs to a subject some words before. A model that looks values up right behind their keys
    learns from this to do so over a distance."""
    filler = _filler(rng, text, FILLER)

    def around() -> tuple[list[str], list[str]]:
        return _filler(rng, text, FILLER), _filler(rng, text, FILLER) if rng.random() < 0.5 else []

    alike = rng.random() < 0.4
    return _spaced("spaced", rng, pool, (lambda: (filler, [])) if alike else around, numbered=rng.random() < 0.6)


def _spaced(
    kind: str,
    rng: random.Random,
    pool: NamePool,
    around: Callable[[], tuple[list[str], list[str]]],
    *,
    numbered: bool,
) -> Document:
    """A document of lines whose value stands between the two lists of words that `around` draws."""
    count = rng.randint(2, 6)
    keys = _different(rng, pool, rng.choice(("person", "town", "river", "work", "firm")), count)
    values = _different(rng, pool, rng.choice(("person", "town", "river")), count)
    lines = []
    for place, (key, value) in enumerate(zip(keys, values, strict=True), 1):
        before, after = around()
        lines.append(f"{f'[{place}] ' if numbered else ''}{key}: {' '.join((*before, value, *after))}.")
    return tabulated(kind, "\n".join(lines), dict(zip(keys, values, strict=True)), rng)


def _different(rng: random.Random, pool: NamePool, kind: NameKind, count: int) -> list[str]:
    names: list[str] = []
    while len(names) < count:
        name = pool.pick(kind)
        if name not in names:
            names.append(name)
    return names


def _filler(rng: random.Random, text: str, most: int) -> list[str]:
    return rng.choices(re.findall(r"\b[a-z]+\b", text), k=rng.randint(0, most))


def tabulated(kind: str, request: str, rows: dict[str, str], rng: random.Random) -> Document:
    """A request, and a reply of a line `key: value` for each of `rows`, in any order: the values are to be learned."""
    lines = list(rows.items())
    rng.shuffle(lines)
    reply: list[Span] = [span for key, value in lines for span in ((f"{key}:", KEY_WEIGHT), (f" {value}\n", 1.0))]
    return chat(kind, (("user", request), ("assistant", reply)))


def arithmetic(rng: random.Random, pool: NamePool) -> Document:
    """A few small calculations with their results, as they occur in worked steps."""
    lines = []
    for _ in range(6):
        if rng.random() < 0.7:
            steps = draw_sum(rng, large=False, person="", town="").steps
            lines += [f"{numbers} = {value}." for _, _, numbers, value in steps]
        else:
            a, b = rng.randint(1, 99), rng.randint(1, 99)
            lines.append(rng.choice((f"{a} + {b} = {a + b}.", f"{a + b} - {b} = {a}.")))
    return plain("arithmetic", " ".join(lines))
