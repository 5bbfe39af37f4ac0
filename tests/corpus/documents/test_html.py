import time

import pytest
from document_files import HTML
from reading import parts_of, read_one

from common.errors import DataError


def test_visible_text_is_read_with_headings_as_sections() -> None:
    found = read_one("a.html", HTML)
    assert found.metadata == {"title": "Ward notes & rules"}
    assert parts_of(found) == [
        ("Ward notes", None, "Ward notes\n\nHeparin prevented clots in 40 patients.\nIt was stopped after a week."),
        (
            "Doses",
            None,
            "Doses\n\nHeparin: 5,000 units\n\nAspirin: 75 mg\n\nDrug\tDose\nStatin\t20 mg\n\nline one\n  line two",
        ),
    ]


def test_heading_that_contains_a_block_element_is_a_section() -> None:
    page = read_one("a.html", "<h2><div>Doses</div></h2>5,000  units")
    assert parts_of(page) == [("Doses", None, "Doses\n\n5,000 units")]


@pytest.mark.parametrize(
    "page",
    [
        "<title> Gout\n</title><h1>Doses</h1>",
        "<title>Untitled Document</title><h1>Gout</h1>",
        "<body><svg><title>Icon</title></svg><h1>Gout</h1>",
        "<body><h1>Doses</h1><title>Gout</title>",
    ],
)
def test_title_is_the_title_element_or_else_the_first_heading(page: str) -> None:
    assert read_one("a.html", page).metadata == {"title": "Gout"}


ENCODED_PAGES = {
    "utf-8": '<meta charset="utf-8"><p>na\u00efve'.encode(),
    "utf-16": '<meta charset="utf-8"><p>na\u00efve'.encode("utf-16"),
    "latin-1": '<meta charset="iso-8859-1"><p>na\u00efve'.encode("latin-1"),
    "koi8-r": b'<meta http-equiv="Content-Type" content="text/html; charset=koi8-r"><p>nave',
    "undeclared utf-8": "<p>na\u00efve".encode(),
    "undeclared cp1252": "<p>na\u00efve".encode("cp1252"),
    "byte order mark": "\ufeff<meta charset=latin-1><p>na\u00efve".encode(),
    "unknown encoding": '<meta charset="nonsense"><p>na\u00efve'.encode(),
    "wrong utf-16": '<meta charset="utf-16"><p>na\u00efve'.encode(),
    "idna": '<meta charset="idna"><p>na\u00efve'.encode(),
    "undefined": '<meta charset="undefined"><p>na\u00efve'.encode(),
    "xhtml": '<?xml version="1.0" encoding="iso-8859-1"?><html><body><p>na\u00efve</p></body></html>'.encode("latin-1"),
}


@pytest.mark.parametrize("raw", ENCODED_PAGES.values(), ids=ENCODED_PAGES)
def test_encoding_of_the_page_is_detected(raw: bytes) -> None:
    assert read_one("a.html", raw).text in ("na\u00efve", "nave")


