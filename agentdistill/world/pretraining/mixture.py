"""What each model reads: shares of the kinds of document, and the endless stream drawn by them.

The teacher reads articles and chains of thought about the train realm until it knows it by heart, and agent
demonstrations about practice realms. The student base reads practice realms only, and no agent's turn. In a second run
both learn step by step to match a question with its passage, and the student also repeats the words of agents' turns,
out of order: a token that no document held would be the same to it as all others of its kind, and an adapter that
leaves embeddings alone could not tell them apart.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Literal

from agentdistill.world import World
from agentdistill.world.encyclopedia import SPLITS
from agentdistill.world.facts import FactQuestion
from agentdistill.world.names import NamePool
from agentdistill.world.pretraining import drills, episodes, reading, reasoning, snippets
from agentdistill.world.pretraining.documents import Document
from agentdistill.world.pretraining.nursery import Library, Nursery

Role = Literal["teacher", "student"]
Phase = Literal["warm-up", "main", "near", "far", "lists", "matching", "settling"]
Stretch = tuple[Phase, int]  # a phase, and how many tokens of it are read
STUDIED_SHARE = 0.6  # of the teacher's chains of thought about the train realm: those that its questions ask for
WARM_UP = frozenset({"article", "reading", "notes", "copy", "list", "table", "call"})
WORDS_SHARE = 0.05  # of a student's other documents in the phases below: the words of agents' turns
# What each phase of a second run adds that teaches to tell passages apart, from easy to hard: a student that began with
# tables at every distance, then read passages, had learned nothing of it after 3.6 million tokens. The last phase gives
# the other documents their due again.
STEPS: dict[Phase, dict[str, float]] = {
    "near": {"near": 0.75},
    "far": {"near": 0.15, "spaced": 0.60},
    "lists": {"near": 0.05, "spaced": 0.15, "listed": 0.50},
    "matching": {"spaced": 0.05, "listed": 0.05, "tabulated": 0.20, "compared": 0.35},
    "settling": {"spaced": 0.02, "listed": 0.02, "tabulated": 0.06, "compared": 0.10},
}
SHARES: dict[Role, dict[str, float]] = {
    "teacher": {
        "article": 0.04,
        "reading": 0.12,
        "notes": 0.05,
        "copy": 0.03,
        "list": 0.02,
        "table": 0.02,
        "call": 0.02,
        "calculation": 0.03,
        "program": 0.08,
        "arithmetic": 0.08,
        "cot-facts": 0.18,
        "cot-sums": 0.16,
        "agent-facts": 0.10,
        "agent-sums": 0.08,
    },
    "student": {
        "article": 0.06,
        "reading": 0.22,
        "notes": 0.11,
        "copy": 0.04,
        "list": 0.05,
        "table": 0.06,
        "call": 0.09,
        "calculation": 0.09,
        "arithmetic": 0.09,
        "cot-facts": 0.08,
        "cot-sums": 0.11,
    },
}


def _beside(shares: dict[str, float], others: dict[str, float]) -> dict[str, float]:
    """`others`, and `shares` scaled to leave room for them."""
    left = 1 - sum(others.values())
    return {kind: share * left for kind, share in shares.items()} | others


class Mixture:
    """An endless, seeded stream of documents for one role."""

    def __init__(self, role: Role, world: World, seed: int) -> None:
        self._rng = random.Random(f"mixture-{role}-{seed}")
        self._role = role
        unseen = world.names("validation", "test")
        self._nursery = Nursery(self._rng, world.names(*SPLITS))
        self._pool = NamePool(self._rng, tuple(sorted(unseen)))
        self._held_out_questions = frozenset(p.question for p in world.problems if p.split != "train")
        train = (world.items[p.id] for p in world.problems if p.split == "train")
        self._studied = [item for item in train if isinstance(item, FactQuestion)]
        realm = world.realms["train"]
        self._home = Library(self._rng, realm)
        for passage in world.passages:
            if passage.title in self._home.articles:
                self._home.articles[passage.title] = passage.text
        rng, pool = self._rng, self._pool
        self._makers: dict[str, Callable[[], Document]] = {
            "article": lambda: reading.article(rng, self._library(0.6)),
            "reading": lambda: reading.questions(rng, self._library(0.0)),
            "notes": lambda: reading.notes(rng, self._library(0.0)),
            "copy": lambda: drills.copy(rng, pool),
            "list": lambda: drills.listing(rng, pool),
            "table": lambda: drills.table(rng, pool),
            "call": lambda: snippets.call(rng, pool),
            "calculation": lambda: snippets.calculation(rng),
            "program": lambda: snippets.program_for_plan(rng),
            "arithmetic": lambda: drills.arithmetic(rng, pool),
            "cot-facts": self._cot_facts,
            "cot-sums": lambda: reasoning.sums(rng, person=pool.pick("person"), town=pool.pick("town")),
            "agent-facts": lambda: episodes.facts(rng, self._nursery.read()),
            "agent-sums": lambda: episodes.sums(rng, person=pool.pick("person"), town=pool.pick("town")),
            "near": lambda: drills.near(rng, pool, self._words()),
            "spaced": lambda: drills.spaced(rng, pool, self._words()),
            "listed": lambda: reading.listed(rng, self._nursery.read()),
            "tabulated": lambda: reading.tabulated(rng, self._nursery.read()),
            "compared": lambda: reading.compared(rng, self._nursery.read()),
            "words": lambda: drills.repeat(rng, episodes.words()),
        }

    def _library(self, home_share: float) -> Library:
        """The train realm with probability `home_share` for the teacher, else a practice realm."""
        at_home = self._role == "teacher" and self._rng.random() < home_share
        return self._home if at_home else self._nursery.read()

    def _words(self) -> str:
        """A text whose words are of no account."""
        return " ".join(self._rng.sample([*self._nursery.read().articles.values()], 8))

    def _cot_facts(self) -> Document:
        library = self._library(0.85)
        if library is self._home and self._rng.random() < STUDIED_SHARE:
            return reasoning.solution(self._rng.choice(self._studied), known=True)
        return reasoning.facts(self._rng, library, known=library is self._home)

    def _shares(self, phase: Phase) -> dict[str, float]:
        shares = SHARES[self._role]
        if phase == "warm-up":
            return {kind: share for kind, share in shares.items() if kind in WARM_UP}
        if phase in STEPS and self._role == "student":
            shares = _beside(shares, {"words": WORDS_SHARE})
        return _beside(shares, STEPS.get(phase, {}))

    def documents(self, phase: Phase) -> Iterator[Document]:
        """Yield documents without end: of every kind that the role reads in that phase."""
        shares = self._shares(phase)
        kinds, weights = list(shares), list(shares.values())
        while True:
            document = self._makers[self._rng.choices(kinds, weights)[0]]()
            if not any(span[0] in self._held_out_questions for span in document.spans):
                yield document
