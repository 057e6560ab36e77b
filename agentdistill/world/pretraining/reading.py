"""Documents that teach reading: articles, questions about passages, tables of what they say, and notes that restate an
article's facts."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from agentdistill.records import Role
from agentdistill.world.entities import Entity
from agentdistill.world.facts import RELATIONS, FactQuestion, Relation, one_hop
from agentdistill.world.pretraining import drills
from agentdistill.world.pretraining.documents import Document, Span, chat, plain
from agentdistill.world.pretraining.nursery import Library

ASKED_FIRST_SHARE = 0.5
WHOLE_SHARE = 0.5  # of the passages on things of one kind; of the others only the sentences with answers are shown
MOST_ASKED = 8  # questions of a conversation


def _entity(library: Library, title: str) -> Entity:
    return next(entity for entity in library.realm.entities() if entity.name == title)


def _label(relation: Relation) -> str:
    return "year" if relation.key.endswith("-year") else relation.key.replace("-", " ")


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
    items = [_one(rng, library, rng.choice(titles)) for _ in range(rng.randint(2, 4))]
    return _conversation(rng, "reading", library.show(titles), items, sentence=sentence)


def _conversation(
    rng: random.Random, kind: str, passages: str, items: Sequence[FactQuestion], *, sentence: bool
) -> Document:
    request = "Answer in a sentence." if sentence else "Answer in a word."
    answers = [item.hops[0].statement if sentence else item.answer for item in items]
    if rng.random() < ASKED_FIRST_SHARE:
        number = rng.randint(1, 3)
        opening = " ".join(item.question for item in items[:number])
        reply = (" " if sentence else ", ").join(answers[:number])
        return chat(kind, (("user", f"{opening}\n{request}\n{passages}"), ("assistant", reply)))
    turns: list[tuple[Role, str]] = []
    opening = f"{passages}\n{request}\n"
    for item, answer in zip(items, answers, strict=True):
        turns += [("user", opening + item.question), ("assistant", answer)]
        opening = ""
    return chat(kind, turns)


def _alike(rng: random.Random, library: Library, most: int) -> tuple[list[Entity], list[Relation]]:
    """Two to `most` entities of one kind, and the relations of that kind in any order."""
    kind = rng.choice(list(RELATIONS))
    entities = [entity for entity in library.realm.entities() if type(entity) is kind]
    relations = list(RELATIONS[kind])
    rng.shuffle(relations)
    return rng.sample(entities, rng.randint(2, most)), relations


def _passages(library: Library, asked: dict[str, list[FactQuestion]], *, whole: bool) -> str:
    """The articles of the titles in `asked`, or of each the sentences only that hold an answer."""
    lines = []
    for place, (title, items) in enumerate(asked.items(), 1):
        sentences = re.split(r"(?<=\.) ", library.articles[title])
        said = [s for s in sentences if whole or any(item.answer in s for item in items)]
        lines.append(f"[{place}] {title}: {' '.join(said)}")
    return "\n".join(lines)


def _asked(
    rng: random.Random, library: Library, entities: Sequence[Entity], relations: Sequence[Relation]
) -> dict[str, list[FactQuestion]]:
    return {e.name: [one_hop(rng, library.realm, e, relation) for relation in relations] for e in entities}


def listed(rng: random.Random, library: Library) -> Document:
    """`tabulated`, its easiest kind: one property of each thing, and nothing but the sentence that says it."""
    entities, relations = _alike(rng, library, 6)
    return _table(rng, "listed", library, entities, relations[:1], whole=False)


def tabulated(rng: random.Random, library: Library) -> Document:
    """Passages about things of one kind, and a table of some of what they say."""
    whole = rng.random() < WHOLE_SHARE
    entities, relations = _alike(rng, library, 3 if whole else 6)
    return _table(rng, "tabulated", library, entities, relations[: rng.randint(1, 3)], whole=whole)


def _table(
    rng: random.Random,
    kind: str,
    library: Library,
    entities: Sequence[Entity],
    relations: Sequence[Relation],
    *,
    whole: bool,
) -> Document:
    asked = _asked(rng, library, entities, relations)
    wanted = ", ".join(_label(relation) for relation in relations)
    rows = {title: ", ".join(item.answer for item in items) for title, items in asked.items()}
    passages = _passages(library, asked, whole=whole)
    return drills.tabulated(kind, f"{passages}\nIn a table: {wanted}.", rows, rng)


def compared(rng: random.Random, library: Library) -> Document:
    """Questions about passages on things of one kind, each of which answers the same questions: the relation alone does
    not say which passage is meant, as it often does where a town stands beside a person."""
    whole = rng.random() < WHOLE_SHARE
    entities, relations = _alike(rng, library, 3 if whole else 5)
    asked = _asked(rng, library, entities, relations if whole else relations[: rng.randint(1, 2)])
    items = [item for of_one in asked.values() for item in of_one]
    rng.shuffle(items)
    sentence = rng.random() < 0.3
    return _conversation(rng, "compared", _passages(library, asked, whole=whole), items[:MOST_ASKED], sentence=sentence)


def notes(rng: random.Random, library: Library) -> Document:
    """An article between others, and all its facts in plain sentences."""
    titles = library.retrieve(rng, rng.choice(library.titles), rng.choice((1, 2)))
    title = rng.choice(titles)
    entity = _entity(library, title)
    relations = list(RELATIONS[type(entity)])
    rng.shuffle(relations)
    wanted = ", ".join(_label(relation) for relation in relations)
    facts = [one_hop(rng, library.realm, entity, r).hops[0].statement for r in relations]
    body: list[Span] = [(" ".join(facts), 1.0)]
    parts = [library.show(titles), f"Notes on {title}: {wanted}."]
    if rng.random() < ASKED_FIRST_SHARE:
        parts.reverse()
    return chat("notes", (("user", "\n".join(parts)), ("assistant", body)))
