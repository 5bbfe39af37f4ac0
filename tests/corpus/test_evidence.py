from time import process_time

import pytest

from corpus.evidence import Kind, labelled_cells, sentences, table_cells

# A statement that is evidence.
FINDING = "Falls did not differ between the groups (24% and 25%)."


def evidence_texts(text: str, section: str = "", title: str = "") -> list[str]:
    """The texts of the sentences that are evidence."""
    return [text[found.start : found.end] for found in sentences(text, section, title) if found.is_evidence]


# Lists of references in several styles.
NUMBERED = (
    "1. Marsh A, Field B. Calcium prevents falls in older women: a randomised trial. J Bone Care. 2009;12:34-41.\n"
    "2. Heath R. Does calcium prevent falls? Gait Lett. 2011;3:9.\n"
    "3. Moor S, Dale T, et al. Falls of older women. Ann Gait. 2013;8(2):77-80. doi:10.1234/ag.5"
)
APA = (
    "Marsh, A., & Field, B. (2009). Calcium prevents falls in older women. Journal of Bone Care, 12, 34-41.\n\n"
    "Heath, R. (2011). Does calcium prevent falls? Gait Letters, 3(1), 9-12."
)
BRACKETED = (
    "[1] A. Marsh, B. Field, Calcium prevents falls in older women, J. Bone Care 12 (2009) 34-41.\n"
    "[2] World Falls Office. Calcium prevents falls. Available from: https://falls.example [Accessed 3 May 2012]."
)
WRAPPED = (
    "1. Marsh A, Field B. Calcium prevents falls in\nolder women: a randomised trial. J Bone Care.\n2009;12:34-41.\n"
    "2. Heath R. Does calcium prevent\nfalls? Gait Lett. 2011;3:9."
)


@pytest.mark.parametrize("entries", [NUMBERED, APA, BRACKETED, WRAPPED])
@pytest.mark.parametrize(
    "heading",
    ["References\n\n", "## Bibliography\n\n", "6. LITERATURE CITED\n", "Literaturverzeichnis\n\n",
     "Références\n---\n\n", "Bibliografía\n\n", "参考文献\n\n", "Список литературы\n\n", "**Further reading**\n\n"],
)  # fmt: skip
def test_references_below_a_heading_are_no_evidence(heading: str, entries: str) -> None:
    text = f"We gave calcium to 412 women. {FINDING}\n\n{heading}{entries}"
    assert evidence_texts(text) == ["We gave calcium to 412 women.", FINDING]


@pytest.mark.parametrize("entries", [NUMBERED, APA, WRAPPED])
def test_references_without_heading_are_no_evidence(entries: str) -> None:
    assert evidence_texts(f"{FINDING}\n\n{entries}") == [FINDING]
    assert evidence_texts(entries) == []
    assert evidence_texts(entries.replace("\n", "\r\n")) == []


@pytest.mark.parametrize(
    "entry",
    [
        "Alm P (2009) Ice for pain. J Cold 12:34-41. https://doi.org/10.1000/xyz",
        '[3] P. Alm, Q. Berg, "Ice for pain," Cold Trans., vol. 12, no. 3, pp. 34–41, Mar. 2009.',
        'Alm, Peter, and Quinn Berg. 2009. "Ice for Pain." Journal of Cold 12 (3): 34–41.',
        "van den Berg AB, de Vries C. Ice for pain. Ned Koud. 2011;155:A345.",
        "5 Alm J. Book of Ice. 3rd ed. London: Cold Press; 2010. p. 12-40.",
        "6. Alm J, Berg K. Ice. In: Dahl L, ed. Handbook. New York, NY: Cold House; 2011:34-56.",
        "García-López M, Núñez P. Hielo para el dolor. Rev Frío. 2014;67(3):201-9.",
        "Иванов И.И., Петров П.П. Лёд от боли. Холод. 2014. Т. 5. С. 12-19.",
        "1. 王伟, 李明. 冰敷止痛[J]. 冰杂志, 2015, 95(3): 201-205.",
    ],
)
def test_single_reference_is_no_evidence(entry: str) -> None:
    assert evidence_texts(f"{FINDING}\n\n{entry}") == [FINDING]


def test_references_are_recognized_by_section() -> None:
    text = "World Falls Office. Calcium prevents falls. Geneva, 2012.\n\nCity Council. Safe floors. London, 2014."
    assert evidence_texts(text, section="References") == []


def test_text_after_the_references_is_evidence() -> None:
    assert evidence_texts(f"## References\n\n{NUMBERED}\n\n## Appendix\n\n{FINDING}") == [FINDING]


