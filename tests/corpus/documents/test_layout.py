import pytest
from document_files import positioned_pdf
from reading import read_one

from corpus.documents.layout import Stretch, in_columns, page_text


def line(y: float, text: str, *, x: float = 50, size: float = 10, bold: bool = False) -> list[Stretch]:
    return [Stretch(x, y, size, bold, text)]


def cells(y: float, *texts: str, starts: tuple[float, ...] = (50, 170, 290)) -> list[Stretch]:
    return [Stretch(x, y, 10, False, text) for x, text in zip(starts, texts, strict=False)]


def test_columns_of_prose_are_read_one_after_the_other_and_tables_row_by_row() -> None:
    left = [f"the left column's line {n} goes" for n in range(5)]
    right = [f"the right column's line {n} too" for n in range(5)]
    lines = [
        [Stretch(50, 700 - 12 * n, 10, False, left_text), Stretch(310, 700 - 12 * n, 10, False, right_text)]
        for n, (left_text, right_text) in enumerate(zip(left, right, strict=True))
    ]
    title = line(720, "A title that is as wide as both of the columns are together")
    ordered = in_columns([title, *lines])
    assert ordered is not None
    assert [stretch.text for row in ordered for stretch in row] == [title[0].text, *left, *right]
    assert in_columns([cells(700, "Drug", "5 mg")] * 8) is None
    assert in_columns(lines[:3]) is None  # too few lines
    assert "\t" not in page_text([title, *lines])


def test_heading_is_a_separate_paragraph() -> None:
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
        [line(700, "The dose of"), line(670, "heparin is 5,000 units.")],  # an image between the lines
        [line(700, "Patients of the", bold=True), line(688, "Royal Hospital improved.")],
        [line(100, "The column ends and"), line(700, "Sepsis goes on in the next.", x=300)],
        [[Stretch(50, 700, 10, False, "per m"), Stretch(80, 704, 6, False, "2")], line(688, "Body surface")],
    ],
)
def test_continued_sentence_stays_in_one_paragraph(page: list[list[Stretch]]) -> None:
    assert "\n\n" not in page_text(page)


def test_tabs_separate_cells_in_one_line_or_in_lines_of_their_own() -> None:
    names, doses, aims = ("Drug", "Bisoprolol", "Ramipril"), ("Start", "1.25 mg", "2.5 mg"), ("Target", "10 mg", "5 mg")
    rows = list(zip(names, doses, aims, strict=True))
    by_row = [cells(700 - 18 * n, *row) for n, row in enumerate(rows)]
    by_cell = [[cell] for row in by_row for cell in row]
    expected = "Drug\tStart\tTarget\nBisoprolol\t1.25 mg\t10 mg\nRamipril\t2.5 mg\t5 mg"
    assert page_text(by_row) == page_text(by_cell) == expected
    page = [line(730, "Doses are given in the table."), *by_cell, line(640, "See the formulary.")]
    assert page_text(page).split("\n\n")[1] == expected


def test_empty_cells_keep_the_columns_of_a_row() -> None:
    rows = [
        cells(700, "Drug", "Dose", "Interval"),
        cells(682, "Metformin", "500 mg", "12 h"),
        cells(664, "Ramipril", "24 h", starts=(50, 290)),
        cells(646, "5 mg", "1 week", starts=(170, 290)),
        cells(628, "Insulin", "10 IU", starts=(50, 170)),
        cells(610, "Wide cell over the columns, and", "more", starts=(50, 290)),
    ]
    expected = (
        "Drug\tDose\tInterval\nMetformin\t500 mg\t12 h\nRamipril\t\t24 h\n\t5 mg\t1 week\nInsulin\t10 IU"
        "\nWide cell over the columns, and\tmore"
    )
    assert page_text(rows) == expected


def test_narrow_gap_separates_cells_at_a_column_of_other_rows() -> None:
    page = [
        cells(700, "Meropenem", "1 g", starts=(50, 150)),
        cells(682, "Piperacillin-tazobact", "4.5 g", starts=(50, 150)),
        cells(664, "Gentamicin", "5 mg", starts=(50, 150)),
    ]
    assert page_text(page).split("\n")[1] == "Piperacillin-tazobact\t4.5 g"


def test_number_or_bullet_of_a_list_item_is_no_cell() -> None:
    assert page_text([cells(700, "1.", "Stop warfarin.", starts=(50, 80))]) == "1. Stop warfarin."
    assert page_text([cells(700, "2.1", "Warfarin", starts=(50, 80))]) == "2.1 Warfarin"
    assert page_text([cells(700, "•", "Stop warfarin.", starts=(50, 80))]) == "• Stop warfarin."


def test_words_placed_one_by_one_are_no_cells() -> None:
    words = ["The", "recognised", "words", "of", "a", "scan", "are", "often", "far", "wider"]
    page = [[Stretch(40.0 + 60 * n, 700.0, 10, False, word) for n, word in enumerate(words)]]
    assert "\t" not in page_text(page)


@pytest.mark.parametrize("matrix", ["1 0 0 1 0 0", "0.5 0 0 0.5 20 30", "0 1 -1 0 595 0"])
def test_scaled_or_rotated_page_has_the_same_text(matrix: str) -> None:
    raw = positioned_pdf(
        [
            *((50, 740, 16, "F1", "Croup"), (50, 715, 10, "F1", "Give dexamethasone"), (50, 703, 10, "F1", "Once.")),
            *((50, 679, 10, "F2", "Doses"), (50, 667, 10, "F1", "Age"), (170, 667, 10, "F1", "Dose")),
            *((50, 655, 10, "F1", "1 year"), (170, 655, 10, "F1", "2 mg")),
        ],
        matrix=matrix,
    )
    assert read_one("a.pdf", raw).text == "Croup\n\nGive dexamethasone\nOnce.\n\nDoses\n\nAge\tDose\n1 year\t2 mg"
