"""Rows of CSV and tab-separated files."""

import csv
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

from common.errors import DataError
from common.json_file import escape

DELIMITERS = (",", ";", "\t")  # spreadsheets write semicolons in locales with a decimal comma
_SEPARATOR = re.compile(r"\ufeff?\"?sep=(.)\"?\s*\Z", re.IGNORECASE)  # Excel's first line that names the delimiter
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_CELL = r'(?:"(?:[^"]|"")*"|[^"\t][^\t]*|)'
_OPEN = re.compile(rf'(?:{_CELL}\t)*"(?:[^"]|"")*')  # a line whose last quoted cell is not closed
_GOES_ON = re.compile(rf'(?:[^"]|"")*(?:"\t(?:{_CELL}\t)*"(?:[^"]|"")*)?')  # a line that continues an open cell
_CLOSES = re.compile(r'(?:[^"\t]|"")*"(?:[\t\r\n]|\Z)')  # a line that closes the cell of the previous line


def csv_rows(
    where: Path | str, lines: Iterable[str], *, tabs: bool, done: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, dict[str, str] | DataError]]:
    """Rows by the header's names, each with the number of its first line; a quoted cell may span lines.

    A row with text beyond the header's cells is a ``DataError``. Empty cells there, which spreadsheets write, are
    ignored. For quotation marks in tab-separated files see ``_tab_separated``.

    Args:
        where: the file, for errors.
        lines: lines with their ends.
        tabs: whether tabs separate the cells; else the header decides between comma, semicolon and tab.
        done: called after each record.
    """
    lines = iter(lines)
    first = _first_record(lines)
    if named := _SEPARATOR.match(first[0] if first else ""):
        first = _first_record(lines)
    delimiter = named[1] if named else "\t" if tabs else _delimiter("".join(first))
    read = _tab_separated if delimiter == "\t" else _separated(delimiter)
    header: list[str] | None = None
    begins = offset = 2 if named else 1
    try:
        for ends, cells in read(chain(first, lines)):
            done()
            if header is None:
                header = cells or None
                if repeated := next((name for name, times in Counter(filter(None, cells)).items() if times > 1), None):
                    raise DataError(where, "names a column twice.", record=f"line {begins}", field=escape(repeated))
            elif any(cell.strip() for cell in cells[len(header) :]):
                yield begins, DataError(where, "has more cells than the header names.", record=f"line {begins}")
            elif cells:
                yield begins, dict(zip(header, cells, strict=False))
            begins = ends + offset
    except csv.Error as error:
        raise DataError(where, f"is not CSV: {error}.", record=f"line {begins}") from None


def _separated(delimiter: str) -> Callable[[Iterable[str]], Iterator[tuple[int, list[str]]]]:
    """A reader of records, each with the number of lines up to its end."""

    def read(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        for cells in reader:
            yield reader.line_num, cells

    return read


def _tab_separated(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """The records of a tab-separated text, each with the number of lines up to its end.

    Some programs quote cells, in other files quotation marks are text. A line with as many cells as the header is a
    record; its cells are unquoted if they contain doubled quotation marks, or if the header is quoted too. In other
    lines a quoted cell may contain tabs. An open quoted cell continues in the next lines, unless the next line is a
    record.

    Raises (while iterating):
        csv.Error: a quoted cell is not closed, or a line within it is a record.
    """
    waiting: deque[str] = deque()  # lines read ahead
    source = iter(lines)

    def following() -> Iterator[str]:
        while True:
            line = waiting.popleft() if waiting else next(source, None)
            if line is None:
                return
            yield line

    def ends_row(last: str) -> bool:
        """Whether the next line that is not blank has the cells of a record and does not close ``last``."""
        while not waiting or not waiting[-1].strip():
            line = next(source, None)
            if line is None:
                return True
            waiting.append(line)
        return waiting[-1].count("\t") + 1 >= width and not (last.startswith('"') and _CLOSES.match(waiting[-1]))

    numbered = enumerate(following(), start=1)
    width, all_quoted = 0, False
    for number, line in numbered:
        text, last = line.rstrip("\r\n"), number
        cells = text.split("\t") if text else []
        if not width and cells:
            all_quoted = all(_QUOTED.fullmatch(cell) for cell in cells)
        is_open = '"' in text and width > 0 and _OPEN.fullmatch(text) is not None
        if not width or '"' not in text or (len(cells) == width and (not is_open or ends_row(cells[-1]))):
            cells = [_unquoted(cell, always=all_quoted) for cell in cells]
        elif is_open:
            taken = [line]
            while is_open:
                last, more = next(numbered, (last, ""))
                is_record = more.count("\t") + 1 == width > 1 and "\t" in text
                if not more or is_record:
                    raise csv.Error("a quotation mark opens a cell and is not closed within the row")
                taken.append(more)
                is_open = _GOES_ON.fullmatch(more.rstrip("\r\n")) is not None
            [cells] = csv.reader(taken, delimiter="\t", strict=True)
        elif (quoted := next(csv.reader([text], delimiter="\t"))) and len(quoted) >= width and not any(quoted[width:]):
            cells = quoted
        width = width or len(cells)
        yield last, cells


def _unquoted(cell: str, *, always: bool) -> str:
    """A cell without surrounding quotation marks, unless they are part of the text."""
    if _QUOTED.fullmatch(cell) and (always or cell == '""' or '""' in cell[1:-1]):
        return cell[1:-1].replace('""', '"')
    return cell


def _first_record(lines: Iterator[str]) -> list[str]:
    """The lines up to the end of the header, including empty lines before it."""
    taken: list[str] = []
    quotes = 0
    for line in lines:
        taken.append(line)
        quotes += line.count('"')
        if line.strip() and quotes % 2 == 0:
            break
    return taken


def _delimiter(header: str) -> str:
    """The most frequent delimiter in the header; a comma if there is none."""
    bare = _QUOTED.sub("", header)
    return max(DELIMITERS, key=bare.count)
