"""Rows of a JSON lines file or a table."""

import json
from collections.abc import Iterable, Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from common.errors import DataError
from common.json_file import escape, json_type, read_text, value_problem
from corpus.csv_rows import csv_rows

TABLES = (".csv", ".tsv")
_SIGNATURES = {  # kinds of binary files by their first bytes
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"PK\x03\x04": "an Excel workbook or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}
_MISSING_VALUES = frozenset({"", "nan", "NaN", "null", "None", "<NA>", "NA"})  # as pandas and R write missing values
Rows = Iterator[tuple[int | str, Mapping[str, Any]]]
"""Rows, each after its line number; a row that lines do not identify comes after a name such as "row 3"."""


def file_rows(path: Path) -> Rows:
    """The rows of a table with a header (``.csv``, ``.tsv``) or, for any other suffix, of a JSON lines file."""
    if kind := _binary(path):
        advice = "Write it as text: a table with a header (.csv, .tsv), or JSON lines (.jsonl)"
        raise DataError(path, f"is {kind}. {advice}, such as DataFrame.to_json(orient='records', lines=True).")
    if path.suffix.lower() in TABLES:
        return table_rows(path, tabs=path.suffix.lower() == ".tsv")
    return json_lines(path)


def _binary(path: Path) -> str | None:
    """The kind of a binary file, by its signature; None for other files."""
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        start = stream.read(8)
    return next((kind for signature, kind in _SIGNATURES.items() if start.startswith(signature)), None)


def table_rows(path: Path, *, tabs: bool) -> Rows:
    """Rows of a table with a header; without ``tabs`` the delimiter is detected from the header."""
    for line, row in csv_rows(path, StringIO(read_text(path), newline=""), tabs=tabs):
        if isinstance(row, DataError):
            raise row
        yield line, row


def json_lines(path: Path) -> Rows:
    """Rows of a file with one JSON object a line, or of a JSON array of objects."""
    text = read_text(path)
    if not text.lstrip().startswith("["):
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield number, json_row(path, f"line {number}", line)
        return
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else None
        raise DataError(path, "is not a JSON array that can be read.", record=where) from None
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(path, f"must be an object, not {json_type(row)}.", record=f"row {number}")
        yield f"row {number}", row


def json_row(where: Path | str, record: str, line: str) -> dict[str, Any]:
    """The JSON object in a line; ``where`` (the file) and ``record`` are for errors."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be read"
        problem = f"is not JSON: {reason}. Write one object a line, or a table with a header (.csv, .tsv)."
        raise DataError(where, problem, record=record) from None
    if not isinstance(row, dict):
        raise DataError(where, f"must be an object, not {json_type(row)}.", record=record)
    return row


def with_column_names(row: Mapping[str, Any], names: Iterable[str | None]) -> Mapping[str, Any]:
    """The row; a column whose name differs from one of ``names`` only in case and outer spaces is renamed to it.

    If two columns of the row would get the same name, both keep their own.
    """
    absent = {name.strip().casefold(): name for name in names if name is not None and name not in row}
    if not absent:
        return row
    folded_names = [str(name).strip().casefold() for name in row]
    return {
        absent.get(folded, name) if folded_names.count(folded) == 1 else name: value
        for (name, value), folded in zip(row.items(), folded_names, strict=True)
    }


def text_of(where: Path | str, record: str, row: Mapping[str, Any], column: str) -> str:
    """The text in a column, without surrounding white space."""
    value = row[column]
    if not isinstance(value, str):
        raise DataError(where, f"must be a text, not {json_type(value)}.", record=record, field=column)
    if problem := value_problem(value) or (None if value.strip() else "is empty."):
        raise DataError(where, problem, record=record, field=column)
    return value.strip()


def record_name(number: int | str) -> str:
    """A row's name in error messages."""
    return number if isinstance(number, str) else f"line {number}"


def row_id(row: Mapping[str, Any], columns: Iterable[str], number: int | str) -> str:
    """The row's id as text: the first value in ``columns`` that is not missing, else ``number``."""
    return value_text(next((row[name] for name in columns if not is_missing(row.get(name))), number))


def value_text(value: object) -> str:
    """A label or an id as text; 1.0 becomes 1, since data frames write 1 as 1.0 if another row has no value."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def is_missing(value: object) -> bool:
    """Whether a value is null, NaN, or a text that pandas or R writes for a missing value."""
    return value is None or value != value or (isinstance(value, str) and value.strip() in _MISSING_VALUES)


def columns_of(row: Mapping[str, Any]) -> str:
    """The names of a row's columns, for messages."""
    return ", ".join(escape(str(name)) for name in row) or "none"
