"""corpus/documents/docx.py: the body of Word files, and files that are none."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from document_files import docx_file
from reading import parts_of, read_one

from corpus.errors import DataError

BLOCKS = [
    ("Normal", "Before all."),
    ("Heading 1", "Methods"),
    ("Normal", "Heparin was given\nto 40 patients."),
    ("table", "Drug\tDose\nHeparin\t5,000 units"),
    ("Heading 2", "Results"),
    ("List Bullet", "No clots."),
]


def rewritten(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The file with another main part."""
    source, written = zipfile.ZipFile(io.BytesIO(raw)), io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in source.infolist():
            content = source.read(member)
            archive.writestr(member.filename, change(content) if member.filename == "word/document.xml" else content)
    return written.getvalue()


@pytest.fixture
def raw(tmp_path: Path) -> bytes:
    return docx_file(tmp_path / "a.docx", BLOCKS, title="A trial").read_bytes()


def test_paragraphs_and_tables_lie_under_their_headings(raw: bytes) -> None:
    found = read_one("a.docx", raw)
    assert found.metadata == {"title": "A trial"}
    assert parts_of(found) == [
        (None, None, "Before all."),
        (
            "Methods",
            None,
            "Methods\n\nHeparin was given\nto 40 patients.\n\nDrug\tDose\nHeparin\t5,000 units",
        ),
        ("Results", None, "Results\n\nNo clots."),
    ]


def test_a_merged_cell_is_read_once(tmp_path: Path) -> None:
    import docx

    document = docx.Document()
    table = document.add_table(1, 3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "wide"
    table.cell(0, 2).text = "small"
    document.save(str(tmp_path / "a.docx"))
    assert read_one("a.docx", (tmp_path / "a.docx").read_bytes()).text == "wide\tsmall"


def test_what_is_no_word_file_is_refused(raw: bytes, tmp_path: Path) -> None:
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a.txt", "x")
    cases = {
        b"hello": "is not a .docx file",
        b"%PDF-1.4": "a PDF file: name it .pdf",
        b"\xd0\xcf\x11\xe0old": "an old Office file",
        raw[:-500]: "or a damaged one",
        raw[:2000] + b"x" * 50 + raw[2050:]: "can be read",
        other.getvalue(): "can be read",
        rewritten(raw, lambda part: part[:500]): "can be read",
        docx_file(tmp_path / "none.docx", []).read_bytes(): "holds no text",
    }
    for content, told in cases.items():
        with pytest.raises(DataError, match=told):
            read_one("a.docx", content)


def test_what_unpacks_to_too_much_is_not_unpacked(raw: bytes) -> None:
    bomb = rewritten(raw, lambda part: part + b" " * 5_000_000)
    with pytest.raises(DataError, match=r"unpacks to .* more than documents.max_bytes \(1,000,000\)"):
        read_one("a.docx", bomb, max_bytes=1_000_000)


def test_entities_are_not_expanded(raw: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    declared = f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret.as_uri()}"><!ENTITY y "MANY">]><w:document'.encode()

    def attack(part: bytes) -> bytes:
        return part.replace(b"<w:document", declared, 1).replace(b"Before all.", b"Before &x;&y; all.")

    assert attack(b"<w:document Before all.") != b"<w:document Before all."
    text = read_one("a.docx", rewritten(raw, attack)).text
    assert "SECRET" not in text
    assert "MANY" not in text
