import re

import pytest
from document_files import encrypted_pdf, pdf_bytes
from reading import parts_of, read_all, read_one

from common.errors import DataError


def test_each_page_with_text_is_a_part() -> None:
    pages = ["Heparin (5,000 units) helped.\nIt was safe.", "", "Doses \\ more."]
    found = read_one("a.pdf", pdf_bytes(pages, title="A trial"))
    assert found.metadata == {"title": "A trial"}
    assert parts_of(found) == [(None, 1, "Heparin (5,000 units) helped.\nIt was safe."), (None, 3, "Doses \\ more.")]


def test_title_set_by_the_program_is_ignored() -> None:
    assert read_one("a.pdf", pdf_bytes(["Zinc helped."], title="Microsoft Word - zinc.docx")).metadata == {}


def test_ligatures_become_letters_and_soft_hyphens_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    from pypdf import PageObject

    monkeypatch.setattr(PageObject, "extract_text", lambda self, **_: "signi\ufb01cant e\ufb00ect, soft\u00adened")
    assert read_one("a.pdf", pdf_bytes(["x"])).text == "significant effect, softened"


@pytest.mark.parametrize("algorithm", ["AES-256", "AES-128", "RC4-128"])
def test_file_without_user_password_is_read(algorithm: str) -> None:
    raw = encrypted_pdf(["Readable all the same."], user_password="", algorithm=algorithm)
    assert read_one("a.pdf", raw).text == "Readable all the same."


INVALID_FILES = {
    "encrypted": (encrypted_pdf(["x"], user_password="secret"), "is encrypted"),
    "scan": (pdf_bytes(["", ""]), "seems to be a scan"),
    "plain text": (b"hello", "is not a PDF file"),
    "zip": (b"PK\x03\x04" + b"x" * 100, "a zip file, as .docx files are: name it"),
    "header only": (b"%PDF-1.7\n", "cannot be read|can be read"),
    "cut off": (pdf_bytes(["hello"] * 3)[:300], "can be read"),
    "empty": (b"", "is empty"),
}


@pytest.mark.parametrize(("raw", "problem"), INVALID_FILES.values(), ids=INVALID_FILES)
def test_invalid_file_is_an_error(raw: bytes, problem: str) -> None:
    with pytest.raises(DataError, match=rf"a\.pdf.*({problem})"):
        read_one("a.pdf", raw)


def test_damaged_page_is_reported_and_other_pages_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from pypdf import PageObject

    def extract_text(page: PageObject, **_: object) -> str:
        if page.page_number in damaged_pages:
            raise RecursionError("too deep")
        return f"Group {'ABC'[page.page_number or 0]} was well."

    damaged_pages = [1]
    monkeypatch.setattr(PageObject, "extract_text", extract_text)
    found, problem = read_all("a.pdf", pdf_bytes(["one", "two", "three"]))
    assert [part.page for part in found.parts] == [1, 3]
    assert re.match(r"a\.pdf, record page 2: .*too deep", problem.why)
    damaged_pages = [0, 1, 2]
    with pytest.raises(DataError, match=r"a\.pdf, record page 1: .*too deep"):
        read_all("a.pdf", pdf_bytes(["one", "two", "three"]))


def test_max_pages_and_max_bytes_are_enforced() -> None:
    with pytest.raises(DataError, match=r"has 11 pages, more than documents.max_pages \(10\)"):
        read_one("a.pdf", pdf_bytes(["x"] * 11), max_pages=10)
    assert read_one("a.pdf", pdf_bytes(["x"] * 10), max_pages=10).text
    with pytest.raises(DataError, match=r"larger than documents.max_bytes \(100,000 bytes\)"):
        read_one("a.pdf", pdf_bytes(["x" * 100] * 1000), max_bytes=100_000)


def test_damaged_file_prints_no_messages_of_pypdf(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError):
        read_one("a.pdf", pdf_bytes(["hello"] * 3)[:-150])
    assert capfd.readouterr() == ("", "")
