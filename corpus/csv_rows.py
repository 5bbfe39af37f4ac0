"""Rows of CSV files, whatever stands between their cells."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from common.errors import DataError
from common.json_file import shown

DELIMITERS = (",", ";", "\t")  # spreadsheets write the second where a comma is the decimal sign
_SEPARATOR = re.compile(r"\ufeff?\"?sep=(.)\"?\s*\Z", re.IGNORECASE)  # Excel's first line that names the delimiter
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def csv_rows(
    where: Path | str, lines: Iterable[str], *, tabs: bool, done: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows by the header's names, each with the line on which it begins, from 1: a quoted cell may hold several lines.

    Args:
        where: the file, for errors.
        lines: with their ends.
        tabs: there are tabs between the cells; else the header says what is: comma, semicolon or tab.
        done: called after each record.

    Raises (while iterating):
        DataError: it is not CSV, names a column twice, or has a row with words beyond the header's cells; empty
            cells there are passed over, as spreadsheets write them.
    """
    lines = iter(lines)
    first = _first_record(lines)
    if named := _SEPARATOR.match(first[0] if first else ""):
        first = _first_record(lines)
    begins = 2 if named else 1
    delimiter = named[1] if named else "\t" if tabs else _delimiter("".join(first))
    reader = csv.reader(chain(first, lines), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    offset = begins - 1
    try:
        for cells in reader:
            done()
            if header is None:
                header = cells or None
                if repeated := next((name for name in cells if name and cells.count(name) > 1), None):
                    raise DataError(where, "names a column twice.", record=f"line {begins}", field=shown(repeated))
            elif any(cell.strip() for cell in cells[len(header) :]):
                raise DataError(where, "has more cells than the header names.", record=f"line {begins}")
            elif cells:
                yield begins, dict(zip(header, cells, strict=False))
            begins = reader.line_num + 1 + offset
    except csv.Error as error:
        raise DataError(where, f"is not CSV: {error}.", record=f"line {begins}") from None


def _first_record(lines: Iterator[str]) -> list[str]:
    """The lines up to the end of the header, empty ones before it included."""
    taken: list[str] = []
    quotes = 0
    for line in lines:
        taken.append(line)
        quotes += line.count('"')
        if line.strip() and quotes % 2 == 0:
            break
    return taken


def _delimiter(header: str) -> str:
    """What stands most often between the header's cells; a comma where nothing does."""
    bare = _QUOTED.sub("", header)
    return max(DELIMITERS, key=bare.count)
