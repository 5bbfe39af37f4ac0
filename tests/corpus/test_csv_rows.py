from io import StringIO
from typing import Any

import pytest

from common.errors import DataError
from corpus.csv_rows import csv_rows


def read_rows(text: str, *, tabs: bool = False) -> list[tuple[int, Any]]:
    return list(csv_rows("a.csv", StringIO(text, newline=""), tabs=tabs))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiter_is_detected_from_the_header(delimiter: str) -> None:
    header, row = delimiter.join(("id", "text", "year")), delimiter.join(("7", '"a; b, c\td"', "2011"))
    assert read_rows(f"{header}\r\n{row}\r\n") == [(2, {"id": "7", "text": "a; b, c\td", "year": "2011"})]


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
def test_delimiter_that_is_quoted_or_rarer_is_part_of_a_column_name(text: str, names: list[str]) -> None:
    ((_, row),) = read_rows(text)
    assert list(row) == names


def test_tabs_option_overrides_detection() -> None:
    assert read_rows("a;b;c\td\n1\t2\n", tabs=True) == [(2, {"a;b;c": "1", "d": "2"})]


def test_on_record_is_called_for_header_blank_line_and_row() -> None:
    calls: list[None] = []
    lines = StringIO('a;b\n\n"1\n2";3\n', newline="")
    found = list(csv_rows("a.csv", lines, tabs=False, on_record=lambda: calls.append(None)))
    assert found == [(3, {"a": "1\n2", "b": "3"})]
    assert len(calls) == 3


def test_empty_file_and_header_alone_have_no_rows() -> None:
    assert read_rows("") == read_rows("a;b\n") == []


def test_row_with_too_many_cells_is_error_with_its_line() -> None:
    _, (line, row), _ = read_rows("a;b\n1;2\n1;2;3\n4;5\n")
    assert (line, str(row)) == (3, "a.csv, record line 3: has more cells than the header names.")


@pytest.mark.parametrize(
    "text", ["a,b\n1,2,\n", "a,b,\n1,2,,,\n", "a,b\n1,2, \n", "sep=;\na;b\n1;2;\n", '"sep=\t"\na\tb\n1\t2\t\t\n']
)
def test_empty_cells_and_separator_line_of_spreadsheets_are_ignored(text: str) -> None:
    assert [{name: row[name] for name in "ab"} for _, row in read_rows(text)] == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(
    ("text", "expected"),
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
def test_quotation_marks_of_a_tab_separated_file_enclose_cells_or_are_text(
    text: str, expected: list[tuple[str, str]]
) -> None:
    assert [tuple(row.values()) for _, row in read_rows(text, tabs=True) if isinstance(row, dict)] == expected


@pytest.mark.parametrize("text", ['a\tb\tc\n1\t"x\n2\ty\tz"\n', 'a\tb\n1\t"x\nz\n', 'a\tb\n"x\n'])
def test_unclosed_quotation_mark_is_an_error(text: str) -> None:
    with pytest.raises(DataError, match="line 2"):
        read_rows(text, tabs=True)


def test_multiline_cell_before_empty_cells_is_one_cell() -> None:
    text = 'title\ttext\nA\t"One.\n\nTwo."\t\t\nB\tThree.\t\t\n'
    found = [row for _, row in read_rows(text, tabs=True)]
    assert found == [{"title": "A", "text": "One.\n\nTwo."}, {"title": "B", "text": "Three."}]
