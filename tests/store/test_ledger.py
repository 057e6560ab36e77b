"""The ledger: what changes a key, what a damaged or killed writer leaves, what many writers see."""

import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agentdistill.errors import DataError
from agentdistill.records import Completion, Message, Reply, Sampling, Usage
from agentdistill.store import ledger as ledger_module
from agentdistill.store.ledger import Ledger, Request, total_bytes
from agentdistill.store.ledger_cli import app

BASE: dict[str, Any] = {
    "fingerprint": "m",
    "messages": [Message(role="system", text="s"), Message(role="user", text="q")],
    "n": 1,
    "sampling": Sampling(temperature=0.7, top_p=0.9, max_tokens=8, stop=("x",)),
    "seed": 0,
    "prefill": None,
}


def make_request(**changes: Any) -> Request[Reply]:
    fields = {**BASE, **changes}
    return Request.create(fields.pop("fingerprint"), fields.pop("messages"), **fields)


def make_reply(text: str = "a") -> Reply:
    completion = Completion(text=text, truncated=False, completion_tokens=1)
    return Reply(completions=(completion,), usage=Usage(prompt_tokens=3, completion_tokens=1))


requests = st.builds(
    make_request,
    fingerprint=st.text(max_size=3),
    messages=st.lists(
        st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), text=st.text(max_size=3)), max_size=3
    ),
    n=st.integers(1, 3),
    sampling=st.builds(
        Sampling,
        temperature=st.floats(0.1, 1),
        top_p=st.floats(0.1, 1),
        max_tokens=st.integers(1, 3),
        stop=st.lists(st.text(min_size=1, max_size=2), max_size=2).map(tuple),
    ),
    seed=st.integers(0, 2**63),
    prefill=st.none() | st.text(min_size=1, max_size=3),
)


@given(one=requests, other=requests)
def test_keys_are_equal_exactly_when_the_requests_are(one: Request[Reply], other: Request[Reply]) -> None:
    assert (one.key == other.key) == (one == other)


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "other"},
        {"messages": BASE["messages"][::-1]},
        {"messages": BASE["messages"][1:]},
        {"messages": [BASE["messages"][0], Message(role="user", text="q ")]},
        {"messages": [BASE["messages"][0], Message(role="assistant", text="q")]},
        {"n": 2},
        {"seed": 1},
        {"first": 1},
        {"prefill": "Thought: "},
        {"sampling": Sampling(temperature=0.8, top_p=0.9, max_tokens=8, stop=("x",))},
        {"sampling": Sampling(temperature=0.7, top_p=1.0, max_tokens=8, stop=("x",))},
        {"sampling": Sampling(temperature=0.7, top_p=0.9, max_tokens=9, stop=("x",))},
        {"sampling": Sampling(temperature=0.7, top_p=0.9, max_tokens=8, stop=())},
    ],
)
def test_what_changes_the_answer_changes_the_key(change: dict[str, Any]) -> None:
    assert make_request(**change).key != make_request().key


@given(sampled=st.booleans(), prefix=st.integers(0, 9))
def test_what_the_model_does_not_see_leaves_the_key(sampled: bool, prefix: int) -> None:
    messages = [m.model_copy(update={"sampled": sampled, "prefix": prefix}) for m in BASE["messages"]]
    assert make_request(messages=messages, prefill="").key == make_request().key


@given(seed=st.integers(), first=st.integers(0), top_p=st.floats(0.1, 1))
def test_greedy_decoding_has_no_seed(seed: int, first: int, top_p: float) -> None:
    def greedy(seed: int, first: int, top_p: float) -> Request[Reply]:
        sampling = Sampling(temperature=0, top_p=top_p, max_tokens=8)
        return make_request(seed=seed, first=first, sampling=sampling)

    assert greedy(seed, first, top_p).key == greedy(0, 0, 1.0).key


def test_the_first_samples_keep_the_key_that_they_had_when_there_were_no_further_ones() -> None:
    assert "first" not in json.loads(make_request().text)


