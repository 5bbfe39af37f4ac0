"""Layout of a PDF page: lines in reading order, rows of tables, and gaps between paragraphs."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, median_low
from typing import NamedTuple

_COLUMN = 120  # minimum distance of columns in points
_PROSE = 15  # minimum number of characters in a line of a column; cells of tables have fewer
_SAME_LINE = 0.3  # maximum difference in height within a line, in font sizes
_CELL_GAP = 0.8  # minimum distance of two cells in font sizes
_KNOWN_GAP = 0.3  # the same if a cell of another row begins at the same x
_SINGLE_WORDS = 3  # average number of stretches in a line from which most stretches are single words
_PARAGRAPH_GAP = 1.25  # minimum distance of two paragraphs' lines in usual distances of lines
_NARROW, _WIDE, _OTHER, _CAPITAL, _MONOSPACED = 0.3, 0.85, 0.54, 0.13, 0.6  # usual widths in font sizes
_NARROWS = frozenset("iljtfrI.,;:'|!()[]-/ ’·")
_WIDES = frozenset("mwMW%@")
_SIZES = 0.08  # minimum relative difference of the font sizes of two paragraphs
_MARK = re.compile(r"(?:[^\w\s]{1,3}|o|\(?(?:\w{1,3}|\d+(?:\.\d+)+)[.)]|\[\d+\])\Z")  # a bullet or an item's number
_NUMBER = re.compile(r"\d{1,3}(?:\.\d{1,2})*\Z")  # an item's number if only one stretch follows
_GOES_ON = re.compile(
    r"(?:[,;:(–—-]|\b(?:[Tt]he|an?|of|in|on|at|to|for|with|and|or|by|from|than|as|is|are|was|were))\Z"
)


class Stretch(NamedTuple):
    """Text without a line break.

    Attributes:
        x: its start in points, in the direction of writing.
        y: the height of its baseline in points.
        size: the size of its font in points.
        bold: whether its font is bold.
        text: the text.
        monospaced: whether all characters of its font are of one width.
    """

    x: float
    y: float
    size: float
    bold: bool
    text: str
    monospaced: bool = False

    @property
    def width(self) -> float:
        """Width in points by typical character widths, since those in files are often missing or wrong."""
        text = self.text.strip()
        if self.monospaced:
            return _MONOSPACED * self.size * len(text)
        return self.size * sum(map(_width, text))


def _width(character: str) -> float:
    if character in _NARROWS:
        return _NARROW
    if character in _WIDES or character > "\u2e80":
        return _WIDE
    return _OTHER + _CAPITAL * character.isupper()


@dataclass(frozen=True, slots=True)
class _Line:
    text: str
    y: float
    size: float
    bold: bool
    is_row: bool


def page_text(lines: Sequence[Sequence[Stretch]]) -> str:
    """The text of a page, with tabs between the cells of a table's row and blank lines between paragraphs.

    A paragraph ends where the font size changes, the line distance grows, or bold text begins or ends, unless the next
    line begins in lower case. Two columns of prose are read one after the other.

    Args:
        lines: in the order of the file, each with its stretches from left to right.
    """
    scale = _scale(lines)
    whole = list(_whole_lines(lines, scale))
    ordered = in_columns(whole) or whole
    starts = Counter(
        round(right.x) for line in ordered for left, right in pairwise(line) if _is_apart(left, right, scale)
    )
    columns = {start for start, times in starts.items() if times > 1}
    laid = [_line(line, scale, columns) for line in ordered]
    distances: dict[int, list[float]] = {}
    for above, below in pairwise(laid):
        if round(above.size) == round(below.size) and 0 < above.y - below.y < 3 * above.size and not below.is_row:
            distances.setdefault(round(below.size), []).append(above.y - below.y)
    usual = {size: median_low(found) for size, found in distances.items()}
    text = ""
    above_: _Line | None = None
    for line in laid:
        if above_ is not None:
            text += "\n\n" if _ends_paragraph(above_, line, usual.get(round(line.size), 1.5 * line.size)) else "\n"
        text += line.text
        above_ = line
    return text


def in_columns(lines: Sequence[Sequence[Stretch]]) -> list[Sequence[Stretch]] | None:
    """The lines of a page with two columns of prose, column by column; None for other pages."""
    pairs = [line for line in lines if len(line) == 2 and all(len(one.text.strip()) >= _PROSE for one in line)]
    if len(pairs) < 4:
        return None
    (right, times) = Counter(round(line[1].x / 4) * 4 for line in pairs).most_common(1)[0]
    left = min(line[0].x for line in pairs)
    if times < 0.7 * len(pairs) or right - left < _COLUMN:
        return None
    widest = max(len(line[0].text.strip()) for line in pairs)
    found: list[Sequence[Stretch]] = []
    columns: tuple[list[Sequence[Stretch]], list[Sequence[Stretch]]] = ([], [])
    for line in lines:
        if len(line) == 2 and abs(line[1].x - right) <= 8:
            for column, one in zip(columns, line, strict=True):
                column.append([one])
        elif len(line) == 1 and line[0].x >= right - 8:
            columns[1].append(line)
        elif len(line) == 1 and len(line[0].text.strip()) <= widest and any(columns):
            columns[0].append(line)
        else:
            found += [*columns[0], *columns[1], line]
            columns = ([], [])
    return [*found, *columns[0], *columns[1]]


def _scale(lines: Sequence[Sequence[Stretch]]) -> float:
    """The width of the page's characters relative to the typical widths, if words are placed one by one, as by OCR."""
    pairs = [(one, after) for line in lines for one, after in pairwise(line) if one.width > 0]
    if not pairs or len(pairs) < _SINGLE_WORDS * len(lines):
        return 1.0
    return max(1.0, median((after.x - one.x) / one.width for one, after in pairs))


