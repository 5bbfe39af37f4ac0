"""corpus/documents/tables.py: rows by the column map."""

import json
import re
import time

import pytest
from document_files import lines_jsonl, table_csv
from reading import read_all, read_one

from common.errors import DataError
from corpus.documents.extract import Extract, Problem


def test_a_table_gives_a_document_a_row() -> None:
    first, second = read_all("a.csv", table_csv())
    assert (first.key, first.text) == ("a.csv/a1", "Heparin\n\nHeparin prevented clots, in 40 patients.\nIt was safe.")
    assert first.metadata == {"title": "Heparin", "year": 2019, "mesh": ["Adult", "Heparin"]}
    assert (second.key, second.text, second.metadata) == ("a.csv/a2", "Statins lowered cholesterol.", {})


def test_json_lines_give_a_document_each() -> None:
    first, second = read_all("a.jsonl", "\ufeff" + lines_jsonl() + "\n")
    assert (first.key, first.text) == ("a.jsonl/b1", "Aspirin\n\nAspirin lowered the risk.")
    assert first.metadata == {"title": "Aspirin", "year": 2020, "mesh": ["Adult"]}
    assert (second.key, second.metadata) == ("a.jsonl/7", {"year": 2018})


def test_the_column_map_names_the_columns() -> None:
    columns = {"text": "abstract", "id": None, "title": "name", "year": None, "mesh": None}
    found = read_all("a.tsv", "name\tabstract\tid\tyear\nN\tA, b\t9\t1999\n\tC\t9\t\n", columns=columns)
    assert [(one.key, one.text, one.metadata) for one in found] == [
        ("a.tsv/1", "N\n\nA, b", {"title": "N"}),
        ("a.tsv/2", "C", {}),
    ]


@pytest.mark.parametrize("header", ["ID,Title,Text", " id , TITLE,Text "])
def test_columns_are_known_whatever_their_capitals(header: str) -> None:
    [found] = read_all("a.csv", f"{header}\n7,Heparin,It helped.\n")
    assert (found.key, found.text) == ("a.csv/7", "Heparin\n\nIt helped.")
    with pytest.raises(DataError, match="field text: is missing"):
        read_all("a.csv", "Text,TEXT\na,b\n")


def test_rows_without_text_are_passed_over_and_still_counted() -> None:
    found = read_all("a.jsonl", '{"text": null}\n{"text": " "}\n{"text": "c"}\n')
    assert [one.key for one in found] == ["a.jsonl/3"]


def test_a_long_cell_is_read_whole() -> None:
    assert len(read_all("a.csv", "text\n" + "x" * 300_000 + "\n")[0].text) == 300_000
    assert len(read_all("a.csv", "text\na\n", max_bytes=10**30)) == 1


def test_half_characters_and_control_characters_are_left_out() -> None:
    (found,) = read_all("a.jsonl", json.dumps({"text": "a\ud800b\x00c\x1b[0m\r\nd"}))
    assert found.text == "abc[0m\nd"


def test_a_table_as_spreadsheets_write_it_where_a_comma_is_the_decimal_sign() -> None:
    (found,) = read_all("a.csv", "id;text;year\r\n7;Dose 2,5 mg;2011\r\n")
    assert (found.key, found.text, found.metadata) == ("a.csv/7", "Dose 2,5 mg", {"year": 2011})
    with pytest.raises(DataError, match=r"columns here: id, body\)"):
        read_all("a.csv", "id;body\n1;x\n")


@pytest.mark.parametrize("codec", ["utf-16", "utf-8-sig"])
def test_a_table_or_lines_with_a_byte_order_mark(codec: str) -> None:
    assert [one.text for one in read_all("a.csv", "text;id\r\nna\u00efve;7\r\n".encode(codec))] == ["na\u00efve"]
    assert [one.key for one in read_all("a.jsonl", '{"text": "a"}\n{"text": "b"}'.encode(codec))] == [
        "a.jsonl/1",
        "a.jsonl/2",
    ]


