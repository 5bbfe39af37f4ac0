import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from time import process_time

import pytest
from document_files import docx_file
from reading import parts_of, read_one

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.passages import words_window
from corpus.documents.worker import Worker

# Style and text of each block; see ``docx_file``.
BLOCKS = [
    ("Normal", "Before all."),
    ("Heading 1", "Methods"),
    ("Normal", "Heparin was given\nto 40 patients."),
    ("table", "Drug\tDose\nHeparin\t5,000 units"),
    ("Heading 2", "Results"),
    ("List Bullet", "No clots."),
]


def with_changed_parts(raw: bytes, change: Callable[[str, bytes], bytes | None]) -> bytes:
    """The Word file with ``change`` applied to the name and content of each part; None removes a part."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if (content := change(name, old.read(name))) is not None:
                new.writestr(name, content)
    return result.getvalue()


def with_changed_document(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The Word file with ``change`` applied to word/document.xml."""
    return with_changed_parts(raw, lambda name, part: change(part) if name == "word/document.xml" else part)


@pytest.fixture
def raw(tmp_path: Path) -> bytes:
    """A Word file with the title "A trial" and ``BLOCKS``."""
    return docx_file(tmp_path / "a.docx", BLOCKS, title="A trial").read_bytes()


def test_paragraphs_and_tables_have_their_heading_as_section(raw: bytes) -> None:
    found = read_one("a.docx", raw)
    assert found.metadata == {"title": "A trial"}
    assert parts_of(found) == [
        (None, None, "Before all."),
        ("Methods", None, "Methods\n\nHeparin was given\nto 40 patients.\n\nDrug\tDose\nHeparin\t5,000 units"),
        ("Results", None, "Results\n\nNo clots."),
    ]


def test_merged_cell_is_read_once_and_keeps_its_columns() -> None:
    merged = f"<w:tc><w:tcPr><w:gridSpan w:val='2'/></w:tcPr><w:p>{run('wide')}</w:p></w:tc>"
    table = f"<w:tbl><w:tr>{merged}<w:tc><w:p>{run('small')}</w:p></w:tc></w:tr></w:tbl>"
    assert read_one("a.docx", minimal_docx(table)).text == "wide\t\tsmall"


def test_tracked_changes_are_accepted_and_content_controls_read() -> None:
    inserted = f"<w:ins w:id='1' w:author='A'>{run('not ')}</w:ins>"
    deleted = "<w:del w:id='2' w:author='A'><w:r><w:delText>surely </w:delText></w:r></w:del>"
    moved = f"<w:moveFrom w:id='3' w:author='A'>{run('Moved.')}</w:moveFrom>"
    control = f"<w:sdt><w:sdtContent><w:p>{run('In a control.')}</w:p></w:sdtContent></w:sdt>"
    body = f"<w:p>{run('Heparin did ')}{inserted}{deleted}{run('help.')}</w:p>{control}<w:p>{moved}</w:p>"
    assert read_one("a.docx", minimal_docx(body)).text == "Heparin did not help.\n\nIn a control."


def test_row_deleted_in_tracked_changes_is_not_read() -> None:
    def row(name: str, dose: str, change: str = "", merge: str = "") -> str:
        cells = f"<w:tc><w:tcPr>{merge}</w:tcPr><w:p>{run(name)}</w:p></w:tc><w:tc><w:p>{run(dose)}</w:p></w:tc>"
        return f"<w:tr><w:trPr>{change}</w:trPr>{cells}</w:tr>"

    rows = [
        row("Zinc", "5 mg", merge=MERGE_START),
        row("Iron", "9 mg", change=DELETED, merge=MERGE_START),
        row("", "8 mg", merge="<w:vMerge/>"),
        row("Iron", "7 mg", change="<w:ins w:id='2' w:author='A'/>"),
    ]
    text = read_one("a.docx", minimal_docx(f"<w:tbl>{''.join(rows)}</w:tbl>")).text
    assert text == "Zinc\t5 mg\n\t8 mg\nIron\t7 mg"


