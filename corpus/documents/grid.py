"""Tables as text: a line for each row, with tabs between its cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

HEADER_EVERY = 12  # rows after which a long table repeats its header, so that each passage shows it
HEADER_LENGTH = 2000  # maximum number of characters in a repeated header
_COLUMNS = 200  # maximum number of columns that a cell spans
_TIMES = 4  # maximum length of a table's text, with spanning cells repeated, in lengths of its cells


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text in one line, the columns and rows it spans, and whether it is a header."""

    text: str
    columns: int = 1
    rows: int = 1
    heads: bool = False


def table_blocks(rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """A table's text in blocks. Each begins with the header, unless the table is short or the header very long.

    A cell that spans rows is repeated in each row, a header that spans columns in each column.
    """
    lines = [line for line in _lines(rows) if line.strip()]
    if not lines:
        return
    heads = 0
    while heads < min(len(rows), 3) and rows[heads] and all(cell.heads or not cell.text for cell in rows[heads]):
        heads += 1
    header, body = _one_header(lines[:heads]) if heads > 1 else lines[:1], lines[heads or 1 :]
    lines = [*header, *body]
    if len(body) <= HEADER_EVERY + HEADER_EVERY // 2 or sum(map(len, header)) > HEADER_LENGTH:
        yield "\n".join(lines)
        return
    for first in range(0, len(body), HEADER_EVERY):
        yield "\n".join([*header, *body[first : first + HEADER_EVERY]])


def _one_header(lines: Sequence[str]) -> list[str]:
    """Header rows as one row, with each column's headings joined; a row with one heading stays separate."""
    rows = [line.split("\t") for line in lines]
    titles = [line for line, row in zip(lines, rows, strict=True) if sum(map(bool, row)) == 1]
    rows = [row for row in rows if sum(map(bool, row)) > 1]
    columns = zip_longest(*rows, fillvalue="")
    joined = "\t".join(" ".join(dict.fromkeys(filter(None, column))) for column in columns)
    return [*titles, joined] if rows else titles


def _lines(rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """A line for each row, with the cells that span it; ``left`` characters remain for repeated cells."""
    width = max((sum(_span(cell) for cell in row) for row in rows), default=0)
    left = _TIMES * sum(len(cell.text) + 1 for row in rows for cell in row) + 1000
    above: dict[int, tuple[Cell, int]] = {}  # by column: a cell from above, and the number of its remaining rows
    for row in rows:
        cells: list[str] = []
        column = 0
        waiting = list(reversed(row))
        if left < 0:  # the text is too long: spans are ignored from here
            above.clear()
        while waiting or column in above:
            if column in above:
                cell, more = above.pop(column)
                span = 1
                if more > 1:
                    above[column] = (cell, more - 1)
                text = cell.text
            else:
                cell = waiting.pop()
                span, text = _span(cell) if left >= 0 else 1, cell.text
                if cell.rows > 1 and left >= 0:
                    above |= {column + place: (cell, cell.rows - 1) for place in range(span)}
            for place in range(span):
                again = place > 0 or cell not in row
                left -= len(text) + 1 if again else 0
                repeated = left >= 0 and (place == 0 or (cell.heads and span < width))
                cells.append(text if not again or repeated else "")
            column += span
        yield "\t".join(cells).rstrip("\t ")


def _span(cell: Cell) -> int:
    return max(1, min(cell.columns, _COLUMNS))
