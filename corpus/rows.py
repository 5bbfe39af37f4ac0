"""Rows of a JSON lines file or a table."""

import json
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from common.errors import DataError
from common.json_file import kind_of, read_text
from corpus.csv_rows import csv_rows

TABLES = (".csv", ".tsv")
Rows = Iterator[tuple[int | str, Mapping[str, Any]]]
"""Rows, each with its line number in the file or, where the format has no lines, its id."""


def file_rows(path: Path) -> Rows:
    """Rows with their line numbers, from 1; ``.csv`` and ``.tsv`` have a header, any other file is JSON lines.

    Raises (while iterating):
        DataError: the file cannot be read, or a line of it is no row.
    """
    if path.suffix.lower() in TABLES:
        return table_rows(path, tabs=path.suffix.lower() == ".tsv")
    return json_lines(path)


def table_rows(path: Path, *, tabs: bool) -> Rows:
    """Rows of a table with a header, separated by tabs or as its header shows."""
    yield from csv_rows(path, StringIO(read_text(path), newline=""), tabs=tabs)


def json_lines(path: Path) -> Rows:
    """Rows of a file with one JSON object a line; blank lines are left out."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be read"
            problem = f"is not JSON: {reason}. Write one object a line, or a table with a header (.csv, .tsv)."
            raise DataError(path, problem, record=f"line {number}") from None
        if not isinstance(row, dict):
            raise DataError(path, f"must be an object, not {kind_of(row)}.", record=f"line {number}")
        yield number, row
