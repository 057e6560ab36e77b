"""The ledger: every reply a model ever gave, keyed by what was asked, so that nothing is computed or paid for twice.

It also keeps what actions gave in the code tool, keyed by the code and by the state it ran in.

An append-only SQLite file in WAL mode. Any number of processes may read and write it at once, and a process killed at
any moment loses at most the reply it was about to store. Each row carries a checksum: a damaged one counts as absent
and is replaced when the question is asked again. The first reply stored for a question stands; a second one, from a
process that asked at the same time, is given up in its favour, so that all processes go on from the same text.

Deleting the file is always safe: it costs time and money, never correctness. A power cut may lose the last replies (the
file is not flushed to disk after each one), which costs the same.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from pydantic import ValidationError

from agentdistill.errors import DataError
from agentdistill.records import Message, Outcome, Reply, Sampling

R = TypeVar("R", Reply, Outcome)

SCHEMA_VERSION = 1
PRIMARY_CODE = 0xFF  # SQLite's error codes have details above
BUSY_SECONDS = 600.0  # how long a writer waits; the others hold the lock for a millisecond, but a prune for minutes
SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    number INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    created REAL NOT NULL,
    cost_usd REAL NOT NULL,
    request BLOB NOT NULL,
    reply BLOB NOT NULL,
    checksum BLOB NOT NULL
)
"""
# What a fingerprint stands for, for people. Made by the first name: a ledger without it is as good.
NAMES = "CREATE TABLE IF NOT EXISTS names (fingerprint TEXT PRIMARY KEY, name TEXT NOT NULL)"


