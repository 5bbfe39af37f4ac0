"""Reading and splitting of a valid and a malformed file of each format."""

from pathlib import Path

import pytest
from document_files import (
    HTML,
    MARKDOWN,
    NBIB,
    citation,
    docx_file,
    lines_jsonl,
    pdf_bytes,
    pubmed_xml,
    table_csv,
)
from reading import read_all

from common.errors import DataError
from corpus.documents.passages import split_document, words_window
from corpus.documents.source import FORMATS, Format

WORDS = " ".join(f"Finding {n} was seen in ward {n % 3}." for n in range(20))
VALID: dict[Format, tuple[str, str | bytes]] = {
    "text": ("a.txt", f"\ufeffna\u00efve\r\n{WORDS}\r\n\r\n{WORDS}"),
    "markdown": ("a.md", f"{MARKDOWN}\n{WORDS}"),
    "html": ("a.html", HTML.replace("<ul>", f"<p>{WORDS}</p><ul>")),
    "pdf": ("a.pdf", pdf_bytes([WORDS.replace(". ", ".\n"), "A second page (with \\ signs)."], title="T")),
    "docx": ("a.docx", b""),
    "pubmed": ("a.xml", pubmed_xml([citation("1", "One", [("AIM", WORDS), ("END", "Done.")]), citation("2", "Two")])),
    "nbib": ("a.nbib", NBIB),
    "csv": ("a.csv", table_csv()),
    "jsonl": ("a.jsonl", lines_jsonl()),
}
MALFORMED: dict[Format, tuple[str, bytes]] = {
    "text": ("a.txt", b"\xff\xfe\x00"),
    "markdown": ("a.md", b"# a\0"),
    "html": ("a.html", b"<html>\0"),
    "pdf": ("a.pdf", b"%PDF-1.7 junk"),
    "docx": ("a.docx", b"PK\x03\x04 junk"),
    "pubmed": ("a.xml", b"<PubmedArticleSet><PubmedArticle>"),
    "nbib": ("a.nbib", b"TI  - no number"),
    "csv": ("a.csv", b'text\n"open'),
    "jsonl": ("a.jsonl", b'{"text": '),
}


@pytest.mark.parametrize("format", FORMATS)
def test_passages_have_all_text_in_order(format: Format, tmp_path: Path) -> None:
    name, raw = VALID[format]
    if format == "docx":
        raw = docx_file(tmp_path / name, [("Heading 1", "A"), ("Normal", WORDS), ("table", "a\tb")]).read_bytes()
    documents = read_all(name, raw)
    assert documents
    for document in documents:
        passages = split_document(document, words_window(30)).passages
        text = "".join(document.text[passage.start : passage.end] for passage in passages)
        assert "".join(text.split()) == "".join(document.text.split())
        assert all(passage.start < passage.end for passage in passages)
        assert [passage.start for passage in passages] == sorted(passage.start for passage in passages)


@pytest.mark.parametrize("format", FORMATS)
def test_error_about_malformed_file_has_its_name(format: Format) -> None:
    name, raw = MALFORMED[format]
    with pytest.raises(DataError, match=name):
        read_all(name, raw)
