"""corpus/csv_rows.py: the header says what stands between the cells."""

from io import StringIO

import pytest

from common.errors import DataError
from corpus.csv_rows import csv_rows


def rows(text: str, *, tabs: bool = False) -> list[tuple[int, dict[str, str] | DataError]]:
    return list(csv_rows("a.csv", StringIO(text, newline=""), tabs=tabs))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_commas_semicolons_and_tabs_are_told_apart_by_the_header(delimiter: str) -> None:
    text = 'id,text,year\r\n7,"a; b, c\td",2011\r\n'.replace(",", delimiter).replace(f"b{delimiter} c", "b, c")
    assert rows(text) == [(2, {"id": "7", "text": "a; b, c\td", "year": "2011"})]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"a;b;c;d",e\n1,2\n', ["a;b;c;d", "e"]),
        ('"a;""b;c""",e\n1,2\n', ['a;"b;c"', "e"]),
        ('\n\n"long,\nname, in lines";e\n1;2\n', ["long,\nname, in lines", "e"]),
        ("id;text, short;c\n1;2;3\n", ["id", "text, short", "c"]),
        ("text\na; b\n", ["text"]),
        ("text,a;b\n1,2\n", ["text", "a;b"]),
    ],
)
def test_what_stands_in_quotes_or_more_seldom_does_not_count(text: str, names: list[str]) -> None:
    ((_, row),) = rows(text)
    assert list(row) == names


def test_where_tabs_are_said_the_header_is_not_asked() -> None:
    assert rows("a;b;c\td\n1\t2\n", tabs=True) == [(2, {"a;b;c": "1", "d": "2"})]


def test_each_record_is_told() -> None:
    told: list[int] = []
    lines = StringIO('a;b\n\n"1\n2";3\n', newline="")
    assert list(csv_rows("a.csv", lines, tabs=False, on_record=lambda: told.append(1))) == [(3, {"a": "1\n2", "b": "3"})]
    assert len(told) == 3


def test_without_rows_there_are_none() -> None:
    assert rows("") == rows("a;b\n") == []


def test_a_row_longer_than_the_header_is_named() -> None:
    _, (line, row), _ = rows("a;b\n1;2\n1;2;3\n4;5\n")
    assert (line, str(row)) == (3, "a.csv, record line 3: has more cells than the header names.")


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,2,\n", "a,b,\n1,2,,,\n", "a,b\n1,2, \n", "sep=;\na;b\n1;2;\n", '"sep=\t"\na\tb\n1\t2\t\t\n'],
)
def test_what_spreadsheets_add_is_passed_over(text: str) -> None:
    rows = [row for _, row in csv_rows("a.csv", text.splitlines(keepends=True), tabs=False)]
    assert [{name: row[name] for name in "ab"} for row in rows] == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('a\tb\n"x\ty\nz"\tw\n', [('"x', "y"), ('z"', "w")]),
        ('a\tb\n"Repair" of it\t1\n', [('"Repair" of it', "1")]),
        ('a\tb\n5" long\t"\n', [('5" long', '"')]),
        ('a\tb\n"Repair"\t1\n', [('"Repair"', "1")]),
        ('"a"\t"b"\n"Repair"\t"1"\n', [("Repair", "1")]),
        ('a\tb\n"""Repair"" of it"\t1\n', [('"Repair" of it', "1")]),
        ('a\tb\n1\t"x\n\ny"\n2\tz\n', [("1", "x\n\ny"), ("2", "z")]),
        ('a\tb\n"x\ty"\t1\n', [("x\ty", "1")]),
    ],
)
def test_quotation_marks_in_tab_separated_cells(text: str, rows: list[tuple[str, str]]) -> None:
    found = csv_rows("a.tsv", StringIO(text, newline=""), tabs=True)
    assert [tuple(row.values()) for _, row in found if isinstance(row, dict)] == rows


@pytest.mark.parametrize("text", ['a\tb\tc\n1\t"x\n2\ty\tz"\n', 'a\tb\n1\t"x\nz\n', 'a\tb\n"x\n'])
def test_a_mark_that_would_swallow_a_row_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="line 2"):
        list(csv_rows("a.tsv", StringIO(text, newline=""), tabs=True))


def test_a_cell_over_several_lines_with_spare_tabs_behind_it_is_one_cell() -> None:
    lines = ["title\ttext\n", 'A\t"One.\n', "\n", 'Two."\t\t\n', "B\tThree.\t\t\n"]
    rows = [row for _, row in csv_rows("a.tsv", lines, tabs=True)]
    assert rows == [{"title": "A", "text": "One.\n\nTwo."}, {"title": "B", "text": "Three."}]