@dataclass(frozen=True)
class Request(Generic[R]):
    """What was asked, in canonical form: `key` is the digest of exactly what can change the answer."""

    fingerprint: str  # of what answers: a model, a code tool
    text: str  # canonical JSON
    kind: type[R]  # of the answer

    @staticmethod
    def create(
        fingerprint: str,
        messages: Sequence[Message],
        *,
        n: int,
        sampling: Sampling,
        seed: int,
        first: int = 0,
        prefill: str | None,
    ) -> Request[Reply]:
        """What a model is asked. Greedy decoding draws nothing, so seed, nucleus and the numbers of the samples do not
        enter its key; nor do the parts of a message that the model does not see."""
        greedy = sampling.temperature == 0
        content = {
            "fingerprint": fingerprint,
            "messages": [[message.role, message.text] for message in messages],
            "prefill": prefill or None,
            "n": n,
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_tokens,
            "stop": list(sampling.stop),
            "top_p": None if greedy else sampling.top_p,
            "seed": None if greedy else seed,
        }
        if first and not greedy:  # a request for the first samples is keyed as if there were no others
            content["first"] = first
        return Request(fingerprint, _canonical(content), Reply)

    def part(self, drawn: int) -> Request[R]:
        """What stores one of several replies that answer this together: the one after the first `drawn` samples."""
        return Request(self.fingerprint, _canonical({**json.loads(self.text), "drawn": drawn}), self.kind)

    @staticmethod
    def action(fingerprint: str, kept: Sequence[str], code: str) -> Request[Outcome]:
        """What a code tool is asked: `code`, in the state that the actions `kept` made one after the other."""
        return Request(fingerprint, _canonical({"fingerprint": fingerprint, "kept": list(kept), "code": code}), Outcome)

    @property
    def key(self) -> bytes:
        """SHA-256 of the canonical form, 32 bytes."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True)
class Entry:
    """One row, for people to look at. `reply` is None when the row is damaged."""

    key: str  # hexadecimal
    created: float  # seconds since the epoch
    request: dict[str, Any] | None
    reply: dict[str, Any] | None


@dataclass(frozen=True)
class Stats:
    """Totals of the replies of one model or code tool."""

    fingerprint: str
    name: str | None
    replies: int
    bytes: int
    cost_usd: float  # what they cost when they were asked for
    first: float  # seconds since the epoch
    last: float


class Ledger:
    """The file. Methods are synchronous and safe to call from any thread; reading never waits for a writer."""

    def __init__(self, path: Path) -> None:
        """Open the ledger at `path`, making it if it is absent.

        Raises:
            DataError: the file is not a ledger, is damaged as a whole, or cannot be opened.
        """
        self.path = path
        self._read_lock = threading.Lock()
        self._write_lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Two processes that switch a new file to WAL at the same moment can both fail, whatever the busy timeout.
            with open(f"{path}.lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._writer = self._connect()
                self._prepare()
                self._reader = self._connect()
        except (OSError, UnicodeDecodeError, sqlite3.Error) as error:
            raise self._failure(error) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    def _prepare(self) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            raise DataError(
                f"{self.path} is a ledger of version {version}; this code reads version {SCHEMA_VERSION}. Delete the "
                "file (its replies will be asked for again) or use the code that wrote it."
            )
        tables = {name for (name,) in self._writer.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "replies" not in tables:
            names = ", ".join(sorted(tables))
            raise DataError(f"{self.path} is no ledger but a database with the tables {names}. Correct the path.")
        self._writer.execute("PRAGMA journal_mode=WAL")
        if version == SCHEMA_VERSION and tables:
            return  # nothing to write: on a full disk it can still be looked at and pruned
        self._writer.execute(SCHEMA)
        self._writer.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        with self._write_lock, self._read_lock:
            self._writer.close()
            self._reader.close()

    def get(self, request: Request[R]) -> R | None:
        """Return the stored reply, or None when there is none or its row is damaged.

        Its usage holds the tokens, but no request and no dollars: records do not keep what a repetition does not take.
        """
        with self._read_lock, self._errors():
            row = self._reader.execute(
                "SELECT request, reply, checksum FROM replies WHERE key = ?", (request.key,)
            ).fetchone()
        return None if row is None else _decode(request, *row)

    def put(self, request: Request[R], reply: R) -> R:
        """Store `reply` unless another was stored first; return the one that stands."""
        key = request.key
        packed_request = zlib.compress(request.text.encode("utf-8", "surrogatepass"))
        packed_reply = zlib.compress(reply.model_dump_json().encode("utf-8", "surrogatepass"))
        checksum = _checksum(key, packed_request, packed_reply)
        cost = reply.usage.cost_usd if isinstance(reply, Reply) else 0.0
        with self._write_lock, self._errors(), _transaction(self._writer):
            row = self._writer.execute("SELECT request, reply, checksum FROM replies WHERE key = ?", (key,)).fetchone()
            standing = None if row is None else _decode(request, *row)
            if standing is not None:
                return standing
            self._writer.execute("DELETE FROM replies WHERE key = ?", (key,))  # there is one only if it is damaged
            self._writer.execute(
                "INSERT INTO replies (key, fingerprint, created, cost_usd, request, reply, checksum) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, request.fingerprint, time.time(), cost, packed_request, packed_reply, checksum),
            )
        return reply

    def stats(self) -> list[Stats]:
        """Return totals for each model and code tool, the most recently used last."""
        with self._read_lock, self._errors():
            rows = self._reader.execute(
                "SELECT fingerprint, COUNT(*), COALESCE(SUM(LENGTH(request) + LENGTH(reply)), 0), "
                "COALESCE(SUM(cost_usd), 0.0), "
                "MIN(created), MAX(created) FROM replies GROUP BY fingerprint ORDER BY MAX(created)"
            ).fetchall()
        names = self._names()
        return [Stats(fingerprint, names.get(fingerprint), *totals) for fingerprint, *totals in rows]

    def name(self, fingerprint: str, name: str) -> None:
        """Note what answers under `fingerprint`, for people; it enters no key, so it may change."""
        name = name.encode(errors="replace").decode()  # it may be a path
        if self._names().get(fingerprint) == name:
            return
        with self._write_lock, self._errors(), _transaction(self._writer):
            self._writer.execute(NAMES)
            self._writer.execute("INSERT OR REPLACE INTO names VALUES (?, ?)", (fingerprint, name))

    def _names(self) -> dict[str, str]:
        with self._read_lock, self._errors():
            if not self._reader.execute("SELECT 1 FROM sqlite_master WHERE name = 'names'").fetchone():
                return {}
            return dict(self._reader.execute("SELECT fingerprint, name FROM names"))

    def entries(self, *, key_prefix: str = "", limit: int) -> list[Entry]:
        """Return the newest `limit` rows whose hexadecimal key begins with `key_prefix`, newest first."""
        with self._read_lock, self._errors():
            rows = self._reader.execute(
                "SELECT key, created, request, reply, checksum FROM replies "
                "WHERE LOWER(HEX(key)) GLOB ? || '*' ORDER BY number DESC LIMIT ?",
                (key_prefix.lower(), limit),
            ).fetchall()
        return [_entry(*row) for row in rows]

    def prune(self, *, max_bytes: int | None = None, before: float | None = None, model: str | None = None) -> int:
        """Delete rows, give their space back to the disk, and return how many they were.

        A row goes if it was stored before `before` (seconds since the epoch), or if `model` is the fingerprint or the
        name of what answered; then the oldest go until requests and replies together take at most `max_bytes`.
        """
        deleted = 0
        named = [] if model is None else [model, *(one for one, name in self._names().items() if name == model)]
        with self._write_lock, self._errors():
            with _transaction(self._writer):
                if before is not None:
                    deleted += self._writer.execute("DELETE FROM replies WHERE created < ?", (before,)).rowcount
                for fingerprint in named:
                    deleted += self._writer.execute(
                        "DELETE FROM replies WHERE fingerprint = ?", (fingerprint,)
                    ).rowcount
                if max_bytes is not None:
                    deleted += self._writer.execute(
                        "DELETE FROM replies WHERE number IN (SELECT number FROM (SELECT number, "
                        "SUM(LENGTH(request) + LENGTH(reply)) OVER (ORDER BY number DESC) AS newer_bytes FROM replies) "
                        "WHERE newer_bytes > ?)",
                        (max_bytes,),
                    ).rowcount
            self._writer.execute("VACUUM")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return deleted

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (UnicodeDecodeError, sqlite3.Error) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> DataError:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            return DataError(
                f"Another process has held the ledger {self.path} for {BUSY_SECONDS:g} seconds. Wait until it is done "
                "(a large ledger takes minutes to prune) and run the stage again."
            )
        code = getattr(error, "sqlite_errorcode", 0) & PRIMARY_CODE
        number = getattr(error, "errno", None)
        if code == sqlite3.SQLITE_FULL or number == errno.ENOSPC:
            return DataError(f"The disk of the ledger {self.path} is full. Free some space and run this again.")
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM) or number in (errno.EROFS, errno.EACCES):
            return DataError(
                f"The ledger {self.path} cannot be written: {error}. Also looking at it writes a lock beside it: give "
                "yourself the rights to its folder, or copy the folder to where you have them."
            )
        return DataError(
            f"The ledger {self.path} cannot be used: {error}. If the disk is not full and the path is right, delete "
            "the file; its replies will be asked for again."
        )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Take the write lock at once: a transaction that reads first and locks later can fail without waiting."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk may have ended it
            connection.execute("ROLLBACK")
        raise


def _is_whole(key: object, request: object, reply: object, checksum: object) -> bool:
    """Return whether a row is as it was written; damage can make another type of a column."""
    if not (isinstance(key, bytes) and isinstance(request, bytes) and isinstance(reply, bytes)):
        return False
    return _checksum(key, request, reply) == checksum


def _checksum(key: bytes, request: bytes, reply: bytes) -> bytes:
    return hashlib.blake2b(b"".join((key, request, reply)), digest_size=16).digest()


def _canonical(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _decode(asked: Request[R], request: bytes, reply: bytes, checksum: bytes) -> R | None:
    if not _is_whole(asked.key, request, reply, checksum):
        return None
    try:
        return asked.kind.model_validate_json(zlib.decompress(reply))
    except (zlib.error, ValidationError):
        return None


def _entry(key: bytes, created: float, request: bytes, reply: bytes, checksum: bytes) -> Entry:
    if not _is_whole(key, request, reply, checksum):
        return Entry(key.hex() if isinstance(key, bytes) else str(key), created, None, None)
    return Entry(key.hex(), created, json.loads(zlib.decompress(request)), json.loads(zlib.decompress(reply)))


def total_bytes(path: Path) -> int:
    """Return the bytes that the ledger at `path` takes on disk, write-ahead log included."""
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
