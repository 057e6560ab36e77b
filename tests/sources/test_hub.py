"""The hub path with the real `datasets` library against a stub hub on loopback.

The libraries read the hub's address when they are imported, so each hub is visited by a process of its own, which
tries several loads and prints what came of each.
"""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from agentdistill.sources.benchmarks import BENCHMARKS
from tests.sources.stub_hub import Repository, serve

SHA = "0123456789abcdef0123456789abcdef01234567"
VISIT = """
import json, sys
from pathlib import Path
from agentdistill.errors import DataError
from agentdistill.sources.hub import load_hub
for line in sys.stdin:
    case = json.loads(line)
    snapshot = case.pop("snapshot", None)
    try:
        loaded = load_hub(**case, snapshot=snapshot and Path(snapshot))
        print(json.dumps({"rows": list(loaded.rows), "revision": loaded.revision}))
    except DataError as error:
        print(json.dumps({"error": str(error)}))
"""


def visit(endpoint: str, home: Path, *cases: dict[str, Any]) -> list[dict[str, Any]]:
    """Load each case in one process that knows `endpoint` as the hub; an empty cache unless `home` was used before."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_ETAG_TIMEOUT": "5",
        "HF_HUB_DOWNLOAD_TIMEOUT": "5",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    lines = "\n".join(json.dumps({"subset": None, "split": "train", "revision": None, **case}) for case in cases)
    ran = subprocess.run(
        [sys.executable, "-c", VISIT], input=lines, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def card(subsets: dict[str, dict[str, str]]) -> bytes:
    """The front matter that tells which files make which split of which subset."""
    lines = ["---", "configs:"]
    for subset, splits in subsets.items():
        lines += [f"- config_name: {subset}", "  data_files:"]
        for split, path in splits.items():
            lines += [f"  - split: {split}", f"    path: {path}"]
    return "\n".join([*lines, "---", ""]).encode()


ROWS = [{"problem": "What is 1+1?", "answer": "2"}, {"problem": "What is 2+2?", "answer": "4"}]


@pytest.mark.slow
def test_loads_fail_with_one_sentence_and_succeed_with_the_commit(tmp_path: Path) -> None:
    whole = Repository(
        SHA,
        {
            "README.md": card({"default": {"train": "data/train.parquet"}, "other": {"test": "other/test.parquet"}}),
            "data/train.parquet": parquet(ROWS),
            "other/test.parquet": parquet([{"problem": "q", "answer": "a"}]),
        },
    )
    cut = Repository(SHA, {"train.jsonl": b'{"problem": "q", "answer": "a"}\n' * 100}, truncated={"train.jsonl"})
    broken = Repository(SHA, {"train.parquet": parquet(ROWS)[:-20]})
    with serve({"some/whole": whole, "some/cut": cut, "some/broken": broken}) as endpoint:
        good, other, tagged, no_repo, no_revision, no_subset, no_split, no_name, partial, corrupt = visit(
            endpoint,
            tmp_path / "home",
            {"dataset": "some/whole"},
            {"dataset": "some/whole", "subset": "other", "split": "test"},
            {"dataset": "some/whole", "revision": SHA},
            {"dataset": "some/absent"},
            {"dataset": "some/whole", "revision": "v9"},
            {"dataset": "some/whole", "subset": "nope"},
            {"dataset": "some/whole", "split": "dev"},
            {"dataset": "not/a/name"},
            {"dataset": "some/cut"},
            {"dataset": "some/broken"},
        )
    assert good == {"rows": ROWS, "revision": SHA}
    assert other == {"rows": [{"problem": "q", "answer": "a"}], "revision": SHA}
    assert tagged == good
    assert "some/absent" in no_repo["error"]
    assert "v9" in no_revision["error"]
    assert "nope" in no_subset["error"]
    assert "dev" in no_split["error"]
    assert "owner/name" in no_name["error"]
    for answer in (partial, corrupt):
        assert "Could not load" in answer["error"]
    errors = [answer["error"] for answer in (no_repo, no_revision, no_subset, no_split, no_name, partial, corrupt)]
    assert all("\n" not in error for error in errors)


@pytest.mark.slow
def test_unreachable_hub_is_an_error_even_with_a_cache_and_a_snapshot_needs_no_hub(tmp_path: Path) -> None:
    repository = Repository(SHA, {"train.jsonl": b'{"problem": "q", "answer": "a"}\n'})
    with serve({"some/set": repository}) as endpoint:
        visit(endpoint, tmp_path / "home", {"dataset": "some/set"})
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    (snapshot / "train.jsonl").write_bytes(repository.files["train.jsonl"])
    unreachable, offline, absent = visit(
        endpoint,
        tmp_path / "home",
        {"dataset": "some/set"},
        {"dataset": "some/set", "snapshot": str(snapshot)},
        {"dataset": "some/set", "snapshot": str(tmp_path / "nowhere")},
    )
    assert "could not be reached" in unreachable["error"]
    assert offline == {"rows": [{"problem": "q", "answer": "a"}], "revision": None}
    assert "not a folder" in absent["error"]


@pytest.mark.slow
def test_a_snapshot_that_changed_is_read_anew_whatever_its_times_say(tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    file = snapshot / "train.jsonl"
    found = []
    for word in ("one", "two"):
        file.write_text(json.dumps({"q": word}) + "\n", encoding="utf-8")
        os.utime(file, (1_700_000_000, 1_700_000_000))  # as a copy that keeps them leaves it
        found += visit("http://127.0.0.1:9", tmp_path / "home", {"dataset": "some/set", "snapshot": str(snapshot)})
    assert [one["rows"] for one in found] == [[{"q": "one"}], [{"q": "two"}]]


# One row of each set of the paper, with the columns that its card gives.
SAMPLES: dict[str, dict[str, Any]] = {
    "hotpotqa-train": {"id": "1", "question": "q?", "answer": "a", "type": "bridge", "level": "hard"},
    "hotpotqa": {"id": "1", "question": "q?", "answer": "a", "type": "bridge", "level": "hard"},
    "bamboogle": {"query_id": "1", "query": "q?", "answers": ["a", "b"]},
    "musique": {"query_id": "1", "query": "q?", "answers": ["a", "b"]},
    "2wikimultihopqa": {"query_id": "1", "query": "q?", "answers": ["a", "b"]},
    "math-train-hard": {"problem": "q?", "level": "Level 5", "solution": r"So \boxed{a}.", "type": "Algebra"},
    "math-train-medium": {"problem": "q?", "level": "Level 2", "solution": r"So \boxed{a}.", "type": "Algebra"},
    "math-500": {"problem": "q?", "solution": "s", "answer": "a", "subject": "Algebra", "level": 3, "unique_id": "u"},
    "gsm-hard": {"input": "q?", "code": "c", "target": 13138980.0},
    "aime": {"id": 0, "problem": "q?", "solution": "s", "answer": "25", "url": "u"},
    "olymmath": {"problem": "q?", "answer": "a", "subject": "Algebra", "unique_id": "OlymMATH-EASY-0-EN"},
}


@pytest.mark.slow
def test_every_benchmark_of_the_paper_loads_through_its_mapping(tmp_path: Path) -> None:
    from agentdistill.sources.fields import Origin, to_problems

    repositories: dict[str, Repository] = {}
    layout: dict[str, dict[str, dict[str, str]]] = {}
    for name, known in BENCHMARKS.items():
        repository = repositories.setdefault(known.dataset, Repository(SHA, {}))
        for part in known.parts:
            path = f"{part.subset or 'default'}/{part.split}.parquet"
            layout.setdefault(known.dataset, {}).setdefault(part.subset or "default", {})[part.split] = path
            old = repository.files.get(path)
            rows = [] if old is None else pyarrow.parquet.read_table(io.BytesIO(old)).to_pylist()
            repository.files[path] = parquet([*rows, SAMPLES[name]])
    for dataset, subsets in layout.items():
        repositories[dataset].files["README.md"] = card(subsets)
    cases = [
        {"dataset": known.dataset, "subset": part.subset, "split": part.split}
        for known in BENCHMARKS.values()
        for part in known.parts
    ]
    with serve(repositories) as endpoint:
        loaded = iter(visit(endpoint, tmp_path / "home", *cases))
    for name, known in BENCHMARKS.items():
        rows = [row for _ in known.parts for row in next(loaded)["rows"]]
        problems, _ = to_problems(
            rows, known.fields, Origin(name, "test", known.answer_kind, known.needs_search), skip_unanswered=False
        )
        assert len(problems) == len(known.parts), name
        assert problems[0].question == "q?"
        assert problems[0].answer == {"gsm-hard": "13138980.0", "aime": "25"}.get(name, "a")
        assert problems[0].needs_search == (known.answer_kind == "fact")
