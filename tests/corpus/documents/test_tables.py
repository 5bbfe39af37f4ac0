import json
import re
import time

import pytest
from document_files import lines_jsonl, table_csv
from reading import read_all, read_one

from common.errors import DataError
from corpus.documents.extract import Extract, Problem


def test_each_row_of_a_table_is_a_document() -> None:
    first, second = read_all("a.csv", table_csv())
    assert (first.key, first.text) == ("a.csv/a1", "Heparin\n\nHeparin prevented clots, in 40 patients.\nIt was safe.")
    assert first.metadata == {"title": "Heparin", "year": 2019, "mesh": ["Adult", "Heparin"]}
    assert (second.key, second.text, second.metadata) == ("a.csv/a2", "Statins lowered cholesterol.", {})


def test_each_json_line_is_a_document() -> None:
    first, second = read_all("a.jsonl", "\ufeff" + lines_jsonl() + "\n")
    assert (first.key, first.text) == ("a.jsonl/b1", "Aspirin\n\nAspirin lowered the risk.")
    assert first.metadata == {"title": "Aspirin", "year": 2020, "mesh": ["Adult"]}
    assert (second.key, second.metadata) == ("a.jsonl/7", {"year": 2018})


def test_columns_setting_names_the_columns() -> None:
    columns = {"text": "abstract", "id": None, "title": "name", "year": None, "mesh": None}
    found = read_all("a.tsv", "name\tabstract\tid\tyear\nN\tA, b\t9\t1999\n\tC\t9\t\n", columns=columns)
    assert [(document.key, document.text, document.metadata) for document in found] == [
        ("a.tsv/1", "N\n\nA, b", {"title": "N"}),
        ("a.tsv/2", "C", {}),
    ]


@pytest.mark.parametrize("header", ["ID,Title,Text", " id , TITLE,Text "])
def test_column_names_match_ignoring_case_and_spaces_unless_ambiguous(header: str) -> None:
    [document] = read_all("a.csv", f"{header}\n7,Heparin,It helped.\n")
    assert (document.key, document.text) == ("a.csv/7", "Heparin\n\nIt helped.")
    with pytest.raises(DataError, match="field text: is missing"):
        read_all("a.csv", "Text,TEXT\na,b\n")


@pytest.mark.parametrize("header", ["Title,text", "title,text", "TITLE,text"])
def test_two_settings_may_name_one_column(header: str) -> None:
    [document] = read_all("a.csv", f"{header}\nHeparin,It helped.\n", columns={"id": "Title"})
    assert (document.key, document.metadata) == ("a.csv/Heparin", {"title": "Heparin"})


def test_error_names_the_columns_as_the_file_does() -> None:
    with pytest.raises(DataError, match=r"columns here: Title, Body\)"):
        read_all("a.csv", "Title,Body\nHeparin,It helped.\n")
    with pytest.raises(DataError, match=r"field Text: must be a text, not an object"):
        read_all("a.jsonl", '{"Text": {}}\n')


def test_rows_without_text_are_skipped_but_count_for_ids() -> None:
    found = read_all("a.jsonl", '{"text": null}\n{"text": " "}\n{"text": "c"}\n')
    assert [document.key for document in found] == ["a.jsonl/3"]


def test_nan_in_json_is_a_missing_value() -> None:
    (found,) = read_all("a.jsonl", '{"text": NaN}\n{"id": NaN, "title": NaN, "text": "c", "year": NaN, "mesh": NaN}\n')
    assert (found.key, found.text, found.metadata) == ("a.jsonl/2", "c", {})


def test_missing_value_as_r_writes_it_is_ignored() -> None:
    (found,) = read_all("a.csv", "id,title,text,year,mesh\n1,NA,NA,NA,NA\n2,NA,Zinc helped.,NA,NA\n")
    assert (found.key, found.text, found.metadata) == ("a.csv/2", "Zinc helped.", {})


def test_long_cell_is_read_completely() -> None:
    assert len(read_all("a.csv", "text\n" + "x" * 300_000 + "\n")[0].text) == 300_000
    assert len(read_all("a.csv", "text\na\n", max_bytes=10**30)) == 1


def test_lone_surrogates_and_control_characters_are_removed() -> None:
    (found,) = read_all("a.jsonl", json.dumps({"text": "a\ud800b\x00c\x1b[0m\r\nd"}))
    assert found.text == "abc[0m\nd"


def test_table_with_semicolons_and_decimal_commas_is_read() -> None:
    (found,) = read_all("a.csv", "id;text;year\r\n7;Dose 2,5 mg;2011\r\n")
    assert (found.key, found.text, found.metadata) == ("a.csv/7", "Dose 2,5 mg", {"year": 2011})
    with pytest.raises(DataError, match=r"columns here: id, body\)"):
        read_all("a.csv", "id;body\n1;x\n")