BAD = {
    "a column that is not there": ("a.csv", "id,body\n1,x\n", "record line 2, field text: is missing .*id, body"),
    "a short row": ("a.csv", "id,text\n1\n", "record line 2, field text"),
    "a long row": ("a.csv", "id,text\n1,a,b\n", "record line 2: has more cells"),
    "an open quote": ("a.csv", 'id,text\n1,a\n2,"open\nx\n', "record line 3: is not CSV"),
    "an id twice": ("a.csv", "id,text\n1,a\n1,b\n", "record line 3, field id: the id '1' occurs twice"),
    "a column twice": ("a.csv", "text,text\na,b\n", "names a column twice"),
    "another encoding": ("a.csv", b"text\ncaf\xe9\n", "not UTF-8 .*documents.encoding=windows-1252"),
    "a line that is no object": ("a.jsonl", '{"text": "a"}\n[1]\n', "record line 2: must be an object, not a list"),
    "a line that is no JSON": ("a.jsonl", "{text}\n", "record line 1: is not JSON"),
    "a line that is deep": ("a.jsonl", "[" * 100_000, "record line 1: is not JSON"),
    "a text that is none": ("a.jsonl", '{"text": {"a": 1}}\n', "field text: must be a text, not an object"),
    "headings that are none": ("a.jsonl", '{"text": "a", "mesh": [1]}\n', "field mesh: must be a text, not a list"),
}


@pytest.mark.parametrize(("name", "raw", "told"), BAD.values(), ids=BAD)
def test_a_bad_row_is_named(name: str, raw: str, told: str) -> None:
    try:
        problem = read_all(name, raw)[-1].why  # the other rows are read
    except DataError as error:
        problem = str(error)
    assert re.search(told, problem)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        (
            "a.jsonl",
            '{"text": "a"}\n{"text": \n[2]\n{"body": "b"}\n{"id": "x", "text": "x"}\n{"text": "y", "id": "x"}\n',
        ),
        ("a.csv", "id,text\n1,a\n2,b,c\n1,x\n3\n4,d\n"),
    ],
)
def test_good_rows_are_read_and_bad_ones_named(name: str, raw: str) -> None:
    found = read_all(name, raw)
    good = [one.text for one in found if isinstance(one, Extract)]
    problems = [one.why for one in found if isinstance(one, Problem)]
    lines = [int(match[1]) for why in problems if (match := re.match(rf"{name}, record line (\d+)", why))]
    assert (good, lines) == ((["a", "x"], [2, 3, 4, 6]) if name == "a.jsonl" else (["a", "d"], [3, 4, 5]))


def test_many_bad_rows_are_counted() -> None:
    good, *problems = read_all("a.jsonl", '{"text": "a"}\n' + "{\n" * 1000)
    assert good.text == "a"
    assert len(problems) == 21
    assert problems[-1].why == "a.jsonl: 980 more records cannot be read."


def test_a_row_without_end_is_not_read_to_it() -> None:
    with pytest.raises(DataError, match=r"larger than documents\.max_bytes"):
        read_all("a.jsonl", '{"text": "' + "x" * 300_000, max_bytes=100_000)
    many = "".join(json.dumps({"text": f"{n} " + "x" * 1000}) + "\n" for n in range(300))
    assert len(read_all("a.jsonl", many, max_bytes=100_000)) == 300


@pytest.mark.parametrize("between", [",", "\t"])
def test_a_hundred_thousand_columns_are_read_in_seconds(between: str) -> None:
    names = between.join(f"column{number}" for number in range(100_000))
    begin = time.process_time()
    assert read_one("a.csv", f"text{between}{names}\nZinc helped.{between}x\n".encode()).text == "Zinc helped."
    with pytest.raises(DataError, match=r"columns here: column0, column1, .*column19, \.\.\.\)"):
        read_one("a.csv", f"{names}\n{between.join(['x'] * 30)}\n".encode())
    assert time.process_time() - begin < 5