@pytest.mark.parametrize(
    "text",
    [
        "Smith et al. (2010) found fewer falls with calcium than with placebo (12% and 24%).",
        "In 2009, 412 women took calcium; 34-41% of them fell.",
        "1. Give calcium 500 mg daily in 2 doses; review after 12 weeks.",
        "The trial ran from 2009 to 2012 at 14 hospitals. It was funded by the Falls Office.",
        "Vitamin B, vitamin C and calcium were given in 2011.",
        "Reviewed 45 studies until 2024.",
        "Status: approved for surgery.",
        "Fewer women fell (J Bone Care 2009;12:34-41), and none of them broke a hip.",
    ],
)
def test_statement_with_years_or_numbers_is_evidence(text: str) -> None:
    assert " ".join(evidence_texts(f"Background is short.\n\n{text}")) == f"Background is short. {text}"


@pytest.mark.parametrize(
    "contents",
    [
        "Contents\n\nSide effects of calcium .................... 12\nDose of calcium .... 14\nReferences ... 20",
        "Side effects of calcium . . . . . . . . 12\nDose of calcium . . . . . . 14",
        "Inhaltsverzeichnis\n\n1 Side effects of calcium\t12\n2 Dose of calcium\t14",
        "## Table of contents\n\n- Side effects of calcium\n- Dose of calcium",
        "Side effects of calcium…………… 12\nDose of calcium…………… iv",
        "Índice\n\nSide effects of calcium 12\nDose of calcium 14",
    ],
)
def test_table_of_contents_is_no_evidence(contents: str) -> None:
    text = f"{contents}\n\nSide effects of calcium\n\nA rash was seen in 3% of adults. It is taken twice daily."
    assert evidence_texts(text) == ["A rash was seen in 3% of adults.", "It is taken twice daily."]


def test_line_without_a_stop_above_a_paragraph_is_its_heading() -> None:
    text = "Side effects of calcium\n\nA rash was seen.\n\n3.2 Dose in women\n\nGive 500 mg."
    assert [
        (text[sentence.start : sentence.end], sentence.heading) for sentence in sentences(text) if sentence.is_evidence
    ] == [("A rash was seen.", "Side effects of calcium"), ("Give 500 mg.", "3.2 Dose in women")]


def test_line_is_no_heading_if_it_has_digits_or_begins_in_lower_case_or_is_the_last() -> None:
    text = "Allergies: penicillin 2009\n\ncalcium 500 mg twice daily\n\nGive 500 mg.\n\nCalcium stops falls"
    assert evidence_texts(text) == text.split("\n\n")


@pytest.mark.parametrize(
    "line",
    [
        *("Skip to main content", "Home > Guidelines > Falls", "Back to top", "Print this page"),
        "© 2020 Falls Office. All rights reserved.",
        "Status: reviewed 2024.",
        "Last updated: 3 May 2023",
        "Version 3.2",
    ],
)
def test_navigation_is_no_evidence(line: str) -> None:
    assert evidence_texts(f"{line}\n\n{FINDING}\n\n{line}") == [FINDING]


def test_question_is_heading_of_its_answer() -> None:
    text = "How long is calcium taken?\n\nFor two years."
    (answer,) = [sentence for sentence in sentences(text) if sentence.is_evidence]
    assert answer.heading == "How long is calcium taken?"


@pytest.mark.parametrize(
    "table",
    [
        "Drug\tDose\tRoute\nCalcium\t500 mg\toral\nZinc\t20 mg\toral",
        "| Drug | Dose | Route |\n|---|---|---|\n| Calcium | 500 mg | oral |\n| Zinc | 20 mg | oral |",
    ],
)
def test_rows_have_the_header_of_their_table(table: str) -> None:
    rows = [sentence for sentence in sentences(f"Doses are low.\n\n{table}") if sentence.kind is Kind.ROW]
    assert [list(table_cells(sentence.header)) for sentence in rows] == [["Drug", "Dose", "Route"]] * 2


@pytest.mark.parametrize(
    "sentence",
    [
        *("This was true of women.", "They were well tolerated.", "So did zinc.", "Both were safe."),
        "Dies war bei Frauen so.",
    ],
)
def test_context_of_sentence_that_refers_back_includes_previous_sentence(sentence: str) -> None:
    text = f"Calcium prevented falls. {sentence} Zinc did not."
    contexts = [text[found.context_start : found.end] for found in sentences(text)]
    assert contexts == ["Calcium prevented falls.", f"Calcium prevented falls. {sentence}", "Zinc did not."]