@pytest.mark.parametrize("codec", ["utf-16", "utf-8-sig"])
def test_byte_order_mark_is_accepted(codec: str) -> None:
    assert read_one("a.csv", "text;id\r\nna\u00efve;7\r\n".encode(codec)).text == "na\u00efve"
    documents = read_all("a.jsonl", '{"text": "a"}\n{"text": "b"}'.encode(codec))
    assert [document.key for document in documents] == ["a.jsonl/1", "a.jsonl/2"]


# File name, content, and a pattern of the error.
INVALID_FILES = {
    "missing column": ("a.csv", "id,body\n1,x\n", "record line 2, field text: is missing .*id, body"),
    "too few cells": ("a.csv", "id,text\n1\n", "record line 2, field text"),
    "too many cells": ("a.csv", "id,text\n1,a,b\n", "record line 2: has more cells"),
    "unclosed quotation mark": ("a.csv", 'id,text\n1,a\n2,"open\nx\n', "record line 3: is not CSV"),
    "duplicate id": ("a.csv", "id,text\n1,a\n1,b\n", "record line 3, field id: the id '1' occurs twice"),
    "duplicate column": ("a.csv", "text,text\na,b\n", "names a column twice"),
    "windows-1252": ("a.csv", b"text\ncaf\xe9\n", "not UTF-8 .*documents.encoding=windows-1252"),
    "line with a list": ("a.jsonl", '{"text": "a"}\n[1]\n', "record line 2: must be an object, not a list"),
    "line that is not JSON": ("a.jsonl", "{text}\n", "record line 1: is not JSON"),
    "deep nesting": ("a.jsonl", "[" * 100_000, "record line 1: is not JSON"),
    "object as text": ("a.jsonl", '{"text": {"a": 1}}\n', "field text: must be a text, not an object"),
    "number as MeSH heading": ("a.jsonl", '{"text": "a", "mesh": [1]}\n', "field mesh: must be a text, not a list"),
}


@pytest.mark.parametrize(("name", "raw", "pattern"), INVALID_FILES.values(), ids=INVALID_FILES)
def test_error_names_line_and_field(name: str, raw: str, pattern: str) -> None:
    try:
        message = read_all(name, raw)[-1].why  # raises DataError if no row can be read
    except DataError as error:
        message = str(error)
    assert re.search(pattern, message)


@pytest.mark.parametrize(
    ("name", "raw", "expected_texts", "expected_lines"),
    [
        (
            "a.jsonl",
            '{"text": "a"}\n{"text": \n[2]\n{"body": "b"}\n{"id": "x", "text": "x"}\n{"text": "y", "id": "x"}\n',
            ["a", "x"],
            [2, 3, 4, 6],
        ),
        ("a.csv", "id,text\n1,a\n2,b,c\n1,x\n3\n4,d\n", ["a", "d"], [3, 4, 5]),
        (
            "a.csv",
            'id,text\n1,a\n2,"He said "no pain" today"\n3,"b\nc"\n4,"c" d\n5,5" e\n',
            ["a", "b\nc", '5" e'],
            [3, 6],
        ),
    ],
)
def test_valid_rows_are_read_and_invalid_rows_reported(
    name: str, raw: str, expected_texts: list[str], expected_lines: list[int]
) -> None:
    results = read_all(name, raw)
    assert [result.text for result in results if isinstance(result, Extract)] == expected_texts
    messages = [result.why for result in results if isinstance(result, Problem)]
    lines = [int(match[1]) for why in messages if (match := re.match(rf"{name}, record line (\d+)", why))]
    assert lines == expected_lines


def test_problems_after_the_first_20_are_counted() -> None:
    document, *problems = read_all("a.jsonl", '{"text": "a"}\n' + "{\n" * 1000)
    assert document.text == "a"
    assert len(problems) == 21
    assert problems[-1].why == "a.jsonl: 980 more records cannot be read."


def test_max_bytes_applies_to_each_row() -> None:
    with pytest.raises(DataError, match=r"larger than documents\.max_bytes"):
        read_all("a.jsonl", '{"text": "' + "x" * 300_000, max_bytes=100_000)
    rows = "".join(json.dumps({"text": f"{n} " + "x" * 1000}) + "\n" for n in range(300))
    assert len(read_all("a.jsonl", rows, max_bytes=100_000)) == 300


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_table_with_100_000_columns_is_read_in_seconds(delimiter: str) -> None:
    names = delimiter.join(f"column{number}" for number in range(100_000))
    start = time.process_time()
    assert read_one("a.csv", f"text{delimiter}{names}\nZinc helped.{delimiter}x\n".encode()).text == "Zinc helped."
    with pytest.raises(DataError, match=r"columns here: column0, column1, .*column19, \.\.\.\)"):
        read_one("a.csv", f"{names}\n{delimiter.join(['x'] * 100_000)}\n".encode())
    assert time.process_time() - start < 5
