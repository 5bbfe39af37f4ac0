"""The reader contract, for each supported format and for a user's parser class."""

from pathlib import Path
from typing import get_args

import pytest
from document_files import citation, docx_file, pdf_bytes, pubmed_xml
from reader_contract import ReaderContract

from corpus.documents.source import Format, format_of

SENTENCE = "Aspirin lowered the risk of stroke in adults with diabetes."
NBIB = f"PMID- 123\nTI  - A trial of aspirin.\nAB  - {SENTENCE}\nDP  - 2019\n\n"
FILES = {
    "a.txt": SENTENCE,
    "a.md": f"# Results\n\n{SENTENCE}\n",
    "a.html": f"<html><title>A trial</title><h1>Results</h1><p>{SENTENCE}</p></html>",
    "a.xml": pubmed_xml([citation("123", "A trial of aspirin", [("RESULTS", SENTENCE)])]),
    "a.nbib": NBIB,
    "a.csv": f"id,text\n1,{SENTENCE}\n2,Another text.\n",
    "a.jsonl": f'{{"id": "1", "text": "{SENTENCE}"}}\n{{"id": "2", "text": "Another."}}\n',
}
USER_MODULE = '''
from langchain_core.document_loaders import BaseBlobParser
from langchain_core.documents import Document


class Lines(BaseBlobParser):
    """A document for each line "title: text"."""

    def lazy_parse(self, blob):
        for line in blob.as_string().splitlines():
            title, _, text = line.partition(":")
            yield Document(page_content=text, metadata={"title": title, "year": 2020})
'''


def test_all_formats_are_covered() -> None:
    assert {format_of(name) for name in [*FILES, "a.pdf", "a.docx"]} == set(get_args(Format))


@pytest.mark.parametrize("name", [*FILES, "a.pdf", "a.docx"])
class TestFormat(ReaderContract):
    @pytest.fixture
    def raw(self, name: str, tmp_path: Path) -> bytes:
        if name == "a.pdf":
            return pdf_bytes([SENTENCE, "Bleeding did not change."])
        if name == "a.docx":
            return docx_file(tmp_path / name, [("Heading 1", "Results"), ("Normal", SENTENCE)]).read_bytes()
        return FILES[name].encode()


@pytest.mark.parametrize("name", ["a.lines"])
class TestUserReader(ReaderContract):
    @pytest.fixture
    def readers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "line_reader.py").write_text(USER_MODULE)
        return {".lines": "line_reader.Lines"}

    @pytest.fixture
    def raw(self) -> bytes:
        return f"Results: {SENTENCE}\nHarms: Bleeding did not change.\n".encode()
