from pathlib import Path

import pytest
from document_files import docx_file

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.inference.statements import Statements, read_statements, split_statements

CONFIG = DocumentsConfig()


def kinds(text: str) -> list[tuple[str, str]]:
    """Kind and text of each segment."""
    return [(found.kind, " ".join(text[found.start : found.end].split())) for found in split_statements(text)]


def read_text(folder: Path, name: str, text: str) -> Statements:
    (folder / name).write_text(text, encoding="utf-8")
    return read_statements(folder / name, CONFIG)


def statements_of(file: Statements) -> list[str]:
    return [segment.statement for segment in file.segments if segment.is_statement]


def test_letter_is_split_into_segments_of_all_kinds() -> None:
    text = """St Elsewhere Hospital
12 High Street
London SW1A 1AA

3 May 2024

Dear Dr Smith,
Re: John Doe, born 1 January 1950

Thank you for referring this man. Zinc shortens colds by a day. Is it safe?

FINDINGS

- Zinc was given to 30 patients
- Fever

Medication: aspirin 75 mg

With kind regards,
Dr A. Jones
Consultant physician

References

1. Smith J, Doe A. Zinc for colds. BMJ 2001;12:34-45.
"""
    assert kinds(text) == [
        ("fragment", "St Elsewhere Hospital 12 High Street London SW1A 1AA"),
        ("fragment", "3 May 2024"),
        ("greeting", "Dear Dr Smith,"),
        ("heading", "Re: John Doe, born 1 January 1950"),
        ("request", "Thank you for referring this man."),
        ("statement", "Zinc shortens colds by a day."),
        ("question", "Is it safe?"),
        ("heading", "FINDINGS"),
        ("statement", "- Zinc was given to 30 patients"),
        ("fragment", "- Fever"),
        ("fragment", "Medication: aspirin 75 mg"),
        ("greeting", "With kind regards,"),
        ("fragment", "Dr A. Jones Consultant physician"),
        ("heading", "References"),
        ("reference", "1. Smith J, Doe A. Zinc for colds."),
        ("reference", "BMJ 2001;12:34-45."),
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Sehr geehrte Frau Kollegin,", "greeting"),
        ("Mit freundlichen Grüßen", "greeting"),
        ("Chère collègue,", "greeting"),
        ("To whom it may concern:", "greeting"),
        ("Please give zinc every day.", "request"),
        ("Bitte kontrollieren Sie den Wert.", "request"),
        ("Zinc is safe.", "statement"),
        ("Dear enough is no greeting where zinc lozenges are sold at a high price in most shops.", "statement"),
        ("Yours sincerely is how letters of this kind are closed.", "statement"),
        ("Zink verkürzt Erkältungen.", "statement"),
        ("Liebe Frau Kollegin Müller,", "greeting"),
        ("Madame Dupont,", "greeting"),
        ("Madame Dupont présente une insuffisance cardiaque.", "statement"),
        ("Beste Ergebnisse wurden mit Zink erzielt.", "statement"),
        ("Good morning cortisol levels exclude adrenal insufficiency.", "statement"),
        ("Thank you for this referral.", "request"),
        ("Thanks to zinc, colds are shorter.", "statement"),
        ("Gracias al zinc, los resfriados son más cortos.", "statement"),
        ("Dr. A. Brown, M.D.", "fragment"),
        ("亚鉛は風邪を短くします。", "statement"),
        ("尊敬的张医生：", "greeting"),
        ("您好！", "greeting"),
        ("敬礼！", "greeting"),
        ("Уважаемый доктор Иванов!", "greeting"),
        ("Prezado Dr. Silva,", "greeting"),
        ("감사합니다.", "request"),
        ("(Smith et al., 2019).", "reference"),
        ("(see Lee and Park 2020; WHO, 2021a).", "reference"),
        ("(Figure 2).", "reference"),
        ("(Zinc was approved for colds in 2019.)", "statement"),
    ],
)
def test_kind_of_single_segment(text: str, kind: str) -> None:
    assert kinds(text) == [(kind, text)]


@pytest.mark.parametrize("text", ["3. Tag nach OP war er fieberfrei.", "i. v. Eisen hilft bei Mangel an Eisen."])
def test_ordinal_and_abbreviation_at_the_beginning_are_no_bullets(text: str) -> None:
    assert [segment.statement for segment in split_statements(text)] == [text]


@pytest.mark.parametrize("bullet", ["", "- "])
def test_items_below_a_label_are_separate_from_the_next_sentence(bullet: str) -> None:
    items = [f"{bullet}Ramipril 5 mg", f"{bullet}ASS 100 mg"]
    text = "\n".join(["Medikation:", *items, "Der Patient wurde am 3. Mai entlassen."])
    assert kinds(text) == [
        ("fragment", "Medikation:"),
        *(("fragment", item) for item in items),
        ("statement", "Der Patient wurde am 3. Mai entlassen."),
    ]


def test_wrapped_sentence_below_a_label_stays_whole() -> None:
    text = "Therapie:\nWir begannen in der Klinik\nRamipril gegen den Hochdruck."
    assert kinds(text)[1:] == [("statement", "Wir begannen in der Klinik Ramipril gegen den Hochdruck.")]


