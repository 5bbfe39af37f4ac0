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
_DELIMITER_LINE = re.compile(r"\ufeff?\"?sep=(.)\"?\s*\Z", re.IGNORECASE)  # Excel's first line that names the delimiter
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_CELL = r'(?:"(?:[^"]|"")*"|[^"\t][^\t]*|)'
_OPENS_CELL = re.compile(rf'(?:{_CELL}\t)*"(?:[^"]|"")*')  # a line whose last quoted cell is not closed
_CONTINUES_CELL = re.compile(rf'(?:[^"]|"")*(?:"\t(?:{_CELL}\t)*"(?:[^"]|"")*)?')  # a line that continues an open cell
_CLOSES_CELL = re.compile(r'(?:[^"\t]|"")*"(?:[\t\r\n]|\Z)')  # a line that closes the cell of the previous line


def csv_rows(
    where: Path | str, lines: Iterable[str], *, tabs: bool, on_record: Callable[[], None] = lambda: None
) -> Iterator[tuple[int, dict[str, str] | DataError]]:
    """Rows as cells by column name, each with the number of its first line; a quoted cell may span lines.

    Spreadsheets write empty cells beyond the header's columns; these are ignored. A ``DataError`` takes the place of a
    row that has text in such cells, or text beside a quoted cell. For quotation marks in tab-separated files see
    ``_tab_separated``.

    Args:
        where: the file, for errors.
        lines: lines with their line ends.
        tabs: whether tabs separate the cells; if not, the most frequent delimiter in the header is taken. A first line
            such as ``sep=;`` overrides this.
        on_record: called after each record, including the header.

    Raises (while iterating):
        DataError: the header has a column twice, or a quoted cell is not closed.
    """
    lines = iter(lines)
    first = _first_record(lines)
    if declared := _DELIMITER_LINE.match(first[0] if first else ""):
        first = _first_record(lines)
    delimiter = declared[1] if declared else "\t" if tabs else _delimiter("".join(first))
    lines = chain(first, lines)
    records = _tab_separated(lines) if delimiter == "\t" else _delimited(lines, delimiter)
    header: list[str] | None = None
    first_line = line_offset = 2 if declared else 1

    def csv_error(error: csv.Error) -> DataError:
        return DataError(where, f"is not CSV: {error}.", record=f"line {first_line}")

    try:
        for last_line, cells in records:
            on_record()
            if isinstance(cells, csv.Error):
                if header is None:
                    raise cells
                yield first_line, csv_error(cells)
            elif header is None:
                header = cells or None
                if duplicate := next((name for name, count in Counter(filter(None, cells)).items() if count > 1), None):
                    raise DataError(
                        where, "names a column twice.", record=f"line {first_line}", field=escape(duplicate)
                    )
            elif any(cell.strip() for cell in cells[len(header) :]):
                yield first_line, DataError(where, "has more cells than the header names.", record=f"line {first_line}")
            elif cells:
                yield first_line, dict(zip(header, cells, strict=False))
            first_line = last_line + line_offset
    except csv.Error as error:
        raise csv_error(error) from None


def _delimited(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """The records of a CSV text, each with the number of its last line; an error takes the place of an invalid one.

    Raises (while iterating):
        csv.Error: the lines of an invalid record leave a quoted cell open, so its end is unknown.
    """
    quotes = 0  # quotation marks in the lines of the current record

    def counted() -> Iterator[str]:
        nonlocal quotes
        for line in lines:
            quotes += line.count('"')
            yield line

    reader = csv.reader(counted(), delimiter=delimiter, strict=True)
    while True:
        quotes = 0
        try:
            cells = next(reader, None)
        except csv.Error as error:
            if quotes % 2:
                raise
            yield reader.line_num, error
        else:
            if cells is None:
                return
            yield reader.line_num, cells


def _tab_separated(lines: Iterable[str]) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """The records of a tab-separated text, each with the number of its last line.

    Some programs quote cells; in other files quotation marks are text. Therefore a line with as many cells as the
    header is a record, and its quoted cells are unquoted only if they contain doubled quotation marks, or if the header
    is quoted too. In a line with another number of cells, a quoted cell may contain tabs. A quoted cell that is not
    closed continues in the next lines, unless the next line is a record.

    Raises (while iterating):
        csv.Error: a quoted cell is not closed, or a line within it is a record.
    """
    lookahead: deque[str] = deque()
    source = iter(lines)

    def next_lines() -> Iterator[str]:
        while True:
            line = lookahead.popleft() if lookahead else next(source, None)
            if line is None:
                return
            yield line

    def record_follows(last_cell: str) -> bool:
        """Whether the next nonblank line is a record and does not close ``last_cell``; True if there is no line."""
        while not lookahead or not lookahead[-1].strip():
            line = next(source, None)
            if line is None:
                return True
            lookahead.append(line)
        line = lookahead[-1]
        return line.count("\t") + 1 >= width and not (last_cell.startswith('"') and _CLOSES_CELL.match(line))

    numbered = enumerate(next_lines(), start=1)
    width, header_is_quoted = 0, False
    for number, line in numbered:
        text, last_line = line.rstrip("\r\n"), number
        cells = text.split("\t") if text else []
        if not width and cells:
            header_is_quoted = all(_QUOTED.fullmatch(cell) for cell in cells)
        is_open = '"' in text and width > 0 and _OPENS_CELL.fullmatch(text) is not None
        is_complete = len(cells) == width and (not is_open or record_follows(cells[-1]))
        if not width or '"' not in text or is_complete:
            cells = [_unquoted(cell, always=header_is_quoted) for cell in cells]
        elif is_open:
            row_lines = [line]
            while is_open:
                last_line, line = next(numbered, (last_line, ""))
                if not line or (line.count("\t") + 1 == width > 1 and "\t" in text):
                    raise csv.Error("a quotation mark opens a cell and is not closed within the row")
                row_lines.append(line)
                is_open = _CONTINUES_CELL.fullmatch(line.rstrip("\r\n")) is not None
            [cells] = csv.reader(row_lines, delimiter="\t", strict=True)
        elif (quoted := next(csv.reader([text], delimiter="\t"))) and len(quoted) >= width and not any(quoted[width:]):
            cells = quoted
        width = width or len(cells)
        yield last_line, cells


def _unquoted(cell: str, *, always: bool) -> str:
    """A cell without surrounding quotation marks, which stay if neither ``always`` nor doubled marks show quoting."""
    if _QUOTED.fullmatch(cell) and (always or cell == '""' or '""' in cell[1:-1]):
        return cell[1:-1].replace('""', '"')
    return cell


def _first_record(lines: Iterator[str]) -> list[str]:
    """The lines up to the end of the header, including blank lines before it."""
    header: list[str] = []
    quotes = 0
    for line in lines:
        header.append(line)
        quotes += line.count('"')
        if line.strip() and quotes % 2 == 0:
            break
    return header


def _delimiter(header: str) -> str:
    """The most frequent delimiter in the header; a comma if there is none."""
    return max(DELIMITERS, key=_QUOTED.sub("", header).count)
