"""Readers that the user names in settings: classes of a module in the current folder."""

import gzip
import re
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

READER_MODULE = """
from langchain_core.document_loaders import BaseBlobParser
from langchain_core.documents import Document

class Notes(BaseBlobParser):
    def lazy_parse(self, blob):
        for number, note in enumerate(blob.as_string().split("~")):
            title, _, text = note.partition(":")
            metadata = {"title": title, "year": 2020, "page": number + 1, "section": "Notes", "source": "x", "odd": {1}}
            yield Document(page_content=text, metadata=metadata)

class DuplicateIds(BaseBlobParser):
    def lazy_parse(self, blob):
        yield Document(id="same", page_content="One.")
        yield Document(id="same", page_content="Two.")

class Failing(BaseBlobParser):
    def lazy_parse(self, blob):
        raise ValueError("no notes here")

class NeedsArgument(Notes):
    def __init__(self, needed):
        self.needed = needed

class YieldsText(BaseBlobParser):
    def lazy_parse(self, blob):
        yield "text"

class NoParser:
    pass
"""


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("note_reader.py").write_text(READER_MODULE)


def read(reader: str, content: str | bytes, name: str = "a.note") -> list[Extract]:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    readers = Readers(DocumentsConfig(readers={".note": f"note_reader.{reader}"}))
    assert readers.can_read(name)
    return list(readers.read(Source(name, lambda: Path(name).open("rb"))))  # type: ignore[arg-type]


def test_document_has_text_and_metadata_of_the_parser() -> None:
    (document,) = read("Notes", "Heparin: It prevented clots.")
    assert (document.key, document.text) == ("a.note", "It prevented clots.")
    assert document.metadata == {"title": "Heparin", "year": 2020}
    assert [(part.page, part.section) for part in document.parts] == [(1, "Notes")]


def test_documents_of_a_compressed_file_are_numbered() -> None:
    compressed = gzip.compress(b"A: One.~B: Two.")
    assert [document.key for document in read("Notes", compressed, "a.note.gz")] == ["a.note.gz/1", "a.note.gz/2"]


@pytest.mark.parametrize(
    ("reader", "problem"),
    [
        ("Failing", "a.note: cannot be read by Failing (ValueError: no notes here)"),
        ("YieldsText", "a.note: cannot be read by YieldsText (TypeError: lazy_parse gave str"),
        ("DuplicateIds", "DuplicateIds gives the id 'same' twice"),
        ("Missing", "has no class Missing"),
        ("NoParser", "is not a subclass of langchain_core"),
        ("NeedsArgument", "note_reader.NeedsArgument() failed: TypeError"),
    ],
)
def test_error_of_a_reader_is_reported(reader: str, problem: str) -> None:
    with pytest.raises(UserError, match=re.escape(problem)):
        read(reader, "A: One.")


def test_file_without_text_or_larger_than_max_bytes_is_an_error() -> None:
    with pytest.raises(UserError, match="Notes finds no text in it"):
        read("Notes", "A:")
    with pytest.raises(UserError, match="is empty"):
        read("Notes", " ")
    with pytest.raises(UserError, match=r"documents\.max_bytes"):
        read("Notes", "A: " + "x" * 100_000_001)


@pytest.mark.parametrize("readers", [{"note": "a.B"}, {".note": "NoModule"}, {"./note": "a.B"}, {".": "a.B"}])
def test_readers_setting_needs_suffix_and_class_path(readers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="pattern"):
        DocumentsConfig(readers=readers)


def test_files_of_a_user_reader_are_indexed_and_cited(command: Callable[..., Any]) -> None:
    Path("notes.yaml").write_text(
        "documents: {readers: {.note: note_reader.Notes}}\nretrievers: {dense: {kind: bm25}}\nretriever: dense\n"
    )
    Path("in").mkdir()
    Path("in/a.note").write_text("Heparin: Heparin prevented clots after surgery.")
    with zipfile.ZipFile("in/b.zip", "w") as archive:
        archive.writestr("b.note", "Statins: Statins lowered cholesterol.")
    indexed = command("index", "in", "--config", "notes.yaml", "--quiet")
    assert indexed.status == 0, indexed.err
    assert "2 added" in indexed.out
    answered = command("ask", "Do statins lower cholesterol?", "--config", "notes.yaml", "--quiet")
    assert "Statins lowered cholesterol." in answered.out, answered.err
    second = command("index", "in", "--config", "notes.yaml", "--quiet")
    assert "2 unchanged" in second.out
    without_reader = command("index", "in/a.note")
    assert without_reader.status == 1
    assert "has an unsupported type" in without_reader.err
    assert "Its earlier passages are kept" in command("index", "in").err
    assert "2 unchanged" in command("index", "in", "--config", "notes.yaml", "--quiet").out  # nothing was removed
