"""BM25 indexes, in memory or on disk, where processes share them by memory-mapping.

An index on disk is the folder ``bm25/NAME/`` in the store's folder, with a subfolder for each version. The file
``current`` has the name of the current version, and is replaced only when a new version is complete: if a process is
killed, the previous version stays current. Other processes read the file before each search.
"""

import hashlib
import json
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from langchain_core.documents import Document

from common.atomic_write import new_version, remove_other_versions, write_whole
from common.errors import UserError
from common.fingerprints import documents_digest
from corpus.words import TERMS_VERSION, terms
from retrievers.base import Frequencies, encodable
from retrievers.document_ids import distinct
from retrievers.files.documents import DocumentFile, write_documents
from retrievers.files.strings import StringTable, encoded
from retrievers.indexing import Documents, ServerDocuments
from retrievers.store import REVISION

if TYPE_CHECKING:
    import bm25s

FORMAT = 2  # of a version's files
FOLDER = "bm25"
CURRENT = "current"
ABOUT = "about.json"
# The files of the arrays of ``Postings``.
SCORES, ROWS, STARTS = "scores.npy", "places.npy", "begins.npy"
WORD = "word"  # name of the ``StringTable`` of the sorted words
COLUMNS = "columns.npy"  # the column of each of these words


class Parameters(NamedTuple):
    """BM25's parameters: ``k1`` saturates term counts, ``b`` weighs a text's length."""

    k1: float = 1.5
    b: float = 0.75


@dataclass(frozen=True)
class Postings:
    """The BM25 score of each word in each document, as a sparse matrix (documents, words) in CSC format.

    The arrays are in memory or memory-mapped.

    Attributes:
        scores: the scores, column after column (CSC's ``data``).
        rows: the number of the document of each score (CSC's ``indices``).
        starts: where each column starts in ``scores``, and where the last column ends (CSC's ``indptr``).
        documents: the number of documents.
        column: function from a word to its column; None for a word that no document contains.
    """

    scores: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    documents: int
    column: Callable[[str], int | None]

    def total(self, words: Iterable[str]) -> np.ndarray | None:
        """The sum of the words' scores for each document; None if no document contains any of the words."""
        if not (columns := [column for column in map(self.column, words) if column is not None]):
            return None
        total = np.zeros(self.documents, dtype=self.scores.dtype)
        for column in columns:
            entries = slice(self.starts[column], self.starts[column + 1])
            # += would add only one entry of a repeated row; a column has none.
            total[self.rows[entries]] += self.scores[entries]
        return total

    def frequencies(self, words: Collection[str]) -> Frequencies:
        """The number of documents that contain each of the words."""
        columns = {word: self.column(word) for word in words}
        return Frequencies(
            self.documents,
            {
                word: 0 if column is None else int(self.starts[column + 1] - self.starts[column])
                for word, column in columns.items()
            },
        )


class SearchableIndex:
    """Base of the indexes that can be searched."""

    _postings: Postings | None
    """None if no document contains a word."""
    _documents: Sequence[Document] | DocumentFile

    def scores(self, words: Sequence[str]) -> np.ndarray | None:
        """The scores of all documents, (documents,); None if no document contains any of the words."""
        return self._postings.total(words) if self._postings else None

    def document(self, number: int) -> Document:
        """The document whose score is ``scores(...)[number]``."""
        return self._documents[number]

    def frequencies(self, words: Collection[str]) -> Frequencies:
        """The number of documents that contain each of the words."""
        return self._postings.frequencies(words) if self._postings else Frequencies(0, dict.fromkeys(words, 0))


class MemoryIndex(SearchableIndex):
    """A BM25 index over documents in memory."""

    def __init__(self, documents: Iterable[Document], parameters: Parameters) -> None:
        """Index ``documents``.

        Raises:
            UserError: two different documents have the same id.
        """
        self._documents = list(distinct(documents))
        index = _build(self._documents, parameters)
        self._postings = _postings(*index) if index else None


class Version(SearchableIndex):
    """One version of an index on disk. Its files are memory-mapped: a search reads only the columns of its words."""

    def __init__(self, folder: Path) -> None:
        self.about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if self.about.get("format") != FORMAT:
            raise ValueError("another version of medground wrote it")
        self._postings = _read_postings(folder, self.about["documents"]) if self.about["words"] else None
        self._documents = DocumentFile(folder)


