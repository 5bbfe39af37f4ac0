"""corpus/documents/pdf.py: pages, and files that cannot be read."""

import re
from pathlib import Path

import pytest
from document_files import encrypted_pdf, pdf_bytes
from reading import parts_of, read_all, read_one

from common.errors import DataError


def test_each_page_is_a_part_with_its_number() -> None:
    pages = ["Heparin (5,000 units) helped.\nIt was safe.", "", "Doses \\ more."]
    found = read_one("a.pdf", pdf_bytes(pages, title="A trial"))
    assert found.metadata == {"title": "A trial"}
    assert parts_of(found) == [
        (None, 1, "Heparin (5,000 units) helped.\nIt was safe."),
        (None, 3, "Doses \\ more."),
    ]


def test_ligatures_become_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    from pypdf import PageObject

    monkeypatch.setattr(PageObject, "extract_text", lambda self, **_: "signi\ufb01cant e\ufb00ect, soft\u00adened")
    assert read_one("a.pdf", pdf_bytes(["x"])).text == "significant effect, softened"


@pytest.mark.parametrize("algorithm", ["AES-256", "AES-128", "RC4-128"])
def test_a_password_for_changes_alone_does_not_matter(algorithm: str) -> None:
    raw = encrypted_pdf(["Readable all the same."], user_password="", algorithm=algorithm)
    assert read_one("a.pdf", raw).text == "Readable all the same."


BAD = {
    "encrypted": (encrypted_pdf(["x"], user_password="secret"), "is encrypted"),
    "a scan": (pdf_bytes(["", ""]), "seems to be a scan"),
    "no PDF": (b"hello", "is not a PDF file"),
    "another kind": (b"PK\x03\x04" + b"x" * 100, "a zip file, as .docx files are: name it"),
    "nothing after the head": (b"%PDF-1.7\n", "cannot be read|can be read"),
    "cut off": (pdf_bytes(["hello"] * 3)[:300], "can be read"),
    "empty": (b"", "is empty"),
}


@pytest.mark.parametrize(("raw", "told"), BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_told(raw: bytes, told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        read_one("a.pdf", raw)
    assert str(caught.value).startswith("a.pdf")


def test_a_broken_page_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from pypdf import PageObject

    def broken(page: PageObject, **_: object) -> str:
        if page.page_number in pages:
            raise RecursionError("too deep")
        return f"Group {'ABC'[page.page_number or 0]} was well."

    pages = [1]
    monkeypatch.setattr(PageObject, "extract_text", broken)
    found, problem = read_all("a.pdf", pdf_bytes(["one", "two", "three"]))
    assert [part.page for part in found.parts] == [1, 3]
    assert re.match(r"a\.pdf, record page 2: .*too deep", problem.why)
    pages = [0, 1, 2]
    with pytest.raises(DataError, match=r"a\.pdf, record page 1: .*too deep"):
        read_all("a.pdf", pdf_bytes(["one", "two", "three"]))


def test_the_limits_hold() -> None:
    with pytest.raises(DataError, match=r"has 11 pages, more than documents.max_pages \(10\)"):
        read_one("a.pdf", pdf_bytes(["x"] * 11), max_pages=10)
    assert read_one("a.pdf", pdf_bytes(["x"] * 10), max_pages=10).text
    with pytest.raises(DataError, match=r"larger than documents.max_bytes \(100,000 bytes\)"):
        read_one("a.pdf", pdf_bytes(["x" * 100] * 1000), max_bytes=100_000)


def test_nothing_is_said_beside_the_error(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(DataError):
        read_one("a.pdf", pdf_bytes(["hello"] * 3)[:-150])
    assert capfd.readouterr() == ("", "")
