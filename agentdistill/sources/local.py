"""Rows of a JSON, JSONL, CSV or Parquet file on this machine."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentdistill.errors import DataError

UTF_8 = "utf-8-sig"  # with or without a mark
SUFFIXES = (".json", ".jsonl", ".csv", ".parquet")


def read_rows(path: Path, *, records: str | None = None) -> list[dict[str, Any]]:
    """Return the rows of `path`, as `stream_rows` yields them."""
    return list(stream_rows(path, records=records))


def stream_rows(path: Path, *, records: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of `path`, whose suffix gives the format. Of a `.json` file the whole is held, of others a part.

    Args:
        path: the file; text is UTF-8, CSV has a header line.
        records: for a `.json` file that holds an object, the key of its list of rows.

    Raises:
        DataError: the file is missing, empty or of an unknown format, or a line is broken (the message has its number).
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"Cannot read {path}: its suffix is {suffix!r}, but must be one of {', '.join(SUFFIXES)}.")
    if records is not None and suffix != ".json":
        raise DataError(f"{path} is not a .json file, so records must be null, not {records!r}.")
    rows = {".json": _json, ".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}[suffix](path, records)
    empty = True
    try:
        for row in rows:
            empty = False
            yield row
    except OSError as error:
        raise DataError(f"Could not read {path}: {error.strerror or error}. Correct the path.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error.reason}. Save it as UTF-8.") from error
    if empty:
        raise DataError(f"{path} holds no rows. Name a file with at least one.")


def _json(path: Path, records: str | None) -> Iterator[dict[str, Any]]:
    try:
        value = json.loads(path.read_text(encoding=UTF_8))
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(f"{_where(path, error)} is not JSON: {_reason(error)}. Correct the file.") from error
    if records is not None:
        if not isinstance(value, dict) or records not in value:
            raise DataError(f"{path} has no key {records!r} at its top. Correct records or the file.")
        value = value[records]
    if not isinstance(value, list):
        hint = f" Set records to one of its keys: {', '.join(value)}." if isinstance(value, dict) else ""
        raise DataError(f"{path} holds a JSON {type(value).__name__} where a list of rows is needed.{hint}")
    for number, row in enumerate(value, start=1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, item {number} is a {type(row).__name__}, but each row must be a JSON object.")
        yield row


def _jsonl(path: Path, _: str | None) -> Iterator[dict[str, Any]]:
    with path.open(encoding=UTF_8, newline="\n") as lines:  # a \r and U+2028 may stand inside a string
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                reason = f"{path}, line {number} is not JSON: {_reason(error)}. Correct or remove the line."
                raise DataError(reason) from error
            if not isinstance(row, dict):
                raise DataError(
                    f"{path}, line {number} is a {type(row).__name__}, but each line must be a JSON object."
                )
            yield row


def _where(path: Path, error: Exception) -> str:
    return f"{path}, line {error.lineno}" if isinstance(error, json.JSONDecodeError) else str(path)


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)  # or a number too long


def _csv(path: Path, _: str | None) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(sys.maxsize)  # the module's own limit is less than a long document
    with path.open(encoding=UTF_8, newline="") as text:
        reader = csv.reader(text, strict=True)
        try:
            header = next(reader, [])
            if len(set(header)) < len(header):
                raise DataError(f"{path} names a column twice in its header: {', '.join(header)}. Rename one.")
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise DataError(
                        f"{path}, line {reader.line_num} has {len(cells)} cells where the header has {len(header)}. "
                        "Correct the line; a cell that holds a comma must be quoted."
                    )
                yield dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise DataError(f"{path}, line {reader.line_num} is not CSV: {error}. Correct the line.") from error


def _parquet(path: Path, _: str | None) -> Iterator[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path} is not a whole Parquet file: {error}. Copy or make it again.") from error
    except (
        OverflowError,
        pyarrow.ArrowException,
    ) as error:  # a date after the year 9999, a type without a Python value
        raise DataError(f"{path} holds a value that Python cannot read: {error}. Leave out its column.") from error
