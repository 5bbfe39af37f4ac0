"""Layout of a PDF page: lines in reading order, rows of tables, and gaps between paragraphs."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from statistics import median, median_low
from typing import NamedTuple

_MIN_COLUMN_DISTANCE = 120  # points between the starts of two columns
_COLUMN_TOLERANCE = 8  # points between the starts of lines in one column
_MIN_ALIGNED = 0.7  # share of lines with two stretches whose right stretch begins where the right column does
_MIN_PROSE = 15  # characters of a line in a column of prose; cells of tables have fewer
_MAX_LINE_OFFSET = 0.3  # vertical offset of stretches in one line, in font sizes
_MIN_CELL_GAP = 0.8  # between two cells, in font sizes
_MIN_KNOWN_CELL_GAP = 0.3  # between two cells, in font sizes, if another row has a cell at this x
_OCR_STRETCHES = 3  # average stretches per line of a page whose words are placed one by one, as by OCR
_MIN_PARAGRAPH_GAP = 1.25  # between paragraphs, relative to the usual distance of lines
_NARROW, _WIDE, _OTHER, _CAPITAL, _MONOSPACED = 0.3, 0.85, 0.54, 0.13, 0.6  # typical character widths in font sizes
_NARROW_CHARACTERS = frozenset("iljtfrI.,;:'|!()[]-/ ’·")
_WIDE_CHARACTERS = frozenset("mwMW%@")
_MIN_SIZE_DIFFERENCE = 0.08  # relative difference of font sizes that separates paragraphs
# A list item's bullet or number.
_ITEM_MARK = re.compile(r"(?:[^\w\s]{1,3}|o|\(?(?:\w{1,3}|\d+(?:\.\d+)+)[.)]|\[\d+\])\Z")
_ITEM_NUMBER = re.compile(r"\d{1,3}(?:\.\d{1,2})*\Z")  # a list item's number, if only one stretch follows
_UNFINISHED = re.compile(
    r"(?:[,;:(–—-]|\b(?:[Tt]he|an?|of|in|on|at|to|for|with|and|or|by|from|than|as|is|are|was|were))\Z"
)


class Stretch(NamedTuple):
    """Text without a line break.

    Attributes:
        x: start in points, along the direction of writing.
        y: height of the baseline in points.
        size: font size in points.
        bold: whether the font is bold.
        text: the text.
        monospaced: whether all characters of the font have the same width.
    """

    x: float
    y: float
    size: float
    bold: bool
    text: str
    monospaced: bool = False

    @property
    def width(self) -> float:
        """Estimated width in points; the widths in files are often missing or wrong."""
        text = self.text.strip()
        if self.monospaced:
            return _MONOSPACED * self.size * len(text)
        return self.size * sum(map(_width, text))


def _width(character: str) -> float:
    if character in _NARROW_CHARACTERS:
        return _NARROW
    if character in _WIDE_CHARACTERS or character > "\u2e80":
        return _WIDE
    return _OTHER + _CAPITAL * character.isupper()


class _Cell(NamedTuple):
    start: float  # in points
    end: float  # in points, estimated
    text: str


@dataclass(frozen=True, slots=True)
class _Line:
    cells: Sequence[_Cell]
    y: float
    size: float
    bold: bool
    is_row: bool

    @property
    def text(self) -> str:
        return "\t".join(cell.text for cell in self.cells)


def page_text(lines: Sequence[Sequence[Stretch]]) -> str:
    """The text of a page, with tabs between the cells of a row and blank lines between paragraphs.

    A paragraph ends where the font size changes, the line distance grows, or bold text begins or ends, unless the next
    line begins in lower case. If a page has two columns of prose, the left column is read before the right one.

    Args:
        lines: the lines in the order of the file, each with its stretches from left to right.
    """
    scale = _scale(lines)
    joined = list(_joined_lines(lines, scale))
    ordered = in_columns(joined) or joined
    starts = Counter(
        round(right.x) for line in ordered for left, right in pairwise(line) if _is_apart(left, right, scale)
    )
    columns = {start for start, count in starts.items() if count > 1}
    laid_out = list(_with_empty_cells([_line(line, scale, columns) for line in ordered]))
    distances: dict[int, list[float]] = {}
    for above, below in pairwise(laid_out):
        if round(above.size) == round(below.size) and 0 < above.y - below.y < 3 * above.size and not below.is_row:
            distances.setdefault(round(below.size), []).append(above.y - below.y)
    usual_distance = {size: median_low(of_size) for size, of_size in distances.items()}
    text = ""
    previous: _Line | None = None
    for line in laid_out:
        if previous is not None:
            distance = usual_distance.get(round(line.size), 1.5 * line.size)
            text += "\n\n" if _ends_paragraph(previous, line, distance) else "\n"
        text += line.text
        previous = line
    return text


def in_columns(lines: Sequence[Sequence[Stretch]]) -> list[Sequence[Stretch]] | None:
    """The lines of a page with two columns of prose, column by column; None for other pages."""
    pairs = [line for line in lines if len(line) == 2 and all(len(cell.text.strip()) >= _MIN_PROSE for cell in line)]
    if len(pairs) < 4:
        return None
    (right_start, count) = Counter(round(line[1].x / 4) * 4 for line in pairs).most_common(1)[0]
    left_start = min(line[0].x for line in pairs)
    if count < _MIN_ALIGNED * len(pairs) or right_start - left_start < _MIN_COLUMN_DISTANCE:
        return None
    widest = max(len(line[0].text.strip()) for line in pairs)
    ordered: list[Sequence[Stretch]] = []
    columns: tuple[list[Sequence[Stretch]], list[Sequence[Stretch]]] = ([], [])
    for line in lines:
        if len(line) == 2 and abs(line[1].x - right_start) <= _COLUMN_TOLERANCE:
            for column, stretch in zip(columns, line, strict=True):
                column.append([stretch])
        elif len(line) == 1 and line[0].x >= right_start - _COLUMN_TOLERANCE:
            columns[1].append(line)
        elif len(line) == 1 and len(line[0].text.strip()) <= widest and any(columns):
            columns[0].append(line)
        else:
            ordered += [*columns[0], *columns[1], line]
            columns = ([], [])
    return [*ordered, *columns[0], *columns[1]]


def _scale(lines: Sequence[Sequence[Stretch]]) -> float:
    """The page's character widths relative to the typical ones.

    It is 1 unless words are placed one by one, as by OCR, so that the distances between words show their widths.
    """
    pairs = [(left, right) for line in lines for left, right in pairwise(line) if left.width > 0]
    if not pairs or len(pairs) < _OCR_STRETCHES * len(lines):
        return 1.0
    return max(1.0, median((right.x - left.x) / left.width for left, right in pairs))


def _joined_lines(lines: Sequence[Sequence[Stretch]], scale: float) -> Iterator[Sequence[Stretch]]:
    """The lines; lines that are side by side at one height, such as the cells of a row, are joined into one."""
    joined: list[Stretch] = []
    for line in lines:
        if joined and line:
            last, first = joined[-1], line[0]
            same_height = abs(last.y - first.y) < _MAX_LINE_OFFSET * min(last.size, first.size)
            if not (same_height and first.x > last.x and _is_apart(last, first, scale)):
                yield joined
                joined = []
        joined += line
    if joined:
        yield joined


def _is_apart(left: Stretch, right: Stretch, scale: float, columns: Collection[int] = ()) -> bool:
    """Whether the gap between two stretches is one between table cells; at a known column a smaller gap is enough."""
    gap = (right.x - left.x - scale * left.width) / max(left.size, right.size)
    return gap > _MIN_CELL_GAP or (gap > _MIN_KNOWN_CELL_GAP and round(right.x) in columns)


def _line(stretches: Sequence[Stretch], scale: float, columns: Collection[int]) -> _Line:
    cells = [stretches[0]]
    mark = ""  # of a list item
    for stretch in stretches[1:]:
        cell = cells[-1]
        before = cell.text.strip()
        if before and _is_apart(cell, stretch, scale, columns):
            is_first = len(cells) == 1 and not mark
            if is_first and (_ITEM_MARK.match(before) or (len(stretches) == 2 and _ITEM_NUMBER.match(before))):
                mark = f"{before} "
                cells = [stretch]
            else:
                cells.append(stretch)
        else:
            cells[-1] = cell._replace(text=cell.text + stretch.text)
    sizes: Counter[tuple[float, float]] = Counter()
    for stretch in stretches:
        sizes[stretch.size, stretch.y] += len(stretch.text.strip())
    (size, y), _ = sizes.most_common(1)[0]
    bold = all(stretch.bold for stretch in stretches if stretch.text.strip())
    texts = [cell.text.strip() for cell in cells]
    texts[0] = mark + texts[0]
    ends = [cell.x + scale * cell.width for cell in cells]
    placed = [_Cell(cell.x, end, text) for cell, end, text in zip(cells, ends, texts, strict=True)]
    return _Line(placed, y, size, bold, "\t" in "\t".join(texts))


def _with_empty_cells(lines: Sequence[_Line]) -> Iterator[_Line]:
    """The lines; a row of a table gets an empty cell for each column that it skips before its last cell.

    In a group of adjacent rows, those with the most cells determine the columns. A row whose cells do not match the
    columns stays as it is.
    """
    for is_row, group in groupby(lines, key=lambda line: line.is_row):
        rows = list(group)
        width = max(len(row.cells) for row in rows)
        full = [row.cells for row in rows if len(row.cells) == width]
        columns = [(min(c.start for c in cells), max(c.end for c in cells)) for cells in zip(*full, strict=True)]
        are_apart = all(left[1] <= right[0] for left, right in pairwise(columns))
        for row in rows:
            by_column = _cells_by_column(row, columns) if is_row and are_apart and len(row.cells) < width else None
            if by_column is None:
                yield row
            else:
                cells = [by_column.get(column, _Cell(*columns[column], "")) for column in range(max(by_column) + 1)]
                yield replace(row, cells=cells)


def _cells_by_column(row: _Line, columns: Sequence[tuple[float, float]]) -> dict[int, _Cell] | None:
    """The cells of a row by column; None unless each cell overlaps exactly one column and no column has two cells."""
    by_column: dict[int, _Cell] = {}
    for cell in row.cells:
        overlapping = [at for at, (start, end) in enumerate(columns) if cell.start < end and start < cell.end]
        if len(overlapping) != 1 or overlapping[0] in by_column:
            return None
        by_column[overlapping[0]] = cell
    return by_column


def _ends_paragraph(above: _Line, below: _Line, usual_distance: float) -> bool:
    if above.is_row != below.is_row:
        return True
    if above.is_row or below.text[:1].islower():
        return False
    if abs(above.size - below.size) > _MIN_SIZE_DIFFERENCE * max(above.size, below.size):
        return True
    if above.y - below.y > _MIN_PARAGRAPH_GAP * usual_distance:
        return True
    return above.bold != below.bold and _UNFINISHED.search(above.text) is None
