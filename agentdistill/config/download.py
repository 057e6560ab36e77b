"""The `download` block: which questions and which corpus an experiment uses, and how they are made disjoint."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agentdistill.config.block import Block, Count
from agentdistill.records import AnswerKind

Size = Annotated[int, Field(ge=0)]


class FieldNames(Block):
    """Columns of a dataset that become a problem's fields. A null column means that the dataset has none."""

    question: str
    answer: str
    aliases: str | None
    family: str | None


class World(Block):
    """The embedded world, with the splits it comes with. A null size takes the whole split."""

    type: Literal["world"]
    seed: int
    train: Size | None
    validation: Size | None
    test: Size | None


class _Questions(Block):
    """What every dataset of questions needs: where its rows go, how many, and which draw."""

    split: Literal["train", "test"]
    size: Count | None
    seed: int


class _Mapped(_Questions):
    """A dataset that the user describes column by column."""

    name: Annotated[str, Field(min_length=1)]
    fields: FieldNames
    where: dict[str, tuple[str, ...]]
    answer_kind: AnswerKind
    answer_is_boxed: bool
    needs_search: bool
    skip_unanswered: bool


class Hub(_Mapped):
    """Any dataset of the hub. A null revision is resolved at the time of the download and recorded; `snapshot` is a
    folder with a copy of the repository, to be used without network."""

    type: Literal["hub"]
    dataset: str
    subset: str | None
    hub_split: str
    revision: str | None
    snapshot: str | None


class Local(_Mapped):
    """A JSON, JSONL, CSV or Parquet file. `records` names the key of a JSON object that holds the list of rows."""

    type: Literal["local"]
    path: str
    records: str | None


class Benchmark(_Questions):
    """A set of the paper by its name; `agentdistill.sources.benchmarks` knows its repository and columns."""

    type: Literal["benchmark"]
    name: str
    revision: str | None
    snapshot: str | None


Source = Annotated[World | Hub | Local | Benchmark, Field(discriminator="type")]


class WorldCorpus(Block):
    """The articles of the embedded world."""

    type: Literal["world"]
    seed: int


class LocalCorpus(Block):
    """Passages from a file. A null id column gives each passage the hash of its content."""

    type: Literal["local"]
    path: str
    records: str | None
    id: str | None
    title: str
    text: str


class HubCorpus(Block):
    """Passages from a dataset of the hub."""

    type: Literal["hub"]
    dataset: str
    subset: str | None
    hub_split: str
    revision: str | None
    snapshot: str | None
    id: str | None
    title: str
    text: str


Corpus = Annotated[WorldCorpus | LocalCorpus | HubCorpus, Field(discriminator="type")]


class Duplicates(Block):
    """When two questions count as one: Jaccard similarity of word trigrams at least `threshold`, numbers, answer.

    Below 0.4 pairs would be missed, and two questions have little in common.
    """

    threshold: Annotated[float, Field(ge=0.4, le=1)]
    remove_overlap: bool


class DownloadParams(Block):
    """`validation` questions are carved from train, on top of those that a source brings itself."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1)]
    corpus: Annotated[tuple[Corpus, ...], Field(min_length=1)]
    validation: Size
    seed: int
    duplicates: Duplicates
