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


def file_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows with their line numbers, from 1; ``.csv`` and ``.tsv`` have a header, any other file is JSON lines.

    Raises (while iterating):
        DataError: the file cannot be read, or a line is no row.
    """
    text = read_text(path)
    if path.suffix.lower() in TABLES:
        yield from csv_rows(path, StringIO(text, newline=""), tabs=path.suffix.lower() == ".tsv")
        return
    for number, line in enumerate(text.split("\n"), start=1):
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