@pytest.mark.parametrize("bullet", ["- ", "1. "])
def test_wrapped_item_stays_whole_beside_a_longer_line(bullet: str) -> None:
    introduction = "The following is recommended, in this order, for all adults who are seen in the outpatient clinic."
    item = f"{bullet}Patients with atrial fibrillation and\nCKD should receive\nApixaban 5 mg."
    assert [segment.statement for segment in split_statements(f"{introduction}\n\n{item}")] == [
        introduction,
        "Patients with atrial fibrillation and CKD should receive Apixaban 5 mg.",
    ]


def test_wrapped_sentence_that_begins_like_a_greeting_stays_whole() -> None:
    text = "Monsieur Martin prend du bisoprolol\n2,5 mg par jour."
    assert kinds(text) == [("statement", text.replace("\n", " "))]


def test_greeting_and_closing_lines_are_separate_segments() -> None:
    text = "Dear colleague,\nzinc shortens colds.\nBest wishes\nAnn"
    assert [kind for kind, _ in kinds(text)] == ["greeting", "statement", "greeting", "fragment"]


def test_sentence_after_a_closing_is_a_statement() -> None:
    text = "Kind regards,\nAnn Jones\n\nPS: Zinc lozenges shorten colds by two days."
    assert kinds(text)[-1][0] == "statement"


def test_query_of_sentence_that_refers_back_includes_previous_sentence() -> None:
    first, second = split_statements("Zinc was given to 30 adults. It was safe for them.")
    assert first.query == first.statement
    assert (second.statement, second.query) == (
        "It was safe for them.",
        "Zinc was given to 30 adults. It was safe for them.",
    )


@pytest.mark.parametrize(
    ("text", "statement"),
    [
        ("- Zinc shortens colds of adults.", "Zinc shortens colds of adults."),
        ("2) Zinc shortens colds of adults.", "Zinc shortens colds of adults."),
        ("a. Zinc shortens colds of adults.", "Zinc shortens colds of adults."),
        ("The letter was signed by Dr. A. Jones at 10:15.", "The letter was signed by Dr. A. Jones at 10:15."),
        ("A. Jones described zinc (10 mg) - in adults.", "A. Jones described zinc (10 mg) - in adults."),
    ],
)
def test_statement_omits_only_the_bullet(text: str, statement: str) -> None:
    assert [segment.statement for segment in split_statements(text)] == [statement]


def test_statement_of_a_row_names_its_columns() -> None:
    text = "| Drug | Dose | Effect |\n|---|---|---|\n| Zinc | 10 mg | shorter colds |\n"
    header, row = split_statements(text)
    assert (header.kind, row.kind) == ("heading", "statement")
    assert row.statement == "Drug: Zinc; Dose: 10 mg; Effect: shorter colds"


@pytest.mark.parametrize("bullet", ["", "- ", "3. "])
def test_lines_of_a_list_are_statements(tmp_path: Path, bullet: str) -> None:
    lines = ["Zinc cures colds", "the virus is not natural", "# Children", "Is it so?", "", "Aspirin thins the blood."]
    found = read_text(tmp_path, "list.txt", "\n".join(bullet + line if line[:1] not in "#" else line for line in lines))
    assert statements_of(found) == ["Zinc cures colds", "the virus is not natural", "Aspirin thins the blood."]


def test_wrapped_lines_are_one_statement(tmp_path: Path) -> None:
    text = "Zinc lozenges shortened the colds of adults\nwho took them within a day of the first symptoms\nof a cold."
    assert statements_of(read_text(tmp_path, "note.txt", text)) == [" ".join(text.split())]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'id,Claim\n1,"Zinc cures colds, it is said"\n2,\n3,Aspirin helps\n'),
        ("a.tsv", "statement\tid\nZinc cures colds, it is said\t1\nAspirin helps\t2\n"),
        ("a.jsonl", '{"claim": "Zinc cures colds, it is said"}\n{"claim": "Aspirin\\nhelps"}\n'),
    ],
)
def test_rows_of_a_file_are_statements(tmp_path: Path, name: str, text: str) -> None:
    found = read_text(tmp_path, name, text)
    assert statements_of(found) == ["Zinc cures colds, it is said", "Aspirin helps"]
    assert [found.text[segment.start : segment.end] for segment in found.segments] == statements_of(found)


def test_word_file_is_split(tmp_path: Path) -> None:
    file = docx_file(tmp_path / "letter.docx", [("Heading1", "Findings"), ("Normal", "Zinc shortens colds by a day.")])
    found = read_statements(file, CONFIG)
    assert [(segment.kind, segment.statement) for segment in found.segments] == [
        ("heading", "Findings"),
        ("statement", "Zinc shortens colds by a day."),
    ]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.csv", "id,text\n1,Zinc\n", "no column statement or claim .columns here: id, text"),
        ("a.jsonl", '{"claim": 3}\n', "line 1.*must be a text"),
        ("a.jsonl", '[{"claim": "Zinc"}, {"claim": 3}]', "record row 2, field claim: must be a text"),
        ("a.jsonl", '{"claim": " "}\n', "has no statement"),
        ("a.exe", "x", "has an unsupported type"),
        ("a.txt", "  \n", "empty|no text"),
    ],
)
def test_unreadable_file_is_an_error(tmp_path: Path, name: str, text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_text(tmp_path, name, text)
    with pytest.raises(DataError, match="there is no such file"):
        read_statements(tmp_path / "none.txt", CONFIG)