@pytest.mark.parametrize(
    "next_text",
    [
        " This trial of zinc was small.",
        "\n\nThis was a letter.",
        " It is unclear whether zinc helps.",
        " This was a study of zinc.",
    ],
)
def test_sentence_that_does_not_refer_back_has_no_context(next_text: str) -> None:
    found = sentences(f"Calcium prevented falls.{next_text}")
    assert [sentence.context_start for sentence in found] == [sentence.start for sentence in found]
    assert len(found) == 2


def test_heading_is_split_from_the_sentence_below_unless_the_line_is_wrapped() -> None:
    text = "Calcium in older women\nCalcium was given to 310 women for one year by their own doctors. It did not help."
    assert evidence_texts(text) == [
        "Calcium was given to 310 women for one year by their own doctors.",
        "It did not help.",
    ]
    wrapped = (
        "The trial of calcium was run in three towns by Professor\nMarsh in Leeds, and nobody fell in the first year."
    )
    assert evidence_texts(wrapped)[0].startswith("The trial of calcium was run in three towns by Professor\nMarsh")


def test_wrapped_sentence_that_begins_within_a_line_is_not_split_at_the_line_break() -> None:
    text = (
        "Calcium below 2.0 mmol/L is seen in few of the patients. Obesity lowers\nIonised calcium. It is rare in men."
    )
    assert "Obesity lowers\nIonised calcium." in evidence_texts(text)


def labelled_rows(text: str) -> list[str]:
    """The table rows except headers, each cell with its column heading."""
    return [
        labelled_cells(text[row.start : row.end], table_cells(row.header) if row.header else ())
        for row in sentences(text)
        if row.kind is Kind.ROW
    ]


@pytest.mark.parametrize(
    "table",
    [
        "Drug\tAdults\tChildren\nZinc\t5 mg\t20 mg\n\t7 mg\t30 mg",
        "| Drug | Adults | Children |\n|---|---|---|\n| Zinc | 5 mg | 20 mg |\n| | 7 mg | 30 mg |",
        "|Drug|Adults|Children|\n|--|--|--|\n|Zinc|5 mg|20 mg|\n||7 mg|30 mg|",
    ],
)
def test_empty_first_cell_does_not_shift_columns(table: str) -> None:
    assert labelled_rows(table) == ["Drug: Zinc; Adults: 5 mg; Children: 20 mg", "Adults: 7 mg; Children: 30 mg"]
    assert labelled_rows(table.replace("Drug", "").strip("\t")) == [
        "Zinc; Adults: 5 mg; Children: 20 mg",
        "Adults: 7 mg; Children: 30 mg",
    ]


def test_empty_last_heading_does_not_shift_columns() -> None:
    assert labelled_rows("Drug\tDose\t\nZinc\t5 mg\tnot in women") == ["Drug: Zinc; Dose: 5 mg; not in women"]


def test_row_of_several_sentences_is_one_sentence_with_its_header() -> None:
    table = "| Drug | Advice | Dose |\n|---|---|---|\n| Zinc | Take it. Stop if ill. | 5 mg |"
    assert labelled_rows(table) == ["Drug: Zinc; Advice: Take it. Stop if ill.; Dose: 5 mg"]


def test_first_row_is_no_header_if_it_has_numbers_or_a_sentence_or_only_one_label() -> None:
    sentences_in_cells = "Zinc\tTake it with food.\nIron\tTake it at night."
    assert labelled_rows(sentences_in_cells) == ["Zinc; Take it with food.", "Iron; Take it at night."]
    assert labelled_rows("Diagnosis:\tGout\nDrugs:\tZinc") == ["Diagnosis:; Gout", "Drugs:; Zinc"]
    assert labelled_rows("Drug:\tDose:\tRoute:\nZinc\t5 mg\toral") == ["Drug: Zinc; Dose: 5 mg; Route: oral"]
    assert evidence_texts("Dose:\t300 mg") == ["Dose:\t300 mg"]
    assert evidence_texts("Dose\t300 mg\nRoute\toral") == ["Dose\t300 mg", "Route\toral"]


@pytest.mark.parametrize("piece", ["-", "|-", "_", ".", ". ", "…"])
def test_time_for_horizontal_rules_and_dot_leaders_grows_linearly(piece: str) -> None:
    start = process_time()
    sentences(f"| a | b |\n|{piece * 20_000}x|\n\n{piece * 20_000}x")
    assert process_time() - start < 4


def test_sentences_of_long_texts_are_not_cached() -> None:
    short, long = "It fell. " * 10, "It fell. " * 3000
    assert sentences(short) is sentences(short)
    assert sentences(long) == sentences(long)
    assert sentences(long) is not sentences(long)
