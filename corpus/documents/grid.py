"""Text of tables: a line for each row, with tabs between its cells."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest

HEADER_EVERY = 12  # rows after which a long table repeats its header, so that each passage has a header
HEADER_LENGTH = 2000  # maximum number of characters of a repeated header
_MAX_COLUMN_SPAN = 200
_MAX_GROWTH = 4  # maximum number of characters of repeated cells, relative to the characters of all cells


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text in one line, the number of columns and rows that it spans, and whether it is a header."""

    text: str
    columns: int = 1
    rows: int = 1
    is_header: bool = False


def table_blocks(rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """A table's text in blocks, each with the header and ``HEADER_EVERY`` rows.

    A short table or one with a long header is one block. A cell that spans rows is repeated in each row. A header cell
    that spans columns is repeated in each column.
    """
    filled = [(row, line) for row, line in zip(rows, _lines(rows), strict=True) if line.strip()]
    if not filled:
        return
    lines = [line for _, line in filled]
    header_rows = len(list(takewhile(_is_header, [row for row, _ in filled[:3]])))
    header, body = _one_header(lines[:header_rows]) if header_rows > 1 else lines[:1], lines[header_rows or 1 :]
    # A header with fewer cells than a row gets empty last cells, since ``labelled_cells`` would add empty first ones.
    if "\t" in header[-1]:
        header[-1] += "\t" * max(0, max((line.count("\t") for line in body), default=0) - header[-1].count("\t"))
    lines = [*header, *body]
    if len(body) <= HEADER_EVERY + HEADER_EVERY // 2 or sum(map(len, header)) > HEADER_LENGTH:
        yield "\n".join(lines)
        return
    for first in range(0, len(body), HEADER_EVERY):
        yield "\n".join([*header, *body[first : first + HEADER_EVERY]])


def _is_header(row: Sequence[Cell]) -> bool:
    return bool(row) and all(cell.is_header or not cell.text for cell in row)


def _one_header(lines: Sequence[str]) -> list[str]:
    """Header rows merged into one row by joining the headings of each column; a row with a single heading stays."""
    rows = [line.split("\t") for line in lines]
    titles = [line for line, row in zip(lines, rows, strict=True) if sum(map(bool, row)) == 1]
    rows = [row for row in rows if sum(map(bool, row)) > 1]
    columns = zip_longest(*rows, fillvalue="")
    joined = "\t".join(" ".join(dict.fromkeys(filter(None, column))) for column in columns)
    return [*titles, joined] if rows else titles


def _lines(rows: Sequence[Sequence[Cell]]) -> Iterator[str]:
    """A line for each row. Cells from above that span the row are repeated until the repeated text is too long."""
    width = max((sum(_span(cell) for cell in row) for row in rows), default=0)
    # Remaining number of characters for repeated cells.
    budget = _MAX_GROWTH * sum(len(cell.text) + 1 for row in rows for cell in row) + 1000
    above: dict[int, tuple[Cell, int]] = {}  # by column: a cell from above, and the number of its remaining rows
    for row in rows:
        cells: list[str] = []
        column = 0
        rest = list(reversed(row))  # reversed, so that pop() takes the first cell
        if budget < 0:  # from here on spans are ignored
            above.clear()
        while rest or column in above:
            if column in above:
                cell, rows_left = above.pop(column)
                span = 1
                if rows_left > 1:
                    above[column] = (cell, rows_left - 1)
            else:
                cell = rest.pop()
                span = _span(cell) if budget >= 0 else 1
                if cell.rows > 1 and budget >= 0:
                    above |= {column + place: (cell, cell.rows - 1) for place in range(span)}
            for place in range(span):
                is_repetition = place > 0 or cell not in row
                budget -= len(cell.text) + 1 if is_repetition else 0
                may_repeat = budget >= 0 and (place == 0 or (cell.is_header and span < width))
                cells.append(cell.text if may_repeat or not is_repetition else "")
            column += span
        yield "\t".join(cells).rstrip("\t ")


def _span(cell: Cell) -> int:
    return max(1, min(cell.columns, _MAX_COLUMN_SPAN))