def test_the_first_reply_stands(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger, Ledger(tmp_path / "l") as other:
        assert ledger.get(make_request()) is None
        assert ledger.put(make_request(), make_reply("first")) == make_reply("first")
        assert other.put(make_request(), make_reply("second")) == make_reply("first")
        assert other.get(make_request()) == make_reply("first")


@given(text=st.text())
def test_any_text_comes_back(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("ledger") / "l"
    request = make_request(messages=[Message(role="user", text=text)])
    with Ledger(path) as ledger:
        ledger.put(request, make_reply(text))
    with Ledger(path) as ledger:
        assert ledger.get(request) == make_reply(text)


@pytest.mark.parametrize("column", ["reply", "request", "checksum"])
def test_a_damaged_row_is_absent_and_can_be_replaced(tmp_path: Path, column: str) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.put(make_request(), make_reply("first"))
        with sqlite3.connect(tmp_path / "l") as connection:
            connection.execute(f"UPDATE replies SET {column} = SUBSTR({column}, 1, LENGTH({column}) - 1)")
        assert ledger.get(make_request()) is None
        assert ledger.put(make_request(), make_reply("again")) == make_reply("again")
        assert ledger.get(make_request()) == make_reply("again")


@pytest.mark.parametrize("value", ["NULL", "7", "'text'", "1e300"])
@pytest.mark.parametrize("column", ["reply", "request", "checksum", "created", "cost_usd"])
def test_a_column_of_another_type_is_damage_too(tmp_path: Path, column: str, value: str) -> None:
    path = tmp_path / "l"
    with Ledger(path) as ledger:
        ledger.put(make_request(), make_reply("first"))
    with sqlite3.connect(path) as connection:  # what a flipped bit in a row's header does, NOT NULL or not
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_master SET sql = REPLACE(sql, ' NOT NULL', '')")
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE replies SET {column} = {value}")
    with Ledger(path) as ledger:
        (entry,) = ledger.entries(limit=9)
        assert (ledger.get(make_request()) is None) == (entry.reply is None) == (column not in ("created", "cost_usd"))
        assert [stats.replies for stats in ledger.stats()] == [1]
        ledger.put(make_request(), make_reply("again"))
        assert ledger.get(make_request()) is not None
    for command in ("stats", "show"):
        assert CliRunner().invoke(app, [command, "--path", str(path)]).exit_code == 0


def test_a_full_disk_is_not_a_reason_to_delete(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        pages = ledger._writer.execute("PRAGMA page_count").fetchone()[0]
        ledger._writer.execute(f"PRAGMA max_page_count={pages}")  # SQLite says of this what it says of a full disk
        with pytest.raises(DataError, match="is full") as caught:
            ledger.put(make_request(), make_reply("".join(map(chr, range(0x4E00, 0x9000)))))
    assert "delete" not in str(caught.value)


def test_a_file_that_is_no_ledger_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(b"no database" * 1000)
    with pytest.raises(DataError, match=r"cannot be used.*delete the file"):
        Ledger(tmp_path / "l")


def test_another_programs_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE runs (name TEXT)")
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(DataError, match=r"is no ledger but a database with the tables runs"):
        Ledger(tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == before


def test_a_ledger_that_another_process_holds_is_not_to_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "BUSY_SECONDS", 0.1)
    with Ledger(tmp_path / "l") as ledger, sqlite3.connect(tmp_path / "l", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DataError, match=r"Another process has held.*Wait until it is done") as caught:
            ledger.put(make_request(), make_reply("a"))
        other.execute("ROLLBACK")
    assert "delete" not in str(caught.value)


def test_a_ledger_of_another_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "l") as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(DataError, match="version 99"):
        Ledger(tmp_path / "l")


def _write_many(path: Path, writer: int, count: int) -> None:
    with Ledger(path) as ledger:
        for seed in range(count):
            ledger.put(make_request(seed=seed), make_reply(f"{writer}"))


def test_many_processes_agree_on_one_reply_each(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(tmp_path / "l", i, 100)) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    with Ledger(tmp_path / "l") as ledger:
        assert sum(model.replies for model in ledger.stats()) == 100
        assert all(ledger.get(make_request(seed=seed)) is not None for seed in range(100))


WRITER = """
import sys
from pathlib import Path
from tests.store.test_ledger import Ledger, make_reply, make_request
with Ledger(Path(sys.argv[1])) as ledger:
    for seed in range(10**9):
        ledger.put(make_request(seed=seed), make_reply("x" * 2000))
        print(seed, flush=True)
"""


def test_a_killed_writer_loses_no_reply_it_had_stored(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    for moment in range(3):
        path = tmp_path / f"l{moment}"
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=root
        ) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(0.01 * (moment + 1))  # a different moment each time; nothing waits for it
            os.kill(writer.pid, signal.SIGKILL)
            stored = [
                int(line) for line in (first + writer.stdout.read()).splitlines(keepends=True) if line[-1] == "\n"
            ]
        with Ledger(path) as ledger:
            assert all(ledger.get(make_request(seed=seed)) == make_reply("x" * 2000) for seed in stored)
            ledger.put(make_request(seed=-1), make_reply())


def test_pruning_by_size_keeps_the_newest(tmp_path: Path) -> None:
    noise = [os.urandom(5000).hex() for _ in range(20)]
    with Ledger(tmp_path / "l") as ledger:
        for seed, text in enumerate(noise):
            ledger.put(make_request(seed=seed), make_reply(text))
        before = total_bytes(tmp_path / "l")
        deleted = ledger.prune(max_bytes=40_000)
        kept = [seed for seed in range(20) if ledger.get(make_request(seed=seed)) is not None]
        assert kept == list(range(deleted, 20))
        assert 0 < deleted < 20
        assert total_bytes(tmp_path / "l") < before / 2


def test_pruning_by_model_and_age(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.put(make_request(fingerprint="a"), make_reply())
        ledger.put(make_request(fingerprint="b"), make_reply())
        assert ledger.prune(before=0.0) == 0
        assert ledger.prune(model="a") == 1
        assert [model.fingerprint for model in ledger.stats()] == ["b"]
        assert ledger.prune(before=time.time() + 1) == 1


def test_a_name_stands_for_all_that_have_it(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger, Ledger(tmp_path / "l") as other:
        for fingerprint, name in (("a", "teacher"), ("b", "student"), ("c", "student"), ("a", "judge")):
            ledger.put(make_request(fingerprint=fingerprint), make_reply())
            other.name(fingerprint, name)
        names = [(model.fingerprint, model.name) for model in ledger.stats()]
        assert sorted(names) == [("a", "judge"), ("b", "student"), ("c", "student")]
        assert ledger.prune(model="student") == 2
        assert [model.fingerprint for model in ledger.stats()] == ["a"]


def test_a_ledger_without_names_is_read_and_named(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.put(make_request(fingerprint="a"), make_reply())
        assert [model.name for model in ledger.stats()] == [None]
        ledger.name("a", "teacher")
        assert [model.name for model in ledger.stats()] == ["teacher"]


def test_a_name_may_be_any_path(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.put(make_request(fingerprint="a"), make_reply())
        ledger.name("a", "model-\udcff")
        assert [model.name for model in ledger.stats()] == ["model-?"]


def test_a_name_that_stands_already_writes_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger, closing(sqlite3.connect(tmp_path / "l", isolation_level=None)) as writer:
        ledger.name("a", "teacher")
        writer.execute("BEGIN IMMEDIATE")  # whoever writes now waits for ten minutes
        ledger.name("a", "teacher")


def test_costs_are_summed_though_replies_forget_them(tmp_path: Path) -> None:
    paid = make_reply().model_copy(update={"usage": Usage(requests=1, cost_usd=0.25)})
    with Ledger(tmp_path / "l") as ledger:
        for seed in range(3):
            ledger.put(make_request(seed=seed), paid)
        assert ledger.stats()[0].cost_usd == 0.75


def test_entries_are_found_by_the_beginning_of_their_key(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        for seed in range(5):
            ledger.put(make_request(seed=seed), make_reply(str(seed)))
        newest = ledger.entries(limit=2)
        assert [entry.reply["completions"][0]["text"] for entry in newest if entry.reply] == ["4", "3"]
        assert ledger.entries(key_prefix=newest[1].key[:12].upper(), limit=9) == [newest[1]]
