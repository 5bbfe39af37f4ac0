"""Tables and JSON lines: a document for each row, by the columns of setting ``documents.columns``."""

import csv
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

from common.errors import DataError
from common.json_file import escape, json_type
from corpus.config import DocumentColumns, DocumentsConfig
from corpus.csv_rows import csv_rows
from corpus.documents.extract import Extract, TextBuilder, one_line
from corpus.documents.pubmed import year_in
from corpus.documents.source import LimitedStream, Source, format_of, open_limited, text_lines
from corpus.rows import is_missing, json_row

MAX_LISTED = 20  # columns in an error
Row = tuple[int, Mapping[str, Any] | DataError]  # number of the row's first line, and its cells or what is wrong


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract | DataError]:
    """A document for each row of a table with a header, or for each JSON object of a ``.jsonl`` file.

    Rows without text and title are skipped. A document's key is ``FILE/ID``; if the row has no id, the key is
    ``FILE/N`` with the row's number N, from 1. For a row that is invalid or repeats an id, a ``DataError`` with line
    and field is yielded.
    """
    rows = _json_rows if format_of(source.name) == "jsonl" else _csv_rows
    with open_limited(source, config) as stream:
        yield from _documents(source, config.columns, rows(source, stream, config))


@contextmanager
def _cell_length_limit(limit: int) -> Iterator[None]:
    """Set the csv module's limit on the length of a cell, which is global, inside the block."""
    previous = csv.field_size_limit(min(limit, sys.maxsize))
    try:
        yield
    finally:
        csv.field_size_limit(previous)


def _documents(source: Source, columns: DocumentColumns, rows: Iterable[Row]) -> Iterator[Extract | DataError]:
    seen: set[str] = set()
    for number, (line, row) in enumerate(rows, start=1):
        if isinstance(row, DataError):
            yield row
            continue
        columns = _matching_columns(columns, row)
        try:
            document = _document(source, columns, number, line, row, seen)
        except DataError as error:
            yield error
        else:
            if document is not None:
                yield document


def _document(
    source: Source, columns: DocumentColumns, number: int, line: int, row: Mapping[str, Any], seen: set[str]
) -> Extract | None:
    if columns.text not in row:
        names = [escape(str(name)) for name in islice(row, MAX_LISTED)]
        listed = ", ".join([*names, "..."] if len(row) > MAX_LISTED else names) or "none"
        problem = f"is missing (columns here: {listed}). Name the right one in documents.columns.text."
        raise DataError(source.name, problem, record=f"line {line}", field=columns.text)
    id = one_line(_text(source, line, row, columns.id)) or str(number)
    if id in seen:
        raise DataError(source.name, f"the id {escape(id)!r} occurs twice.", record=f"line {line}", field=columns.id)
    title = one_line(_text(source, line, row, columns.title))
    body = TextBuilder()
    body.add(title or "")
    body.add(_text(source, line, row, columns.text))
    year = year_in(_text(source, line, row, columns.year))
    mesh = _list(source, line, row, columns.mesh)
    seen.add(id)
    return body.extract(f"{source.name}/{id}", title=title, year=year, mesh=mesh)


def _matching_columns(columns: DocumentColumns, row: Mapping[str, Any]) -> DocumentColumns:
    """The columns of the settings under the row's names, which may differ in case and outer spaces.

    ``with_column_names`` renames the row's columns instead. Here two settings may name one column, and messages have
    the row's own names.
    """
    expected = columns.model_dump()
    if all(name is None or name in row for name in expected.values()):
        return columns
    by_folded: dict[str, list[str]] = {}
    for name in row:
        by_folded.setdefault(str(name).strip().casefold(), []).append(name)
    matching = {
        field: names[0]
        for field, name in expected.items()
        if name is not None and name not in row and len(names := by_folded.get(name.strip().casefold(), [])) == 1
    }
    return columns.model_copy(update=matching)


def _text(source: Source, line: int, row: Mapping[str, Any], column: str | None) -> str:
    """A field as text; empty if the column or its value is missing."""
    value = row.get(column) if column else None
    if is_missing(value):
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(source.name, f"must be a text, not {json_type(value)}.", record=f"line {line}", field=column)
    return str(value)


def _list(source: Source, line: int, row: Mapping[str, Any], column: str | None) -> list[str]:
    value = row.get(column) if column else None
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        items: list[str] = value
    else:
        items = _text(source, line, row, column).split(";")
    return [item for item in map(one_line, items) if item]


def _csv_rows(source: Source, stream: LimitedStream, config: DocumentsConfig) -> Iterator[Row]:
    """Rows of a table: tab-separated in a ``.tsv`` file; in other files the delimiter is detected from the header."""
    tabs = source.name.lower().removesuffix(".gz").endswith(".tsv")
    with _cell_length_limit(config.max_bytes):
        lines = text_lines(source, stream, "", config)
        yield from csv_rows(source.name, lines, tabs=tabs, on_record=stream.reset_limit)


def _json_rows(source: Source, stream: LimitedStream, config: DocumentsConfig) -> Iterator[Row]:
    for number, line in enumerate(text_lines(source, stream, "\n", config), start=1):
        stream.reset_limit()
        if line.strip():
            try:
                yield number, json_row(source.name, f"line {number}", line)
            except DataError as error:
                yield number, error
