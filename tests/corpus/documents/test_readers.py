"""Readers of the user's, named in settings: from a module in the current folder to an answer with its quote."""

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract
from corpus.documents.readers import Readers
from corpus.documents.source import Source

MODULE = """
from langchain_core.document_loaders import BaseBlobParser
from langchain_core.documents import Document

class Notes(BaseBlobParser):
    def lazy_parse(self, blob):
        for number, note in enumerate(blob.as_string().split("~")):
            title, _, text = note.partition(":")
            metadata = {"title": title, "year": 2020, "page": number + 1, "section": "Notes", "source": "x", "odd": {1}}
            yield Document(page_content=text, metadata=metadata)

class Named(BaseBlobParser):
    def lazy_parse(self, blob):
        yield Document(id="same", page_content="One.")
        yield Document(id="same", page_content="Two.")

class Failing(BaseBlobParser):
    def lazy_parse(self, blob):
        raise ValueError("no notes here")

class Picky(Notes):
    def __init__(self, needed):
        self.needed = needed

class Odd(BaseBlobParser):
    def lazy_parse(self, blob):
        yield "text"

class Other:
    pass
"""


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("note_reader.py").write_text(MODULE)


def read(reader: str, content: str | bytes, name: str = "a.note") -> list[Extract]:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    readers = Readers(DocumentsConfig(readers={".note": f"note_reader.{reader}"}))
    assert readers.can_read(name)
    return list(readers.read(Source(name, lambda: Path(name).open("rb"))))  # type: ignore[arg-type]


def test_a_document_has_the_parser_s_text_and_metadata() -> None:
    (one,) = read("Notes", "Heparin: It prevented clots.")
    assert (one.key, one.text) == ("a.note", "It prevented clots.")
    assert one.metadata == {"title": "Heparin", "year": 2020}
    assert [(part.page, part.section) for part in one.parts] == [(1, "Notes")]


def test_several_documents_of_a_file_are_numbered_and_packed_files_unpacked() -> None:
    packed = gzip.compress(b"A: One.~B: Two.")
    assert [one.key for one in read("Notes", packed, "a.note.gz")] == ["a.note.gz/1", "a.note.gz/2"]


@pytest.mark.parametrize(
    ("reader", "problem"),
    [
        ("Failing", "a.note: cannot be read by Failing (ValueError: no notes here)"),
        ("Odd", "a.note: cannot be read by Odd (TypeError: lazy_parse gave str"),
        ("Named", "Named gives the id 'same' twice"),
        ("Missing", "has no class Missing"),
        ("Other", "is not a subclass of langchain_core"),
        ("Picky", r"note_reader.Picky() failed: TypeError"),
    ],
)
def test_what_is_wrong_with_a_reader_is_told(reader: str, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        read(reader, "A: One.")
    assert problem in str(caught.value)


def test_a_file_without_text_and_one_that_is_too_large_are_problems_of_the_file() -> None:
    with pytest.raises(UserError, match="Notes finds no text in it"):
        read("Notes", "A:")
    with pytest.raises(UserError, match="is empty"):
        read("Notes", " ")
    with pytest.raises(UserError, match=r"documents\.max_bytes"):
        read("Notes", "A: " + "x" * 100_000_001)


@pytest.mark.parametrize("stated", [{"note": "a.B"}, {".note": "NoModule"}, {"./note": "a.B"}, {".": "a.B"}])
def test_a_reader_is_named_by_suffix_and_class(stated: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="pattern"):
        DocumentsConfig(readers=stated)


def test_a_reader_from_settings_alone_is_indexed_and_answers(command: Callable[..., Any]) -> None:
    Path("mine.yaml").write_text(
        "documents: {readers: {.note: note_reader.Notes}}\nretrievers: {dense: {kind: bm25}}\nretriever: dense\n"
    )
    Path("in").mkdir()
    Path("in/a.note").write_text("Heparin: Heparin prevented clots after surgery.")
    with zipfile.ZipFile("in/b.zip", "w") as archive:
        archive.writestr("b.note", "Statins: Statins lowered cholesterol.")
    indexed = command("index", "in", "--config", "mine.yaml", "--quiet")
    assert indexed.status == 0, indexed.err
    assert "2 added" in indexed.out
    answered = command("ask", "Do statins lower cholesterol?", "--config", "mine.yaml", "--quiet")
    assert "Statins lowered cholesterol." in answered.out, answered.err
    again = command("index", "in", "--config", "mine.yaml", "--quiet")
    assert "2 unchanged" in again.out
    unread = command("index", "in/a.note")
    assert unread.status == 1
    assert "has an unsupported type" in unread.err
    assert "Its earlier passages are kept" in command("index", "in").err
    assert "2 unchanged" in command("index", "in", "--config", "mine.yaml", "--quiet").out  # nothing was removed
