"""corpus/documents/docx.py: the body of Word files, and files that are none."""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from document_files import docx_file
from reading import parts_of, read_one

from common.errors import DataError

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


def test_tracked_changes_are_accepted_and_content_controls_read() -> None:
    import docx
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    document = docx.Document()
    for inner in (
        "<w:p %s><w:r><w:t>Heparin did </w:t></w:r><w:ins w:id='1' w:author='A'><w:r><w:t>not </w:t></w:r></w:ins>"
        "<w:del w:id='2' w:author='A'><w:r><w:delText>surely </w:delText></w:r></w:del>"
        "<w:r><w:t>help.</w:t></w:r></w:p>",
        "<w:sdt %s><w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p></w:sdtContent></w:sdt>",
        "<w:p %s><w:moveFrom w:id='3' w:author='A'><w:r><w:t>Moved.</w:t></w:r></w:moveFrom></w:p>",
        "<w:p %s><w:r><w:t>Seen.</w:t><w:pict><w:txbxContent><w:p><w:r><w:t>Boxed.</w:t></w:r></w:p></w:txbxContent>"
        "</w:pict></w:r></w:p>",
    ):
        document.element.body.insert(len(document.element.body) - 1, parse_xml(inner % nsdecls("w")))
    written = io.BytesIO()
    document.save(written)
    assert read_one("a.docx", written.getvalue()).text == "Heparin did not help.\n\nIn a control.\n\nSeen."


def test_without_properties_there_is_no_title(tmp_path: Path) -> None:
    whole = docx_file(tmp_path / "a.docx", [("Normal", "Text.")], title="T").read_bytes()
    assert read_one("a.docx", whole).metadata == {"title": "T"}
    bare = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(bare, "w") as new:
        for name in old.namelist():
            if "core" not in name:
                links = rb'<Relationship [^>]*core-properties[^>]*/>|<Override PartName="/docProps/core[^>]*/>'
                new.writestr(name, re.sub(links, b"", old.read(name)))
    assert read_one("a.docx", bare.getvalue()).metadata == {}


def test_what_is_no_word_file_is_refused(raw: bytes, tmp_path: Path) -> None:
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a.txt", "x")
    cases = {
        b"hello": "is not a .docx file",
        b"%PDF-1.4": "a PDF file: name it .pdf",
        b"\xd0\xcf\x11\xe0old": "an old Office file",
        raw[:-500]: "or a damaged one",
        raw[:2000] + b"x" * 50 + raw[2050:]: "is damaged|can be read",
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


def test_a_file_that_declares_entities_is_refused(raw: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRET")
    declared = f'<!DOCTYPE d [<!ENTITY x SYSTEM "{secret.as_uri()}"><!ENTITY y "MANY">]><w:document'.encode()

    def attack(part: bytes) -> bytes:
        return part.replace(b"<w:document", declared, 1).replace(b"Before all.", b"Before &x;&y; all.")

    assert attack(b"<w:document Before all.") != b"<w:document Before all."
    with pytest.raises(DataError, match="document type"):
        read_one("a.docx", rewritten(raw, attack))