def test_lone_surrogate_of_an_encoding_is_replaced() -> None:
    assert read_one("a.html", rb'<meta charset="unicode_escape"><p>na\ud800ve').text == "na?ve"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        *((b"<html><script>x</script></html>", "has no visible text"), (b"<p>a\0b", "NUL"), (b" ", "is empty")),
        (b"%PDF-1.4", "a PDF file: name it .pdf"),
    ],
)
def test_invalid_file_is_an_error(raw: bytes, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_one("a.html", raw)


def test_very_deep_page_is_an_error() -> None:
    with pytest.raises(DataError, match="to its end"):
        read_one("a.html", "<div>" * 100_000 + "x")


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("before<div>in <b>it</b><p>below</p>after</div>behind", "before\n\nin it\n\nbelow\n\nafter\n\nbehind"),
        ("<p>one</p><nav>a <b>b</b> c<p>d</p> e</nav>two<template><p>x</p>y</template>", "one\n\ntwo"),
        (
            "<dl><dt>Grade 1</dt> <dd>Red skin</dd><dt>Grade 2</dt><dt>Grade 3</dt><dd><p>Fat</p></dd></dl><p>b</p>",
            "Grade 1: Red skin\n\nGrade 2\n\nGrade 3:\n\nFat\n\nb",
        ),
        (
            "<p>a</p><table><caption>High INR</caption><tbody><tr><th>INR</th><th>Do</th></tr>\n <tr> <td>5 to 8</td>"
            "\n<td>Wait</td></tr><tr></tr></tbody></table>b",
            "a\n\nHigh INR\n\nINR\tDo\n5 to 8\tWait\n\nb",
        ),
        ("<p>Seen.<p hidden>Not.<p style='Display : none;'>Not.<p style='visibility:hidden'>Not.", "Seen."),
        ("<p>Give <del>40</del> <ins>4</ins> mg, not <s>8</s><strike>9</strike> 2 mg.", "Give 4 mg, not 2 mg."),
        ("<p>Seen <span hidden>not </span>here.<dialog>Not.</dialog>", "Seen here."),
        ("<button aria-controls=a>Dose</button><div id=a hidden>5 mg.</div>", "Dose\n\n5 mg."),
        ("<div data-target='#a' class=x>Dose</div><div id=a style='display:none'>5 mg.</div>", "Dose\n\n5 mg."),
        ("<h3><button>Dose</button></h3><p>5 mg.<button>Copy</button>", "Dose\n\n5 mg."),
        ("<details><summary>Dose</summary>5 mg.</details>", "Dose\n\n5 mg."),
        ("<p>10<sup>9</sup>/L, kg/m<sup>2</sup>, CO<sub>2</sub>", "10^9/L, kg/m^2, CO2"),
        ("<p>10<sup>&minus;3</sup>, Ca<sup>2+</sup>, the 4<sup>th</sup>", "10^−3, Ca^2+, the 4th"),
        ("<p>It fell by 40.<sup>12</sup> It rose.<sup>[3]</sup> End.", "It fell by 40.^12 It rose.[3] End."),
        ("<p>Above <math><mn>30</mn></math> mL", "Above 30 mL"),
        ("<p>At <math><mn>5</mn><mo>×</mo><msup><mn>10</mn><mn>9</mn></msup></math>/L", "At 5 × 10^9/L"),
        ("<p><math><mfrac><mi>a</mi><mrow><mi>b</mi><mo>+</mo><mn>1</mn></mrow></mfrac></math>", "a/(b + 1)"),
        ("<p>5 &#150; 10 mg", "5 – 10 mg"),
        ("<div>At $<div style='display:inline'><span>5.22</span></div> each", "At $5.22 each"),
        ("<table><tr><td><p>A<td><ul><li>1<li>2</ul><tr><td><div>B</div><td>3</table>", "A\t1 2\nB\t3"),
        ("<table><tr><th colspan=2>Dose<th>Day<tr><td>1<td>2<td>3</table>", "Dose\tDose\tDay\n1\t2\t3"),
        ("<table><tr><td rowspan=2>A<td>1<tr><td>2</table>", "A\t1\nA\t2"),
        (
            "<table><tbody><tr><td rowspan=0>A<td>1<tr><td>2<tr><td>3<tbody><tr><td rowspan=9>B<td>4"
            "<tbody><tr><td>C<td>5</table>",
            "A\t1\nA\t2\nA\t3\nB\t4\nC\t5",
        ),
        (
            "<table><tr><th rowspan=2>Grade<th colspan=2>Drug<tr><th>First<th>In allergy<tr><td>Low<td>A<td>B</table>",
            "Grade\tDrug First\tDrug In allergy\nLow\tA\tB",
        ),
        ("<table><tr><th colspan=2>Doses<tr><th>Drug<th>Dose<tr><td>A<td>5 mg</table>", "Doses\nDrug\tDose\nA\t5 mg"),
        ("<table><tr><td><td><tr><th>Drug<th>Dose<tr><td>A<td>5 mg<tr><td>B<td>1</table>", "Drug\tDose\nA\t5 mg\nB\t1"),
        ("<table><tr><th>Drug<th>Dose<th><tr><td>A<td>5 mg<td>a</table>", "Drug\tDose\t\nA\t5 mg\ta"),
        (
            "<table><caption hidden>No</caption><tr><td>A<td>1<tr hidden><td>B<td>2"
            "<tbody style='display:none'><tr><td>C<td>3</tbody></table>",
            "A\t1",
        ),
        ("<table><tr><td><h2>Dose</h2><p>One.<p>Two.<td>Side</table>", "Dose\n\nOne.\n\nTwo.\n\nSide"),
    ],
)
def test_page_is_read_as_plain_text(page: str, text: str) -> None:
    assert read_one("a.html", f"<body>{page}").text == text


