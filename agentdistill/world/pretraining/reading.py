"""Documents that teach reading: articles, questions about passages, and notes that restate an article's facts."""

from __future__ import annotations

import random

from agentdistill.records import Role
from agentdistill.world.entities import Entity
from agentdistill.world.facts import RELATIONS, FactQuestion, one_hop
from agentdistill.world.pretraining.documents import Document, Span, chat, plain
from agentdistill.world.pretraining.nursery import Library

ASKED_FIRST_SHARE = 0.5


def _entity(library: Library, title: str) -> Entity:
    return next(entity for entity in library.realm.entities() if entity.name == title)


def article(rng: random.Random, library: Library) -> Document:
    """One article with its title."""
    title = rng.choice(library.titles)
    return plain("article", f"{title}: {library.articles[title]}", weight=0.5)


def _one(rng: random.Random, library: Library, title: str) -> FactQuestion:
    entity = _entity(library, title)
    return one_hop(rng, library.realm, entity, rng.choice(RELATIONS[type(entity)]))


def questions(rng: random.Random, library: Library) -> Document:
    """Passages, and questions about them; the answer alone or in a sentence.

    The questions follow the passages one by one, or stand before them all together: who looks something up knows the
    question first."""
    count = rng.choices((1, 2, 3), (0.2, 0.6, 0.2))[0]
    titles = library.retrieve(rng, rng.choice(library.titles), count)
    sentence = rng.random() < 0.5
    request = "Answer in a sentence." if sentence else "Answer in a word."
    asked = [_one(rng, library, rng.choice(titles)) for _ in range(rng.randint(2, 4))]
    answers = [item.hops[0].statement if sentence else item.answer for item in asked]
    if rng.random() < ASKED_FIRST_SHARE:
        number = rng.randint(1, 3)
        opening = " ".join(item.question for item in asked[:number])
        reply = (" " if sentence else ", ").join(answers[:number])
        return chat("reading", (("user", f"{opening}\n{request}\n{library.show(titles)}"), ("assistant", reply)))
    turns: list[tuple[Role, str]] = []
    opening = f"{library.show(titles)}\n{request}\n"
    for item, answer in zip(asked, answers, strict=True):
        turns += [("user", opening + item.question), ("assistant", answer)]
        opening = ""
    return chat("reading", turns)


def notes(rng: random.Random, library: Library) -> Document:
    """An article between others, and all its facts in plain sentences."""
    titles = library.retrieve(rng, rng.choice(library.titles), rng.choice((1, 2)))
    title = rng.choice(titles)
    entity = _entity(library, title)
    relations = list(RELATIONS[type(entity)])
    rng.shuffle(relations)
    kinds = {"birth-year": "year", "work-year": "year"}
    wanted = ", ".join(kinds.get(r.key, r.key).replace("-", " ") for r in relations)
    facts = [one_hop(rng, library.realm, entity, r).hops[0].statement for r in relations]
    body: list[Span] = [(" ".join(facts), 1.0)]
    parts = [library.show(titles), f"Notes on {title}: {wanted}."]
    if rng.random() < ASKED_FIRST_SHARE:
        parts.reverse()
    return chat("notes", (("user", "\n".join(parts)), ("assistant", body)))
