"""corpus/documents/layout.py: columns, paragraphs, headings and tables of PDF pages."""

import pytest
from document_files import positioned_pdf
from reading import read_one

from corpus.documents.layout import Stretch, in_columns, page_text


def line(y: float, text: str, *, x: float = 50, size: float = 10, bold: bool = False) -> list[Stretch]:
    return [Stretch(x, y, size, bold, text)]


def cells(y: float, *texts: str, starts: tuple[float, ...] = (50, 170, 290)) -> list[Stretch]:
    return [Stretch(x, y, 10, False, text) for x, text in zip(starts, texts, strict=False)]


def test_two_columns_are_read_one_after_the_other_and_tables_by_rows() -> None:
    left = [f"the left column's line {n} goes" for n in range(5)]
    right = [f"the right column's line {n} too" for n in range(5)]
    lines = [
        [Stretch(50, 700 - 12 * n, 10, False, one), Stretch(310, 700 - 12 * n, 10, False, other)]
        for n, (one, other) in enumerate(zip(left, right, strict=True))
    ]
    title = line(720, "A title that is as wide as both of the columns are together")
    read = in_columns([title, *lines])
    assert read is not None
    assert [one.text for row in read for one in row] == [title[0].text, *left, *right]
    assert in_columns([cells(700, "Drug", "5 mg")] * 8) is None
    assert in_columns(lines[:3]) is None
    assert "\t" not in page_text([title, *lines])


def test_a_heading_is_no_part_of_the_sentence_below_it() -> None:
    page = [
        line(740, "Treatment of croup", size=16),
        line(715, "Give dexamethasone by mouth. It acts"),
        line(703, "Within an hour in most children."),
        line(679, "Doses", bold=True),
        line(667, "Give 0.15 mg/kg once."),
        line(643, "A paragraph further down has a gap above it."),
    ]
    assert page_text(page).split("\n\n") == [
        "Treatment of croup",
        "Give dexamethasone by mouth. It acts\nWithin an hour in most children.",
        "Doses",
        "Give 0.15 mg/kg once.",
        "A paragraph further down has a gap above it.",
    ]


@pytest.mark.parametrize(
    "page",
    [
        [line(700, "The dose of"), line(670, "heparin is 5,000 units.")],  # a picture between the lines
        [line(700, "Patients of the", bold=True), line(688, "Royal Hospital improved.")],
        [line(100, "The column ends and"), line(700, "Sepsis goes on in the next.", x=300)],
        [[Stretch(50, 700, 10, False, "per m"), Stretch(80, 704, 6, False, "2")], line(688, "Body surface")],
    ],
)
def test_a_sentence_that_goes_on_is_not_parted(page: list[list[Stretch]]) -> None:
    assert "\n\n" not in page_text(page)


def test_the_cells_of_a_row_stand_between_tabs_however_they_are_written() -> None:
    names, doses, aims = ("Drug", "Bisoprolol", "Ramipril"), ("Start", "1.25 mg", "2.5 mg"), ("Target", "10 mg", "5 mg")
    rows = list(zip(names, doses, aims, strict=True))
    in_lines = [cells(700 - 18 * n, *row) for n, row in enumerate(rows)]
    alone = [[cell] for row in in_lines for cell in row]
    expected = "Drug\tStart\tTarget\nBisoprolol\t1.25 mg\t10 mg\nRamipril\t2.5 mg\t5 mg"
    assert page_text(in_lines) == page_text(alone) == expected
    around = [line(730, "Doses are given in the table."), *alone, line(640, "See the formulary.")]
    assert page_text(around).split("\n\n")[1] == expected


def test_a_tight_cell_is_known_by_the_column_that_other_rows_have() -> None:
    page = [
        cells(700, "Meropenem", "1 g", starts=(50, 150)),
        cells(682, "Piperacillin-tazobact", "4.5 g", starts=(50, 150)),
        cells(664, "Gentamicin", "5 mg", starts=(50, 150)),
    ]
    assert page_text(page).split("\n")[1] == "Piperacillin-tazobact\t4.5 g"


def test_an_items_number_is_no_cell() -> None:
    assert page_text([cells(700, "1.", "Stop warfarin.", starts=(50, 80))]) == "1. Stop warfarin."
    assert page_text([cells(700, "2.1", "Warfarin", starts=(50, 80))]) == "2.1 Warfarin"
    assert page_text([cells(700, "•", "Stop warfarin.", starts=(50, 80))]) == "• Stop warfarin."


def test_words_set_one_by_one_are_no_cells() -> None:
    words = ["The", "recognised", "words", "of", "a", "scan", "are", "often", "far", "wider"]
    page = [[Stretch(40.0 + 60 * n, 700.0, 10, False, word) for n, word in enumerate(words)]]
    assert "\t" not in page_text(page)


@pytest.mark.parametrize("matrix", ["1 0 0 1 0 0", "0.5 0 0 0.5 20 30", "0 1 -1 0 595 0"])
def test_pages_that_are_scaled_or_turned_have_the_same_layout(matrix: str) -> None:
    raw = positioned_pdf(
        [
            (50, 740, 16, "F1", "Croup"),
            (50, 715, 10, "F1", "Give dexamethasone"),
            (50, 703, 10, "F1", "Once."),
            (50, 679, 10, "F2", "Doses"),
            (50, 667, 10, "F1", "Age"),
            (170, 667, 10, "F1", "Dose"),
            (50, 655, 10, "F1", "1 year"),
            (170, 655, 10, "F1", "2 mg"),
        ],
        matrix=matrix,
    )
    assert read_one("a.pdf", raw).text == "Croup\n\nGive dexamethasone\nOnce.\n\nDoses\n\nAge\tDose\n1 year\t2 mg"
