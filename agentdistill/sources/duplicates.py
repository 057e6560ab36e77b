"""Find questions that are the same but for wording: exact after normalisation, or near by MinHash.

Near means: Jaccard similarity of word trigrams at least the threshold, the same numbers in the same order, and the same
answer. Word problems that differ in a number are different problems, and so are "the same color" and "different
colors", which differ in a word and in the answer. How a formula is typeset does not count. MinHash only proposes pairs;
the similarity is then computed exactly, so no pair is reported by chance (a pair can be missed, see `_bands`). MinHash:
Broder 1997; banding: Indyk and Motwani 1998, as `datasketch` implements them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agentdistill.records import Problem

PERMUTATIONS = 128
SHINGLE = 3  # words
# Digits are words of their own: "\leq 5" may be written "\leq5". So are the characters of scripts without spaces.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\d+|[^\W\d\u3040-\u30ff\u3400-\u9fff]+|[^\w\s]")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_RAISED = re.compile("[\u00b2\u00b3\u00b9\u2070\u2074-\u2079]+")  # 2⁵ is not 25
_THOUSANDS = re.compile(r"(?<=\d)(?:,|\{,\})(?=\d{3}(?!\d))")
_TYPESETTING = re.compile(r"\$|\\[,;:! ]|\\(?:left|right|displaystyle)(?![A-Za-z])")


@dataclass(frozen=True)
class Pair:
    """Two questions that count as one: `first` comes earlier and stays."""

    first: Problem
    second: Problem
    similarity: float


def normalise(question: str) -> str:
    """Return `question` in lower case, NFKC, words and signs parted by single spaces, final punctuation removed."""
    words = _WORD.findall(_plain(question).lower())
    while words and (words[-1] in ".?" or (words[-1] == "!" and not _is_factorial(words))):
        words.pop()
    return " ".join(words)


def _plain(text: str) -> str:
    """Return `text` without what only typesets it."""
    raised = _RAISED.sub(lambda digits: f"^{digits.group()}", text)
    return _TYPESETTING.sub(" ", _THOUSANDS.sub("", unicodedata.normalize("NFKC", raised)))


def _is_factorial(words: Sequence[str]) -> bool:
    return len(words) > 1 and (len(words[-2]) == 1 or words[-2].isdigit())


def find_duplicates(problems: Iterable[Problem], *, threshold: float) -> list[Pair]:
    """Return each problem that repeats an earlier one, with the earliest such one."""
    index = _Index(threshold)
    pairs: list[Pair] = []
    for problem in problems:
        if (pair := index.match(problem)) is None:
            index.add(problem)
        else:
            pairs.append(pair)
    return pairs


def find_overlap(known: Iterable[Problem], problems: Iterable[Problem], *, threshold: float) -> list[Pair]:
    """Return each problem of `problems` that repeats one of `known`."""
    index = _Index(threshold)
    for problem in known:
        index.add(problem)
    return [pair for problem in problems if (pair := index.match(problem)) is not None]


class _Index:
    def __init__(self, threshold: float) -> None:
        from datasketch import MinHash, MinHashLSH

        self._threshold = threshold
        self._minhash = MinHash
        self._near = MinHashLSH(params=_bands(threshold), num_perm=PERMUTATIONS)
        self._exact: dict[str, Problem] = {}
        self._seen: list[tuple[Problem, frozenset[str], list[str]]] = []

    def match(self, problem: Problem) -> Pair | None:
        """Pair `problem` with the earliest one that it repeats."""
        text = normalise(problem.question)
        if text in self._exact:
            return Pair(self._exact[text], problem, 1.0)
        shingles, numbers = _shingles(text), _numbers(problem)
        for key in sorted(self._near.query(self._sketch(shingles))):
            other, other_shingles, other_numbers = self._seen[key]
            similarity = len(shingles & other_shingles) / len(shingles | other_shingles)
            if similarity >= self._threshold and numbers == other_numbers and _answers(problem) & _answers(other):
                return Pair(other, problem, similarity)
        return None

    def add(self, problem: Problem) -> None:
        text = normalise(problem.question)
        shingles = _shingles(text)
        self._exact.setdefault(text, problem)
        self._near.insert(len(self._seen), self._sketch(shingles))
        self._seen.append((problem, shingles, _numbers(problem)))

    def _sketch(self, shingles: Iterable[str]) -> Any:
        sketch = self._minhash(num_perm=PERMUTATIONS, seed=1)
        sketch.update_batch([shingle.encode() for shingle in sorted(shingles)])
        return sketch


def _bands(threshold: float) -> tuple[int, int]:
    """Return the number of bands and their rows. A pair of similarity s is proposed with 1 - (1 - s^rows)^bands.

    With 4 rows that is 0.9998 at 0.7 and 0.99999995 at 0.8; with 2 rows 0.99998 at 0.4, and many pairs to look at.
    """
    rows = 4 if threshold >= 0.7 else 2
    return PERMUTATIONS // rows, rows


def _numbers(problem: Problem) -> list[str]:
    return _NUMBER.findall(_plain(problem.question))


def _answers(problem: Problem) -> set[str]:
    return {normalise(answer) for answer in (problem.answer, *problem.aliases)}


def _shingles(text: str) -> frozenset[str]:
    words: Sequence[str] = text.split(" ")
    if len(words) <= SHINGLE:
        return frozenset([text])
    return frozenset(" ".join(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1))
