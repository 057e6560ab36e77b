"""Stage `download`: gather questions and corpus, make the splits disjoint, write both.

Reads the `download` block. Writes `data/problems/{train,validation,test}.jsonl`, `data/corpus.jsonl`,
`data/problems/sources.json` (what came from where, at which revision) and `reports/metrics/download.json`. Nothing
is written before all questions were read, and no file before it is whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from agentdistill.config import download as config
from agentdistill.errors import DataError
from agentdistill.records import Passage, Problem, Split, content_id
from agentdistill.sources.benchmarks import benchmark
from agentdistill.sources.duplicates import Pair, find_duplicates, find_overlap
from agentdistill.sources.fields import Fields, Origin, to_passages, to_problems
from agentdistill.sources.hub import load_hub
from agentdistill.sources.local import read_rows, stream_rows
from agentdistill.sources.splits import carve_validation, draw
from agentdistill.store.atomic import write_json
from agentdistill.store.jsonl import write_jsonl
from agentdistill.world import build
from tasks.stage import load_params, progress, run_stage, write_metrics

DATA = Path("data")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Gathered:
    """The questions that one source gave."""

    problems: list[Problem]
    revision: str | None = None
    skipped: int = 0


@dataclass(frozen=True)
class Corpus:
    """The passages that one source yields, and how many rows it has, None for a file that is not read yet."""

    passages: Iterable[Passage]
    rows: int | None
    revision: str | None = None


@dataclass
class Dataset:
    """The splits on their way to being disjoint, and the counts of what was found and removed."""

    splits: dict[Split, list[Problem]]
    duplicates: dict[str, int] = field(default_factory=dict)

    def remove(self, split: Split, pairs: Sequence[Pair]) -> None:
        """Take the later problem of each pair out of `split`."""
        gone = {id(pair.second) for pair in pairs}  # by identity: an exact repeat has the same content id
        self.splits[split] = [problem for problem in self.splits[split] if id(problem) not in gone]


def main() -> None:
    params = load_params().download
    gathered = [_gather(source) for source in params.sources]
    dataset = _disjoint([problem for one in gathered for problem in one.problems], params)

    corpora = [_corpus(corpus) for corpus in params.corpus]
    with progress(_total(corpora), "corpus", " passages") as advance:
        passages = write_jsonl(
            DATA / "corpus.jsonl",
            _distinct(chain.from_iterable(corpus.passages for corpus in corpora), advance),
        )
    for split in SPLITS:
        write_jsonl(DATA / "problems" / f"{split}.jsonl", dataset.splits[split])
    write_json(
        DATA / "problems" / "sources.json",
        {
            "questions": [_provenance(source, one) for source, one in zip(params.sources, gathered, strict=True)],
            "corpus": [
                {**corpus.model_dump(), "resolved_revision": one.revision}
                for corpus, one in zip(params.corpus, corpora, strict=True)
            ],
        },
    )
    metrics: dict[str, Any] = {split: _counts(dataset.splits[split]) for split in SPLITS}
    metrics |= {
        "passages": passages,
        "skipped_unanswered": sum(one.skipped for one in gathered),
        "duplicates": dataset.duplicates,
    }
    write_metrics("download", metrics)


def _gather(source: config.Source) -> Gathered:
    match source:
        case config.World():
            world = build(source.seed).problems
            sizes = {"train": source.train, "validation": source.validation, "test": source.test}
            parts = (
                draw([problem for problem in world if problem.split == split], sizes[split], source.seed)
                for split in SPLITS
            )
            return Gathered([problem for part in parts for problem in part])
        case config.Benchmark():
            known = benchmark(source.name)
            loaded = [
                load_hub(
                    known.dataset,
                    subset=part.subset,
                    split=part.split,
                    revision=source.revision,
                    snapshot=_path(source.snapshot),
                )
                for part in known.parts
            ]
            origin = Origin(source.name, source.split, known.answer_kind, known.needs_search)
            rows = (row for part in loaded for row in part.rows)
            return _drawn(rows, known.fields, origin, source, known.skip_unanswered, loaded[0].revision)
        case config.Hub():
            hub = load_hub(
                source.dataset,
                subset=source.subset,
                split=source.hub_split,
                revision=source.revision,
                snapshot=_path(source.snapshot),
            )
            return _mapped(hub.rows, source, hub.revision)
        case config.Local():
            return _mapped(read_rows(Path(source.path), records=source.records), source, None)


def _mapped(rows: Any, source: config.Hub | config.Local, revision: str | None) -> Gathered:
    names = source.fields
    fields = Fields(
        names.question, names.answer, names.aliases, names.family, boxed=source.answer_is_boxed, where=source.where
    )
    file = source.path if isinstance(source, config.Local) else None
    origin = Origin(source.name, source.split, source.answer_kind, source.needs_search, file)
    return _drawn(rows, fields, origin, source, source.skip_unanswered, revision)


def _drawn(
    rows: Any,
    fields: Fields,
    origin: Origin,
    source: config.Hub | config.Local | config.Benchmark,
    skip_unanswered: bool,
    revision: str | None,
) -> Gathered:
    problems, skipped = to_problems(rows, fields, origin, skip_unanswered=skip_unanswered)
    return Gathered(draw(problems, source.size, source.seed), revision, skipped)


def _corpus(corpus: config.Corpus) -> Corpus:
    match corpus:
        case config.WorldCorpus():
            world = build(corpus.seed).passages
            return Corpus(world, len(world))
        case config.LocalCorpus():
            rows = stream_rows(Path(corpus.path), records=corpus.records)
            return Corpus(to_passages(rows, name=corpus.path, id=corpus.id, title=corpus.title, text=corpus.text), None)
        case config.HubCorpus():
            hub = load_hub(
                corpus.dataset,
                subset=corpus.subset,
                split=corpus.hub_split,
                revision=corpus.revision,
                snapshot=_path(corpus.snapshot),
            )
            return Corpus(
                to_passages(hub.rows, name=corpus.dataset, id=corpus.id, title=corpus.title, text=corpus.text),
                len(hub.rows),
                hub.revision,
            )


def _disjoint(problems: Sequence[Problem], params: config.DownloadParams) -> Dataset:
    """Part the problems by split and remove repeats; the test split loses only rows that are wholly identical."""
    near = params.duplicates.threshold
    dataset = Dataset({split: [problem for problem in problems if problem.split == split] for split in SPLITS})
    for split in SPLITS:
        rows = dataset.splits[split]
        dataset.splits[split] = _merged(rows)
        if split == "test":
            dataset.duplicates["within_test_reported"] = len(find_duplicates(rows, threshold=near))
        else:
            dataset.remove(split, find_duplicates(dataset.splits[split], threshold=near))
        dataset.duplicates[f"within_{split}_removed"] = len(rows) - len(dataset.splits[split])
    held_out: tuple[tuple[Split, Split], ...] = (("test", "validation"), ("test", "train"), ("validation", "train"))
    for kept, split in held_out:
        overlap = find_overlap(dataset.splits[kept], dataset.splits[split], threshold=near)
        dataset.duplicates[f"{split}_with_{kept}_found"] = len(overlap)
        if params.duplicates.remove_overlap:
            dataset.remove(split, overlap)
    train, carved = carve_validation(dataset.splits["train"], params.validation, params.seed)
    dataset.splits["train"] = train
    dataset.splits["validation"] += carved
    for split in ("train", "test"):
        if not dataset.splits[split]:
            if not any(problem.split == split for problem in problems):
                raise DataError(f"No source gives questions for the {split} split. Add one under download.sources.")
            raise DataError(
                f"The {split} split is empty after removing repeats ({dataset.duplicates}). Add a source for it under "
                "download.sources, or set duplicates.remove_overlap to false."
            )
    return dataset


def _merged(problems: Sequence[Problem]) -> list[Problem]:
    """Make those of one id, hence of one question and answer, one problem with the aliases of all."""
    merged: dict[str, Problem] = {}
    for problem in problems:
        aliases = (*merged[problem.id].aliases, *problem.aliases) if problem.id in merged else problem.aliases
        first = merged.setdefault(problem.id, problem)
        merged[problem.id] = first.model_copy(update={"aliases": tuple(dict.fromkeys(aliases))})
    return list(merged.values())


def _total(corpora: Sequence[Corpus]) -> int | None:
    known = [corpus.rows for corpus in corpora if corpus.rows is not None]
    return sum(known) if len(known) == len(corpora) else None


def _distinct(passages: Iterable[Passage], advance: Callable[[], None]) -> Iterator[Passage]:
    """Pass passages on; two of one id could not be told apart in the index."""
    seen: set[str] = set()
    for passage in passages:
        if passage.id in seen:
            raise DataError(
                f"The passage id {passage.id!r} occurs more than once (title {passage.title!r}). Name another id "
                "column; if it is null, ids come from the content, and the same passage is there twice: remove one."
            )
        seen.add(passage.id)
        yield passage
        advance()


def _provenance(source: config.Source, gathered: Gathered) -> dict[str, Any]:
    """Say where the questions came from, so that they can be had again: settings, commit, digest of their ids."""
    return {
        **source.model_dump(),
        "resolved_revision": gathered.revision,
        "questions": len(gathered.problems),
        "digest": content_id(*(problem.id for problem in gathered.problems)),
    }


def _counts(problems: Sequence[Problem]) -> dict[str, Any]:
    return {
        "total": len(problems),
        "by_source": dict(sorted(Counter(problem.source for problem in problems).items())),
        "by_family": dict(sorted(Counter(problem.family for problem in problems).items())),
    }


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


if __name__ == "__main__":
    run_stage(main)
