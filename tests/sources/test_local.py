import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from agentdistill.errors import DataError
from agentdistill.sources.local import read_rows, stream_rows

ROWS = [{"q": "one, two", "a": "1"}, {"q": "line\u2028break", "a": "2"}]


def test_all_formats_give_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(ROWS), encoding="utf-8")
    (tmp_path / "b.json").write_text(json.dumps({"metadata": 1, "examples": ROWS}), encoding="utf-8")
    (tmp_path / "c.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), encoding="utf-8")
    (tmp_path / "d.csv").write_text('q,a\n"one, two",1\nline\u2028break,2\n', encoding="utf-8")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "e.parquet")
    for name in ("a.json", "c.jsonl", "d.csv", "e.parquet"):
        assert read_rows(tmp_path / name) == ROWS, name
    assert read_rows(tmp_path / "b.json", records="examples") == ROWS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"q": 1}\n{"q": \n', "line 2"),
        ("a.jsonl", '{"q": 1}\n[1]\n', "line 2"),
        ("a.json", '[\n{"q": 1},\n{]', "line 3"),
        ("a.json", '{"rows": []}', "rows"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.jsonl", '{"q": 1}\n{"q": ' + "[" * 100_000, "line 2 .*nested too deeply"),
        ("a.jsonl", '{"q": 1}\n{"q": ' + "9" * 5_000 + "}", "line 2 .*4300 digits"),
        ("a.json", "[1]", "item 1"),
        ("a.csv", "q,a\n1,2\n3\n", "line 3"),
        ("a.csv", 'q,a\n"1,2\n', "line 2"),
        ("a.csv", "q,q\n1,2\n", "twice"),
        ("a.csv", "q,a\n", "no rows"),
        ("a.jsonl", "", "no rows"),
        ("a.parquet", "PAR1", "Parquet"),
        ("a.txt", "x", "suffix"),
    ],
)
def test_broken_file_is_named_with_its_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_rows(path)
    assert name in str(caught.value)


def test_missing_file_and_wrong_encoding(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_rows(tmp_path / "absent.jsonl")
    (tmp_path / "latin.csv").write_bytes(b"q,a\n\xe9,1\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_rows(tmp_path / "latin.csv")


def test_a_long_document_is_a_cell(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"q,a\n{'word ' * 100_000},1\n", encoding="utf-8")
    assert len(read_rows(tmp_path / "a.csv")[0]["q"]) == 500_000


def test_a_value_that_python_cannot_hold_is_named(tmp_path: Path) -> None:
    far = pyarrow.array([2**62], type=pyarrow.timestamp("us"))
    pyarrow.parquet.write_table(pyarrow.table({"q": far}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet holds a value that Python cannot read"):
        read_rows(tmp_path / "a.parquet")


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": 1}\n' * 100_000 + "broken", encoding="utf-8")
    rows = stream_rows(tmp_path / "a.jsonl")
    assert next(rows) == {"q": 1}