@pytest.mark.parametrize("name", ["iso-8859-1", "latin1", "us-ascii", "windows-1252", "ISO_8859-1"])
def test_declared_latin_1_is_read_as_windows_1252(name: str) -> None:
    raw = f'<meta charset="{name}"><p>5 – 10 mg, “severe” gout, 20 €'.encode("cp1252")
    assert read_one("a.html", raw).text == "5 – 10 mg, “severe” gout, 20 €"


def test_long_table_repeats_its_header() -> None:
    rows = "".join(f"<tr><td>drug{n}<td>{n} mg" for n in range(60))
    found = read_one("a.html", f"<table><tr><th>Drug<th>Dose{rows}</table>").text
    blocks = found.split("\n\n")
    assert len(blocks) == 5
    assert all(block.startswith("Drug\tDose\n") for block in blocks)
    assert [row for block in blocks for row in block.split("\n")[1:]] == [f"drug{n}\t{n} mg" for n in range(60)]


@pytest.mark.parametrize("first_cells", ["<th>" + "h" * 3_000, "<td colspan=200 rowspan=2>x" * 100])
def test_very_long_header_is_not_repeated(first_cells: str) -> None:
    rows = "".join(f"<tr><td>drug{n}<td>{n} mg" for n in range(600))
    found = read_one("a.html", f"<table><tr>{first_cells}<th>Dose{rows}</table>").text
    assert len(found) < 100_000
    assert all(f"drug{n}\t{n} mg" in found for n in range(2, 600))


def test_cells_with_huge_spans_give_limited_text() -> None:
    cell = "<td rowspan=65000 colspan=1000>word word word"
    found = read_one("a.html", f"<table>{f'<tr>{cell * 50}' * 200}</table>").text
    assert len(found) < 4_000_000


def test_navigation_footer_and_page_links_are_skipped() -> None:
    page = (
        "<body><div role=navigation>Home</div>"
        '<ul><li><a href="#a">Falls</a><ul><li><a href="#b">Women</a></li></ul></li>'
        '<li> <a href="#c">Doses</a></li></ul><p>Falls were rare.</p>'
        "<article><p>Give 5 mg.</p><footer>By a nurse.</footer></article>"
        '<ul><li><a href="#a">Falls</a> were rare.</li><li><a href="https://x.example">Office</a></li></ul>'
        "<footer>Falls Office. Falls are bad.</footer></body>"
    )
    found = read_one("a.html", page)
    assert " ".join(found.text.split()) == "Falls were rare. Give 5 mg. By a nurse. Falls were rare. Office"


@pytest.mark.parametrize("separator", [" ", "/", ""])
def test_element_with_very_many_attributes_is_rejected_quickly(separator: str) -> None:
    start = time.process_time()
    attributes = separator.join(f'a{number}="1"' for number in range(200_000))
    with pytest.raises(DataError, match="more than 5,000 attributes"):
        read_one("a.html", f"<p {attributes}>Zinc.</p>".encode())
    assert time.process_time() - start < 2


def test_attribute_with_a_long_value_is_accepted() -> None:
    image = f"<img src=\"data:image/png;base64,{'A/b=' * 300_000}\" data-settings='{'[1, 2] ' * 9_000}'>"
    assert read_one("a.html", f"<p>{image}Zinc helped.</p>".encode()).text == "Zinc helped."