def changed_paragraph(text: str, change: str = "") -> str:
    """A paragraph with an element for the tracked change of its mark."""
    return f"<w:p><w:pPr><w:rPr>{change}</w:rPr></w:pPr>{run(text)}</w:p>"


DELETED, MOVED = "<w:del w:id='1' w:author='A'/>", "<w:moveFrom w:id='1' w:author='A'/>"


@pytest.mark.parametrize("change", [DELETED, MOVED])
def test_paragraph_whose_mark_is_deleted_is_joined_with_the_next_one(change: str) -> None:
    joined = changed_paragraph("Aspirin ", change) + changed_paragraph("did not ", change) + changed_paragraph("help.")
    cell = f"<w:tbl><w:tr><w:tc>{joined}</w:tc></w:tr></w:tbl>"
    box = f"<w:p><w:r><w:pict><w:txbxContent>{joined}</w:txbxContent></w:pict></w:r></w:p>"
    sentence = "Aspirin did not help."
    for body in (joined, cell, box, f"{changed_paragraph(sentence, change)}<w:p/>"):
        text = read_one("a.docx", minimal_docx(f"{body}{changed_paragraph('Zinc did.')}")).text
        assert text == f"{sentence}\n\nZinc did."


def test_paragraph_whose_mark_is_deleted_is_kept_if_no_paragraph_follows() -> None:
    paragraph = changed_paragraph("Zinc helped.", DELETED)
    body = f"{paragraph}<w:tbl><w:tr><w:tc>{paragraph}</w:tc></w:tr></w:tbl>{paragraph}"
    assert read_one("a.docx", minimal_docx(body)).text == "Zinc helped.\n\nZinc helped.\n\nZinc helped."


def test_text_hidden_by_the_style_of_its_paragraph_is_not_read(tmp_path: Path) -> None:
    import docx
    from docx.enum.style import WD_STYLE_TYPE

    document = docx.Document()
    hidden = document.styles.add_style("Instructions", WD_STYLE_TYPE.PARAGRAPH)
    hidden.font.hidden = True
    shown = document.styles.add_style("Instructions shown", WD_STYLE_TYPE.PARAGRAPH)
    shown.base_style, shown.font.hidden = hidden, False
    document.add_paragraph("For the typist.", style="Instructions")
    document.add_paragraph("Shown. ", style="Instructions shown")
    document.add_paragraph("Hidden.", style="Instructions").add_run("Also shown.").font.hidden = False
    document.save(str(tmp_path / "a.docx"))
    assert read_one("a.docx", (tmp_path / "a.docx").read_bytes()).text == "Shown.\n\nAlso shown."


BOX = "<w:txbxContent><w:p><w:r><w:t>Boxed.</w:t></w:r></w:p></w:txbxContent>"
MC_NAMESPACE = "xmlns:mc='http://schemas.openxmlformats.org/markup-compatibility/2006'"
# A text box that Word writes twice: for new and for old programs.
BOX_AND_FALLBACK = (
    f"<mc:AlternateContent {MC_NAMESPACE}><mc:Choice Requires='wps'><w:drawing>{BOX}</w:drawing></mc:Choice>"
    f"<mc:Fallback><w:pict>{BOX}</w:pict></mc:Fallback></mc:AlternateContent>"
)


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        (f"<w:r><w:t>Seen.</w:t><w:pict>{BOX}</w:pict></w:r>", "Seen.\n\nBoxed."),
        (f"<w:r><w:t>Seen.</w:t>{BOX_AND_FALLBACK}</w:r>", "Seen.\n\nBoxed."),
        (f"<w:r>{BOX_AND_FALLBACK}</w:r>", "Boxed."),
        (f"<w:del w:id='1' w:author='A'><w:r>{BOX_AND_FALLBACK}</w:r></w:del><w:r><w:t>Seen.</w:t></w:r>", "Seen."),
    ],
)
def test_text_box_follows_its_paragraph_once(inner: str, text: str) -> None:
    paragraph = f"<w:p>{inner}</w:p>"
    for body in (paragraph, f"<w:tbl><w:tr><w:tc>{paragraph}</w:tc></w:tr></w:tbl>"):
        assert read_one("a.docx", minimal_docx(body)).text == text