def _whole_lines(lines: Sequence[Sequence[Stretch]], scale: float) -> Iterator[Sequence[Stretch]]:
    """The lines, joined if they are side by side at one height, as cells of a row may be."""
    open_: list[Stretch] = []
    for line in lines:
        if open_ and line:
            last, first = open_[-1], line[0]
            same = abs(last.y - first.y) < _SAME_LINE * min(last.size, first.size)
            if not (same and first.x > last.x and _is_apart(last, first, scale)):
                yield open_
                open_ = []
        open_ += line
    if open_:
        yield open_


def _is_apart(left: Stretch, right: Stretch, scale: float, columns: Collection[int] = ()) -> bool:
    """Whether the gap between two stretches is that of table cells; a smaller one is enough at a known column."""
    gap = (right.x - left.x - scale * left.width) / max(left.size, right.size)
    return gap > _CELL_GAP or (gap > _KNOWN_GAP and round(right.x) in columns)


def _line(stretches: Sequence[Stretch], scale: float, columns: Collection[int]) -> _Line:
    text, cell = stretches[0].text, stretches[0]
    for one in stretches[1:]:
        if text.strip() and _is_apart(cell, one, scale, columns):
            before = text.strip()
            is_mark = _MARK.match(before) or (len(stretches) == 2 and _NUMBER.match(before))
            gap = " " if is_mark else "\t"
            text = text.rstrip() + gap + one.text.lstrip()
            cell = one
        else:
            text += one.text
            cell = cell._replace(text=cell.text + one.text)
    sizes: Counter[tuple[float, float]] = Counter()
    for one in stretches:
        sizes[one.size, one.y] += len(one.text.strip())
    (size, y), _ = sizes.most_common(1)[0]
    bold = all(one.bold for one in stretches if one.text.strip())
    return _Line(text.strip(), y, size, bold, "\t" in text.strip())


def _ends_paragraph(above: _Line, below: _Line, usual: float) -> bool:
    if above.is_row != below.is_row:
        return True
    if above.is_row or below.text[:1].islower():
        return False
    if abs(above.size - below.size) > _SIZES * max(above.size, below.size):
        return True
    if above.y - below.y > _PARAGRAPH_GAP * usual:
        return True
    return above.bold != below.bold and _GOES_ON.search(above.text) is None
