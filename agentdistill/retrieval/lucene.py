"""Search a Lucene index by BM25 from asyncio.

Queries are bags of words: the analyser drops punctuation, so no character is an operator and none needs escaping.
Queries that arrive while a search is running are answered together by the next one, on the retriever's own thread; an
answered query is remembered. Equal scores are ordered by passage id, so results do not depend on how the index was
written.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from agentdistill.errors import RetrievalError
from agentdistill.records import Passage, content_id
from agentdistill.retrieval.analysis import analyzer
from agentdistill.retrieval.index import SEGMENTS, read_manifest
from agentdistill.retrieval.jvm import anserini_version, java_class, java_exception

LONGEST_QUERY = 1_000  # Characters: Lucene refuses more than 1,024 different words in one query.
REMEMBERED_QUERIES = 10_000

Key = tuple[str, int]


class LuceneRetriever:
    """BM25 over an index made by `build_index`.

    `k1` (term frequency saturation) and `b` (length normalisation) are those of Robertson and Zaragoza, "The
    Probabilistic Relevance Framework: BM25 and Beyond" (2009). A retriever belongs to one event loop at a time.

    Raises:
        RetrievalError: the index is missing, broken or of another Anserini, or there is no Java 21.
    """

    def __init__(self, folder: Path, *, k1: float, b: float) -> None:
        manifest = read_manifest(folder)
        if manifest.anserini != anserini_version():
            raise RetrievalError(
                f"The index {folder} is of Anserini {manifest.anserini}, but this is {anserini_version()}, which may "
                "part words otherwise. Run the index stage again (`dvc repro --force --single-item index`)."
            )
        self._fingerprint = content_id("bm25", k1, b, manifest.fingerprint)
        try:
            self._searcher = java_class("io.anserini.search.SimpleSearcher")(str(folder / SEGMENTS))
            self._searcher.set_analyzer(analyzer(manifest.language, manifest.stemmer))
            self._searcher.set_bm25(float(k1), float(b))
            found = self._searcher.get_total_num_docs()
        except java_exception() as error:
            raise RetrievalError(f"Lucene cannot open {folder}: {error}. Run the index stage again.") from error
        if found != manifest.passages:
            raise RetrievalError(
                f"The index {folder} holds {found} passages, but its manifest says {manifest.passages}. Run the index "
                "stage again."
            )
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lucene")
        self._answers: dict[Key, tuple[Passage, ...]] = {}
        self._waiting: dict[Key, asyncio.Future[tuple[Passage, ...]]] = {}
        self._queue: list[Key] = []
        self._drain: asyncio.Task[None] | None = None

    @property
    def fingerprint(self) -> str:
        """Digest of the passages and the ranking settings, not of Lucene's files."""
        return self._fingerprint

    async def search(self, query: str, k: int) -> list[Passage]:
        """Return at most `k` passages, best first; none for a query without a searchable word.

        Raises:
            ValueError: the query is longer than 1,000 characters.
            RetrievalError: Lucene failed.
        """
        # Java cannot take lone surrogates; a search engine does not care how words are spaced.
        text = " ".join(query.encode("utf-8", "replace").decode("utf-8").split())
        if len(text) > LONGEST_QUERY:
            raise ValueError(f"The query is too long: {len(text)} characters, at most {LONGEST_QUERY} are allowed.")
        key = (text, k)
        if not text or k < 1:
            return []
        if key in self._answers:
            return list(self._answers[key])
        if key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().create_future()
            self._queue.append(key)
            if self._drain is None or self._drain.done():
                self._drain = asyncio.create_task(self._answer_queue())
        # Several callers may wait for one answer: the cancellation of one must not take it from the others.
        return list(await asyncio.shield(self._waiting[key]))

    def close(self) -> None:
        """Let go of the index files and the thread. No search may follow."""
        self._thread.shutdown()
        self._searcher.close()

    async def _answer_queue(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                try:
                    answers = await loop.run_in_executor(self._thread, self._search_batch, batch)
                except RetrievalError as error:
                    for key in batch:
                        self._waiting.pop(key).set_exception(error)
                    continue
                for key, answer in zip(batch, answers, strict=True):
                    self._remember(key, answer)
                    self._waiting.pop(key).set_result(answer)
        finally:
            for future in self._waiting.values():
                future.cancel()
            self._waiting.clear()
            self._queue.clear()

    def _remember(self, key: Key, answer: tuple[Passage, ...]) -> None:
        if len(self._answers) >= REMEMBERED_QUERIES:
            del self._answers[next(iter(self._answers))]  # The oldest: dicts keep their order.
        self._answers[key] = answer

    def _search_batch(self, keys: Sequence[Key]) -> list[tuple[Passage, ...]]:
        """Answer `keys` in one call to Java, which ranks for the largest k; runs on the retriever's thread."""
        try:
            array_list = java_class("java.util.ArrayList")
            queries, names = array_list(), array_list()
            for number, (query, _) in enumerate(keys):
                queries.add(query)
                names.add(str(number))
            threads = min(len(keys), os.cpu_count() or 1)
            found = self._searcher.batch_search(queries, names, max(k for _, k in keys), threads)
            return [tuple(map(_passage, list(found.get(str(n)))[:k])) for n, (_, k) in enumerate(keys)]
        except java_exception() as error:
            raise RetrievalError(f"Lucene failed to search: {error}.") from error


def _passage(hit: Any) -> Passage:
    document = json.loads(hit.lucene_document.get("raw"))
    title = document["title"]
    return Passage(id=document["id"], title=title, text=document["contents"][len(title) + 1 :])
