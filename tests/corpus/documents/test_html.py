"""corpus/documents/html.py: what a reader sees, block by block."""

import pytest
from document_files import HTML
from reading import parts_of, read_one

from common.errors import DataError


def test_a_page_is_read_as_it_is_seen() -> None:
    found = read_one("a.html", HTML)
    assert found.metadata == {"title": "Ward notes & rules"}
    assert parts_of(found) == [
        (
            "Ward notes",
            None,
            "Ward notes\n\nHeparin prevented clots in 40 patients.\nIt was stopped after a week.",
        ),
        (
            "Doses",
            None,
            "Doses\n\nHeparin: 5,000 units\n\nAspirin: 75 mg\n\nDrug\tDose\nStatin\t20 mg\n\nline one\n  line two",
        ),
    ]


def test_a_table_and_a_definition_stay_whole() -> None:
    rows = "<tr><th>INR</th><th>Do</th></tr>\n <tr> <td>5 to 8</td>\n<td>Wait</td></tr><tr></tr>"
    page = f"<p>a</p><table><caption>High INR</caption><tbody>{rows}</tbody></table>b"
    assert read_one("a.html", page).text == "a\n\nHigh INR\n\nINR\tDo\n5 to 8\tWait\n\nb"
    terms = "<dl><dt>Grade 1</dt> <dd>Red skin</dd><dt>Grade 2</dt><dt>Grade 3</dt><dd><p>Fat</p></dd></dl><p>b</p>"
    assert read_one("a.html", terms).text == "Grade 1: Red skin\n\nGrade 2\n\nGrade 3:\n\nFat\n\nb"


def test_what_no_reader_reads_is_left_out_to_its_end() -> None:
    text = "<p>one</p><nav>a <b>b</b> c<p>d</p> e</nav>two<template><p>x</p>y</template>"
    assert read_one("a.html", text).text == "one\n\ntwo"


def test_text_outside_of_blocks_and_between_them_is_read() -> None:
    found = read_one("a.html", "before<div>in <b>it</b><p>below</p>after</div>behind")
    assert found.text == "before\n\nin it\n\nbelow\n\nafter\n\nbehind"
    headed = read_one("a.html", "<h2><div>Doses</div></h2>5,000  units")
    assert parts_of(headed) == [("Doses", None, "Doses\n\n5,000 units")]


@pytest.mark.parametrize(
    "raw",
    [
        '<meta charset="utf-8"><p>na\u00efve'.encode(),
        '<meta charset="utf-8"><p>na\u00efve'.encode("utf-16"),
        '<meta charset="iso-8859-1"><p>na\u00efve'.encode("latin-1"),
        '<meta http-equiv="Content-Type" content="text/html; charset=koi8-r"><p>na\u00efve'.encode("koi8-r", "ignore"),
        "<p>na\u00efve".encode(),
        "<p>na\u00efve".encode("cp1252"),
        "\ufeff<meta charset=latin-1><p>na\u00efve".encode(),
        '<meta charset="nonsense"><p>na\u00efve'.encode(),
        '<meta charset="utf-16"><p>na\u00efve'.encode(),
        '<meta charset="idna"><p>na\u00efve'.encode(),
        '<meta charset="undefined"><p>na\u00efve'.encode(),
        '<?xml version="1.0" encoding="iso-8859-1"?><html><body><p>na\u00efve</p></body></html>'.encode("latin-1"),
    ],
    ids=[
        "utf-8",
        "utf-16",
        "latin-1",
        "koi8",
        "unnamed utf-8",
        "unnamed old",
        "mark",
        "unknown",
        "not utf-16",
        "no texts",
        "no encoding",
        "xhtml",
    ],
)
def test_the_encoding_is_the_pages(raw: bytes) -> None:
    assert read_one("a.html", raw).text in ("na\u00efve", "nave")


def test_an_encoding_may_give_halves_of_characters() -> None:
    assert read_one("a.html", rb'<meta charset="unicode_escape"><p>na\ud800ve').text == "na?ve"


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"<html><script>x</script></html>", "holds no text"),
        (b"<p>a\0b", "NUL"),
        (b"%PDF-1.4", "a PDF file: name it .pdf"),
        (b" ", "is empty"),
    ],
)
def test_what_is_no_page_is_refused(raw: bytes, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_one("a.html", raw)


def test_a_very_deep_page_is_no_crash() -> None:
    with pytest.raises(DataError, match="to its end"):
        read_one("a.html", "<div>" * 100_000 + "x")
