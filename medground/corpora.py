"""The texts that a command searches: the data's abstracts, or the documents that the user has indexed."""

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import DataError
from medground.settings import Settings

if TYPE_CHECKING:
    from langchain_core.documents import Document

DOCUMENTS = "documents"


@dataclass(frozen=True)
class Corpus:
    """A named set of passages; the name is part of the store's collections."""

    name: str
    passages: list["Document"]

    @property
    def is_users(self) -> bool:
        """Whether these are the user's own documents."""
        return self.name == DOCUMENTS


def data_corpus(settings: Settings) -> Corpus:
    """The abstracts of all the data's records, whatever split and limit the settings name.

    Raises:
        UserError: the data cannot be read.
    """
    from corpus.load import corpus_name, load_records
    from corpus.records import documents

    whole = settings.data.model_copy(update={"limit": None})
    return Corpus(corpus_name(whole), documents(load_records(whole, split="all")))


def searched_corpus(settings: Settings, *, data_named: bool = False) -> Corpus:
    """The user's documents where there are any and no data is named, else the data's abstracts.

    Args:
        settings: naming other data than the sample there counts.
        data_named: whether the command itself named its data.
    """
    path = _documents_file(settings)
    if path.is_file() and not data_named and settings.data.path == "sample":
        return Corpus(DOCUMENTS, list(_read(path)))
    return data_corpus(settings)


def add_documents(settings: Settings, paths: Sequence[Path], say: Callable[[str], None]) -> Corpus:
    """Read the user's files and add their passages to those indexed before; a file read again is replaced.

    Args:
        settings: ``store.path`` is where the passages are kept.
        paths: text files and folders.
        say: is told which files of a folder were passed over.

    Raises:
        UserError: a file cannot be read.
    """
    from corpus.files import read_documents

    reading = read_documents(paths)
    if reading.skipped:
        named = ", ".join(path.name for path in reading.skipped[:5])
        count = "1 file that is" if len(reading.skipped) == 1 else f"{len(reading.skipped)} files that are"
        say(f"passed over {count} empty or no text ({named})")
    path = _documents_file(settings)
    sources = {passage.metadata["source"] for passage in reading.passages}
    before = _read(path) if path.is_file() else []
    kept = [passage for passage in before if passage.metadata["source"] not in sources]
    passages = kept + reading.passages
    _write(path, passages)
    return Corpus(DOCUMENTS, passages)


def _documents_file(settings: Settings) -> Path:
    return Path(settings.store.path).expanduser() / "documents.jsonl"


def _read(path: Path) -> Iterable["Document"]:
    from langchain_core.documents import Document

    from corpus.json_file import read_text

    for number, line in enumerate(read_text(path).splitlines(), start=1):
        try:
            yield Document.model_validate_json(line)
        except ValueError:
            problem = "is damaged. Remove the file and index your documents again."
            raise DataError(path, problem, record=f"line {number}") from None


def _write(path: Path, passages: Sequence["Document"]) -> None:
    """One passage a line; the file is there whole or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        partial = Path(folder, path.name)
        with partial.open("w", encoding="utf-8") as file:
            for passage in passages:
                line = {"id": passage.id, "page_content": passage.page_content, "metadata": passage.metadata}
                file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