def test_notes_follow_the_paragraph_that_cites_them(raw: bytes) -> None:
    namespace = "xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'"
    relationships = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"

    def cite(name: str, part: bytes) -> bytes:
        if name == "word/_rels/document.xml.rels":
            links = "".join(
                f"<Relationship Id='n{kind}' Type='{relationships}/{kind}s' Target='{kind}s.xml'/>"
                for kind in ("footnote", "endnote")
            )
            return part.replace(b"</Relationships>", f"{links}</Relationships>".encode())
        if name == "word/document.xml":
            citations = "<w:r><w:footnoteReference w:id='2'/></w:r><w:r><w:endnoteReference w:id='2'/></w:r>"
            return part.replace(b"Before all.</w:t></w:r>", f"Before all.</w:t></w:r>{citations}".encode())
        return part

    file = io.BytesIO(with_changed_parts(raw, cite))
    with zipfile.ZipFile(file, "a") as archive:
        for kind in ("footnote", "endnote"):
            separator = f"<w:{kind} w:id='0' w:type='separator'><w:p><w:r><w:separator/></w:r></w:p></w:{kind}>"
            note = f"<w:{kind} w:id='2'><w:p><w:r><w:t>The {kind}.</w:t></w:r></w:p></w:{kind}>"
            archive.writestr(f"word/{kind}s.xml", f"<w:{kind}s {namespace}>{separator}{note}</w:{kind}s>")
    text = read_one("a.docx", file.getvalue()).text
    assert text.startswith("Before all.\n\nThe footnote.\n\nThe endnote.\n\nMethods")


def test_file_without_core_properties_has_no_title(raw: bytes) -> None:
    links = rb'<Relationship [^>]*core-properties[^>]*/>|<Override PartName="/docProps/core[^>]*/>'
    untitled = with_changed_parts(raw, lambda name, part: None if "core" in name else re.sub(links, b"", part))
    assert read_one("a.docx", untitled).metadata == {}


def test_invalid_word_file_is_an_error(raw: bytes, tmp_path: Path) -> None:
    other_zip = io.BytesIO()
    with zipfile.ZipFile(other_zip, "w") as archive:
        archive.writestr("a.txt", "x")
    cases = {
        b"hello": "is not a .docx file",
        b"%PDF-1.4": "a PDF file: name it .pdf",
        b"\xd0\xcf\x11\xe0old": "an old Office file",
        raw[:-500]: "or a damaged one",
        raw[:2000] + b"x" * 50 + raw[2050:]: "is damaged|can be read",
        other_zip.getvalue(): "can be read",
        with_changed_document(raw, lambda part: part[:500]): "can be read",
        docx_file(tmp_path / "none.docx", []).read_bytes(): "has no (visible )?text",
    }
    for content, problem in cases.items():
        with pytest.raises(DataError, match=problem):
            read_one("a.docx", content)


def test_file_that_decompresses_to_more_than_max_bytes_is_an_error(raw: bytes) -> None:
    bomb = with_changed_document(raw, lambda part: part + b" " * 5_000_000)
    with pytest.raises(DataError, match=r"unpacks to .* more than documents.max_bytes \(1,000,000\)"):
        read_one("a.docx", bomb, max_bytes=1_000_000)


def test_file_that_declares_entities_is_an_error(raw: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    declared = f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret.as_uri()}"><!ENTITY y "MANY">]><w:document'.encode()

    def attack(part: bytes) -> bytes:
        return part.replace(b"<w:document", declared, 1).replace(b"Before all.", b"Before &x;&y; all.")

    with pytest.raises(DataError, match="document type"):
        read_one("a.docx", with_changed_document(raw, attack))


