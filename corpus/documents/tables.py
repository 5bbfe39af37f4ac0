"""Tables and JSON lines: a document a row, by the column map of the settings."""

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
from corpus.rows import json_row

SHOWN = 20  # maximum number of columns named in an error
Row = tuple[int, Mapping[str, Any] | DataError]  # with the number of its first line


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract | DataError]:
    """A document for each row of a table with a header, or for each JSON object of a ``.jsonl`` file.

    Rows without text and title are skipped. A document's key is ``FILE/ID``, or ``FILE/N`` with the row's number from 1
    if it has no id. A row that cannot be used, or repeats an id, is a ``DataError`` with its line and field.
    """
    rows = _json_rows if format_of(source.name) == "jsonl" else _csv_rows
    with open_limited(source, config) as stream:
        yield from _documents(source, config.columns, rows(source, stream, config))


@contextmanager
def _long_cells(most: int) -> Iterator[None]:
    """Raise the csv module's limit on the length of a cell, which holds for the whole process, and restore it."""
    before = csv.field_size_limit(min(most, sys.maxsize))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _documents(source: Source, columns: DocumentColumns, rows: Iterable[Row]) -> Iterator[Extract | DataError]:
    seen: set[str] = set()
    for number, (line, row) in enumerate(rows, start=1):
        if isinstance(row, DataError):
            yield row
            continue
        columns = _as_written(columns, row)
        try:
            found = _document(source, columns, number, line, row, seen)
        except DataError as error:
            yield error
        else:
            if found is not None:
                yield found


def _document(
    source: Source, columns: DocumentColumns, number: int, line: int, row: Mapping[str, Any], seen: set[str]
) -> Extract | None:
    if columns.text not in row:
        names = [escape(str(name)) for name in islice(row, SHOWN)]
        there = ", ".join([*names, "..."] if len(row) > SHOWN else names) or "none"
        problem = f"is missing (columns here: {there}). Name the right one in documents.columns.text."
        raise DataError(source.name, problem, record=f"line {line}", field=columns.text)
    id = one_line(_text(source, line, row, columns.id)) or str(number)
    if id in seen:
        raise DataError(source.name, f"the id {escape(id)!r} occurs twice.", record=f"line {line}", field=columns.id)
    title = one_line(_text(source, line, row, columns.title))
    body = TextBuilder()
    body.add(title or "")
    body.add(_text(source, line, row, columns.text))
    year = year_in(_text(source, line, row, columns.year))
    found = body.extract(f"{source.name}/{id}", title=title, year=year, mesh=_list(source, line, row, columns.mesh))
    seen.add(id)
    return found


def _as_written(columns: DocumentColumns, row: Mapping[str, Any]) -> DocumentColumns:
    """The columns under the row's names, which may differ in case and outer spaces."""
    wanted = columns.model_dump()
    if all(name is None or name in row for name in wanted.values()):
        return columns
    there: dict[str, list[str]] = {}
    for name in row:
        there.setdefault(str(name).strip().casefold(), []).append(name)
    found = {
        field: alike[0]
        for field, name in wanted.items()
        if name is not None and name not in row and len(alike := there.get(name.strip().casefold(), [])) == 1
    }
    return columns.model_copy(update=found)


def _text(source: Source, line: int, row: Mapping[str, Any], column: str | None) -> str:
    """A field as text; empty if the column or its value is absent."""
    value = row.get(column) if column else None
    if value is None:
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
    """Rows of a table; tabs separate the cells of a ``.tsv`` file, in other files the header decides."""
    tabs = source.name.lower().removesuffix(".gz").endswith(".tsv")
    with _long_cells(config.max_bytes):
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