class LexicalIndex:
    """The index of a corpus on disk.

    Args:
        store: the store's folder.
        corpus: the corpus's name.
        parameters: BM25's parameters.
        server: the corpus on a Chroma server, from which the index is rebuilt if it has changed there.
    """

    def __init__(self, store: Path, corpus: str, parameters: Parameters, server: ServerDocuments | None = None) -> None:
        # Changing the 1 would give every existing index another folder name.
        digest = hashlib.sha256(repr((1, corpus, tuple(map(float, parameters)))).encode("utf-8", "replace"))
        self._folder = store / FOLDER / digest.hexdigest()[:16]
        self._corpus = corpus
        self._parameters = parameters
        self._opened: tuple[str, Version] | None = None  # the opened version and its name
        self._server = server
        self._update_lock = threading.Lock()

    def update(self, documents: Documents) -> Self:
        """Rebuild the index unless it contains exactly ``documents`` and has the current ``TERMS_VERSION``.

        Documents with an attribute ``revision`` are compared by their revision alone.

        Raises:
            UserError: two different documents have the same id, or the folder cannot be written.
        """
        return self._update(documents, getattr(documents, REVISION, None) or documents_digest(documents, metadata=True))

    def _update(self, documents: Iterable[Document], revision: str) -> Self:
        try:
            about = self._current_about()
            if about is None or (about["revision"], about.get("edition")) != (revision, TERMS_VERSION):
                self._write(documents, revision)
            else:  # a killed process may have left the previous version, which may contain deleted texts
                remove_other_versions(self._folder, self._current_name)
        except OSError as error:
            raise UserError(
                f"The index of words in {self._folder} cannot be written ({error.strerror or error}). Check the "
                "folder's permissions and the disk's free space, or set store.path to another folder."
            ) from error
        return self

    def current(self) -> Version:
        """The current version, which another process may have replaced since the last call.

        If the corpus on the server has changed, the index is rebuilt from the server first.

        Raises:
            UserError: there is no version, it cannot be read, or the server cannot be reached.
        """
        if self._server is not None:
            with self._update_lock:
                if (revision := self._server.revision()) is not None:
                    self._update(self._server, revision)
        return self._current()

    def _current(self) -> Version:
        for _ in range(3):  # another process may replace and remove the version between reading its name and opening it
            name = self._current_name()
            if name is None:
                break
            if self._opened is not None and self._opened[0] == name:
                return self._opened[1]
            folder = self._folder / name
            try:
                version = Version(folder)
            except FileNotFoundError:
                continue
            except (OSError, EOFError, ValueError, KeyError) as error:
                raise UserError(
                    f"The index of words in {folder} is damaged ({error}). Remove {self._folder}; it will be rebuilt."
                ) from error
            self._opened = (name, version)
            return version
        raise UserError(f"The index of words of {self._corpus} in {self._folder} is missing. Build it: medground index")

    def _current_name(self) -> str | None:
        try:
            return (self._folder / CURRENT).read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def _current_about(self) -> dict[str, Any] | None:
        """The content of the current version's file ``about.json``; None if the version is missing or damaged."""
        try:
            return self._current().about
        except UserError:
            return None

    def _write(self, documents: Iterable[Document], revision: str) -> None:
        name = secrets.token_hex(8)
        with new_version(self._folder, name) as folder:
            index = _build(write_documents(documents, folder), self._parameters)
            if index:
                _write_postings(*index, folder)
            about = {
                "format": FORMAT,
                "revision": revision,
                "edition": TERMS_VERSION,
                "words": index is not None,  # whether any document contains a word
                "documents": index[0].scores["num_docs"] if index else 0,
                "corpus": encodable(self._corpus),
            }
            (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
            write_whole(self._folder / CURRENT, f"{name}\n")
        remove_other_versions(self._folder, self._current_name)


def _build(documents: Iterable[Document], parameters: Parameters) -> "tuple[bm25s.BM25, dict[str, int]] | None":
    """The bm25s index of documents, and the column of each word; None if no document contains a word."""
    import bm25s

    vocabulary: defaultdict[str, int] = defaultdict(count().__next__)  # gives each new word the next number
    word_numbers = [list(map(vocabulary.__getitem__, terms(document.page_content))) for document in documents]
    if not vocabulary:
        return None
    bm25 = bm25s.BM25(method="lucene", k1=parameters.k1, b=parameters.b)
    bm25.index((word_numbers, dict(vocabulary)), show_progress=False)
    return bm25, dict(vocabulary)


def _postings(bm25: "bm25s.BM25", vocabulary: Mapping[str, int]) -> Postings:
    scores = bm25.scores
    return Postings(scores["data"], scores["indices"], scores["indptr"], scores["num_docs"], vocabulary.get)


def _write_postings(bm25: "bm25s.BM25", vocabulary: Mapping[str, int], folder: Path) -> None:
    words = sorted((encoded(word), column) for word, column in vocabulary.items())
    StringTable.write(folder, WORD, [word for word, _ in words])
    arrays = {
        SCORES: bm25.scores["data"],
        ROWS: bm25.scores["indices"],
        STARTS: bm25.scores["indptr"],
        COLUMNS: np.array([column for _, column in words], dtype=np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / name, array)


def _read_postings(folder: Path, documents: int) -> Postings:
    names = (SCORES, ROWS, STARTS, COLUMNS)
    scores, rows, starts, columns = (np.load(folder / name, mmap_mode="r") for name in names)
    words = StringTable(folder, WORD)

    def column(word: str) -> int | None:
        return None if (word_row := words.row(word)) is None else int(columns[word_row])

    return Postings(scores, rows, starts, documents, column)