def minimal_docx(body: str) -> bytes:
    """A Word file with this body and only the required parts."""
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    formulas = "http://schemas.openxmlformats.org/officeDocument/2006/math"
    kinds = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as archive:
        link = f'<Relationship Id="r1" Type="{kinds}/officeDocument" Target="word/document.xml"/>'
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{link}</Relationships>',
        )
        document = f'<w:document xmlns:w="{word}" xmlns:m="{formulas}"><w:body>{body}</w:body></w:document>'
        archive.writestr("word/document.xml", document)
    return result.getvalue()


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


HUGE_SPAN, MERGE_START = '<w:gridSpan w:val="300000000"/>', '<w:vMerge w:val="restart"/>'
SUPERSCRIPT, SUBSCRIPT = '<w:vertAlign w:val="superscript"/>', '<w:vertAlign w:val="subscript"/>'


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        (run("Above ") + "<m:oMath><m:r><m:t>30</m:t></m:r></m:oMath>" + run(" mL"), "Above 30 mL"),
        (
            "<m:oMath><m:f><m:num><m:r><m:t>a</m:t></m:r></m:num><m:den><m:r><m:t>b</m:t></m:r></m:den></m:f></m:oMath>",
            "a/b",
        ),
        (
            "<m:oMath><m:sSup><m:e><m:r><m:t>10</m:t></m:r></m:e><m:sup><m:r><m:t>9</m:t></m:r></m:sup></m:sSup></m:oMath>",
            "10^9",
        ),
        (run("50 × 10") + run("9", SUPERSCRIPT) + run("/L"), "50 × 10^9/L"),
        (run("10") + run("-", SUPERSCRIPT) + run("3", SUPERSCRIPT), "10^-3"),
        (run("CO") + run("2", SUBSCRIPT) + run(", HbA") + run("1c", SUBSCRIPT), "CO2, HbA1c"),
        ('<w:r><w:sym w:font="Symbol" w:char="F0B3"/></w:r>' + run(" 5"), "≥ 5"),
        ('<w:r><w:sym w:font="Wingdings" w:char="F0FE"/></w:r>' + run(" done"), "☑ done"),
        ('<w:r><w:sym w:font="Odd" w:char="ZZ"/></w:r>' + run(" 5"), "\ufffd 5"),
        ('<w:r><w:sym w:font="Wingdings 3" w:char="F075"/></w:r>' + run(" 5"), "\ufffd 5"),
        ('<w:r><w:sym w:font="Wingdings 2" w:char="0050"/></w:r>' + run(" 5"), "\ufffd 5"),
        ('<w:r><w:sym w:font="Calibri" w:char="FF08"/></w:r>' + run("5"), "（5"),
        (run("5") + '<w:r><w:sym w:font="Calibri" w:char="00A0"/></w:r>' + run("mg"), "5\u00a0mg"),
        (run("\uf0a3 5", '<w:rFonts w:ascii="Symbol"/>'), "≤ 5"),
        (run("Seen.") + run(" Hidden.", "<w:vanish/>"), "Seen."),
        (run("Seen.") + run(" Too.", '<w:vanish w:val="0"/>'), "Seen. Too."),
        (
            run("4 mg")
            + run(" 40 mg", "<w:strike/>")
            + run(" 50 mg", "<w:dstrike/>")
            + run(".", '<w:strike w:val="0"/>'),
            "4 mg.",
        ),
        (f"<w:r><w:ruby><w:rt>{run('けつあつ')}</w:rt><w:rubyBase>{run('血圧')}</w:rubyBase></w:ruby></w:r>", "血圧"),
        (run("5") + "<w:r><w:noBreakHyphen/></w:r>" + run("10"), "5-10"),
    ],
)
def test_runs_are_read_as_plain_text(runs: str, text: str) -> None:
    assert read_one("a.docx", minimal_docx(f"<w:p>{runs}</w:p>")).text == text


