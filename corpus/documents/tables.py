"""Tables and JSON lines: a document a row, by the column map of the settings."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any

from common.errors import DataError
from common.json_file import kind_of, shown
from corpus.config import DocumentColumns, DocumentsConfig
from corpus.csv_rows import csv_rows
from corpus.documents.extract import Body, Extract, one_line
from corpus.documents.pubmed import year_in
from corpus.documents.source import Limited, Source, open_limited, text_lines

SHOWN = 20  # columns that an error names
Row = tuple[int, Mapping[str, Any]]  # with the line on which it begins


def read_csv(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """Each row of a table with a header; a ``.tsv`` file has tabs between its cells, any other what its header has.

    Raises:
        DataError: as ``read_jsonl``, or it is not CSV.
    """
    with open_limited(source, config) as stream, _long_cells(config.max_bytes):
        tabs = source.name.lower().removesuffix(".gz").endswith(".tsv")
        lines = text_lines(source, stream, "", config)
        yield from _documents(source, config.columns, csv_rows(source.name, lines, tabs=tabs, done=stream.restart))


@contextmanager
def _long_cells(most: int) -> Iterator[None]:
    """Cells of so many characters are read; the limit is one for the whole process, so it is put back."""
    before = csv.field_size_limit(min(most, sys.maxsize))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def read_jsonl(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """Each line, which holds a JSON object.

    A row without text and title is passed over. A document's id is ``FILE/ID``, or ``FILE/N`` by the row's number from
    1 where it has none.

    Raises:
        DataError: a row cannot be used (with its line and field), or an id comes twice.
    """
    with open_limited(source, config) as stream:
        yield from _documents(source, config.columns, _json_rows(source, stream, config))


def _documents(source: Source, columns: DocumentColumns, rows: Iterable[Row]) -> Iterator[Extract]:
    seen: set[str] = set()
    for number, (line, row) in enumerate(rows, start=1):
        columns = _as_written(columns, row)
        if columns.text not in row:
            names = [shown(str(name)) for name in islice(row, SHOWN)]
            there = ", ".join([*names, "..."] if len(row) > SHOWN else names) or "none"
            problem = f"is missing (columns here: {there}). Name the right one in documents.columns.text."
            raise DataError(source.name, problem, record=f"line {line}", field=columns.text)
        id = one_line(_text(source, line, row, columns.id)) or str(number)
        if id in seen:
            raise DataError(source.name, f"the id {shown(id)!r} comes twice.", record=f"line {line}", field=columns.id)
        seen.add(id)
        title = one_line(_text(source, line, row, columns.title))
        body = Body()
        body.add(title or "")
        body.add(_text(source, line, row, columns.text))
        found = body.extract(
            f"{source.name}/{id}",
            title=title,
            year=year_in(_text(source, line, row, columns.year)),
            mesh=_list(source, line, row, columns.mesh),
        )
        if found is not None:
            yield found


def _as_written(columns: DocumentColumns, row: Mapping[str, Any]) -> DocumentColumns:
    """The columns by the row's own names, where these differ in capitals and outer spaces only."""
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
    """A field as text; empty where there is no such column or nothing in it."""
    value = row.get(column) if column else None
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DataError(source.name, f"must be a text, not {kind_of(value)}.", record=f"line {line}", field=column)
    return str(value)


def _list(source: Source, line: int, row: Mapping[str, Any], column: str | None) -> list[str]:
    value = row.get(column) if column else None
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        items: list[str] = value
    else:
        items = _text(source, line, row, column).split(";")
    return [item for item in map(one_line, items) if item]


def _json_rows(source: Source, stream: Limited, config: DocumentsConfig) -> Iterator[Row]:
    for number, line in enumerate(text_lines(source, stream, "\n", config), start=1):
        stream.restart()
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be read"
            raise DataError(source.name, f"is not JSON: {reason}.", record=f"line {number}") from None
        if not isinstance(row, dict):
            raise DataError(source.name, f"must be an object, not {kind_of(row)}.", record=f"line {number}")
        yield number, row