def test_row_that_begins_after_the_first_column_keeps_its_columns() -> None:
    def row(properties: str, *cells: str) -> str:
        return f"<w:tr>{properties}{''.join(f'<w:tc><w:p>{run(cell)}</w:p></w:tc>' for cell in cells)}</w:tr>"

    gap = '<w:trPr><w:gridBefore w:val="1"/></w:trPr>'
    table = f"<w:tbl>{row('', 'Drug', 'Men', 'Women')}{row(gap, '5 mg', '7 mg')}</w:tbl>"
    assert read_one("a.docx", minimal_docx(table)).text == "Drug\tMen\tWomen\n\t5 mg\t7 mg"


def test_style_without_an_id_does_not_apply_to_paragraphs_without_a_style(raw: bytes) -> None:
    def change(name: str, part: bytes) -> bytes:
        hidden = b"<w:style><w:name w:val='heading 9'/><w:rPr><w:vanish/></w:rPr></w:style></w:styles>"
        return part.replace(b"</w:styles>", hidden) if name == "word/styles.xml" else part

    body = with_changed_document(raw, lambda part: part.replace(b'<w:pStyle w:val="Normal"/>', b""))
    assert parts_of(read_one("a.docx", with_changed_parts(body, change))) == parts_of(read_one("a.docx", body))


def test_box_within_a_box_is_read_if_its_paragraph_is_joined_with_the_next_one() -> None:
    def box(content: str) -> str:
        return f"<w:r><w:pict><w:txbxContent>{content}</w:txbxContent></w:pict></w:r>"

    inner = f"<w:p><w:pPr><w:rPr>{DELETED}</w:rPr></w:pPr>{run('One ')}{box(changed_paragraph('Inner.'))}</w:p>"
    body = f"<w:p>{box(inner + changed_paragraph('two.'))}{box(changed_paragraph('Other.'))}</w:p>"
    assert read_one("a.docx", minimal_docx(body)).text == "One two.\n\nInner.\n\nOther."


def test_large_document_is_read_in_little_memory(tmp_path: Path) -> None:
    paragraph = f"<w:p><w:pPr>{'<w:b/>' * 2000}</w:pPr>{run('Zinc helped.')}</w:p>"
    (tmp_path / "a.docx").write_bytes(minimal_docx(paragraph * 1500))  # 200 MB as elements
    with Worker(words_window(), DocumentsConfig(max_memory=200_000_000)) as worker:
        results = [result for _, documents in worker.members(tmp_path / "a.docx", "a.docx") for result in documents]
    assert len(results) == 1


@pytest.mark.parametrize("paragraphs", [0, 98, 99, 100])  # the reader frees memory after every 100 paragraphs
def test_cell_with_an_empty_paragraph_keeps_its_text_after_many_paragraphs(paragraphs: int) -> None:
    cell = f"<w:tc><w:p>{run('first')}</w:p><w:p/><w:p>{run('second')}</w:p></w:tc>"
    raw = minimal_docx("<w:p/>" * paragraphs + f"<w:tbl><w:tr>{cell}</w:tr></w:tbl>")
    assert read_one("a.docx", raw).text == "first second"


def test_large_tables_and_spans_are_read_quickly() -> None:
    def cell(text: str, properties: str = "") -> str:
        return f"<w:tc><w:tcPr>{properties}</w:tcPr><w:p>{run(text)}</w:p></w:tc>"

    wide = f"<w:tbl><w:tr>{cell('Corvinol', HUGE_SPAN)}</w:tr></w:tbl>"
    below = "".join(f"<w:tr>{cell('', '<w:vMerge/>')}{cell(f'{n} mg')}</w:tr>" for n in range(3000))
    tall = f"<w:tbl><w:tr>{cell('Drug', MERGE_START)}{cell('mg')}</w:tr>{below}</w:tbl>"
    start = process_time()
    text = read_one("a.docx", minimal_docx(wide + tall + "<w:p/>" * 300_000)).text
    assert process_time() - start < 15
    assert text.startswith("Corvinol\n\nDrug\tmg\nDrug\t0 mg")
    assert text.endswith("Drug\t2999 mg")
