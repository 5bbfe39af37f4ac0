"""BM25 indexes in memory or on disk. Processes share an index on disk by memory-mapping.

An index on disk is the folder ``bm25/NAME/`` in the store's folder, with a subfolder for each version. The file
``current`` has the name of the current version. It is replaced only when a new version is complete, so if a process is
killed, the previous version stays current. Other processes read ``current`` before each search.
"""

import hashlib
import json
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from langchain_core.documents import Document

from common.atomic_write import new_version, remove_other_versions, write_whole
from common.errors import UserError
from common.fingerprints import documents_digest
from corpus.words import TERMS_VERSION, terms
from retrievers.base import Frequencies, encodable
from retrievers.document_ids import distinct
from retrievers.files.documents import DocumentFile, write_documents
from retrievers.files.strings import StringTable, encoded
from retrievers.indexing import ServerDocuments
from retrievers.store import REVISION

if TYPE_CHECKING:
    import numpy as np

FORMAT = 2  # of a version's files
FOLDER = "bm25"
CURRENT = "current"
ABOUT = "about.json"
WORD = "word"  # name of the ``StringTable`` of the sorted words
# The files of the arrays ``values``, ``rows`` and ``starts`` of ``Index``, and of the column of each sorted word.
ARRAYS = ("scores.npy", "places.npy", "begins.npy", "columns.npy")


class Parameters(NamedTuple):
    """BM25's parameters: ``k1`` saturates term counts, ``b`` weighs a text's length."""

    k1: float = 1.5
    b: float = 0.75


@dataclass(frozen=True, eq=False)
class Index:
    """The BM25 score of each word in each document, as a sparse matrix (documents, words) in CSC format.

    The arrays are in memory or memory-mapped. A search reads only the columns of its words.

    Attributes:
        documents: the documents, by row.
        count: the number of documents; 0 if none contains a word.
        values: the scores, column after column (CSC's ``data``).
        rows: the row of each score (CSC's ``indices``).
        starts: where each column starts in ``values``, and where the last column ends (CSC's ``indptr``).
        column: function from a word to its column; None for a word that no document contains.
    """

    documents: Sequence[Document] | DocumentFile
    count: int
    values: "np.ndarray"
    rows: "np.ndarray"
    starts: "np.ndarray"
    column: Callable[[str], int | None]

    def scores(self, words: Iterable[str]) -> "np.ndarray | None":
        """The scores of all documents, (documents,); None if no document contains any of the words."""
        import numpy as np

        if not (columns := [column for column in map(self.column, words) if column is not None]):
            return None
        total = np.zeros(self.count, dtype=self.values.dtype)
        for column in columns:
            entries = slice(self.starts[column], self.starts[column + 1])
            # This += would add only one of several entries of a row, but a column has at most one per row.
            total[self.rows[entries]] += self.values[entries]
        return total

    def frequencies(self, words: Collection[str]) -> Frequencies:
        """The number of documents that contain each of the words."""
        columns = {word: self.column(word) for word in words}
        containing = {
            word: 0 if column is None else int(self.starts[column + 1] - self.starts[column])
            for word, column in columns.items()
        }
        return Frequencies(self.count, containing)


def index_in_memory(documents: Iterable[Document], parameters: Parameters) -> Index:
    """A BM25 index over documents in memory; ``UserError`` if two different documents have the same id."""
    documents = list(distinct(documents))
    matrix, columns = _build(documents, parameters)
    return Index(documents, matrix["num_docs"], matrix["data"], matrix["indices"], matrix["indptr"], columns.get)


class LexicalIndex:
    """The index of a corpus on disk.

    Args:
        store: the store's folder.
        corpus: the corpus's name.
        parameters: BM25's parameters.
        server: the corpus on a Chroma server; if the corpus has changed there, the index is rebuilt from it.
    """

    def __init__(self, store: Path, corpus: str, parameters: Parameters, server: ServerDocuments | None = None) -> None:
        # Changing the 1 would give every existing index another folder name.
        digest = hashlib.sha256(repr((1, corpus, tuple(map(float, parameters)))).encode("utf-8", "replace"))
        self._folder = store / FOLDER / digest.hexdigest()[:16]
        self._corpus = corpus
        self._parameters = parameters
        self._opened: tuple[str, dict[str, Any], Index] | None = None  # the opened version's name, about.json and index
        self._server = server
        self._update_lock = threading.Lock()

    def update(self, documents: Iterable[Document], revision: str | None = None) -> Self:
        """Rebuild the index unless it contains exactly ``documents`` and has the current ``TERMS_VERSION``.

        ``revision`` is by default the documents' attribute ``revision``. With a revision, the documents are not
        compared themselves.

        Raises:
            UserError: two different documents have the same id, or the folder cannot be written.
        """
        revision = revision or getattr(documents, REVISION, None) or documents_digest(documents, metadata=True)
        try:
            about: dict[str, Any] = {}
            with suppress(UserError):  # raised if the current version is missing or damaged
                about, _ = self._current()
            if (about.get("revision"), about.get("edition")) != (revision, TERMS_VERSION):
                self._write(documents, revision)
            else:  # a killed process may have left the previous version, which may contain deleted texts
                remove_other_versions(self._folder, self._current_name)
        except OSError as error:
            raise UserError(
                f"The index of words in {self._folder} cannot be written ({error.strerror or error}). Check the "
                "folder's permissions and the disk's free space, or set store.path to another folder."
            ) from error
        return self

    def current(self) -> Index:
        """The index in its current version, which another process may have replaced since the last call.

        If the corpus on the server has changed, the index is rebuilt from the server first.

        Raises:
            UserError: there is no version, it cannot be read, or the server cannot be reached.
        """
        if self._server is not None:
            with self._update_lock:
                if (revision := self._server.revision()) is not None:
                    self.update(self._server, revision)
        return self._current()[1]

    def _current(self) -> tuple[dict[str, Any], Index]:
        """The content of the current version's file ``about.json``, and its index."""
        for _ in range(3):  # another process may replace and remove the version between reading its name and opening it
            name = self._current_name()
            if name is None:
                break
            if self._opened is not None and self._opened[0] == name:
                return self._opened[1:]
            folder = self._folder / name
            try:
                about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
                opened = name, about, _read(folder, about)
            except FileNotFoundError:
                continue
            except (OSError, EOFError, ValueError, KeyError) as error:
                raise UserError(
                    f"The index of words in {folder} is damaged ({error}). Remove {self._folder}; it will be rebuilt."
                ) from error
            self._opened = opened
            return opened[1:]
        raise UserError(f"The index of words of {self._corpus} in {self._folder} is missing. Build it: medground index")

    def _current_name(self) -> str | None:
        try:
            return (self._folder / CURRENT).read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def _write(self, documents: Iterable[Document], revision: str) -> None:
        name = secrets.token_hex(8)
        with new_version(self._folder, name) as folder:
            matrix, columns = _build(write_documents(documents, folder), self._parameters)
            if columns:
                _write(matrix, columns, folder)
            about = {
                "format": FORMAT,
                "revision": revision,
                "edition": TERMS_VERSION,
                "words": bool(columns),  # whether any document contains a word
                "documents": matrix["num_docs"],
                "corpus": encodable(self._corpus),
            }
            (folder / ABOUT).write_text(json.dumps(about), encoding="utf-8")
            write_whole(self._folder / CURRENT, f"{name}\n")
        remove_other_versions(self._folder, self._current_name)


def _build(documents: Iterable[Document], parameters: Parameters) -> tuple[dict[str, Any], dict[str, int]]:
    """The matrix of scores as bm25s has it, and the column of each word; both empty if no document contains a word."""
    import bm25s
    import numpy as np

    vocabulary: defaultdict[str, int] = defaultdict(count().__next__)  # gives each new word the next number
    word_numbers = [list(map(vocabulary.__getitem__, terms(document.page_content))) for document in documents]
    if not vocabulary:
        return {"num_docs": 0, **dict.fromkeys(("data", "indices", "indptr"), np.empty(0))}, {}
    bm25 = bm25s.BM25(method="lucene", k1=parameters.k1, b=parameters.b)
    bm25.index((word_numbers, dict(vocabulary)), show_progress=False)
    return bm25.scores, dict(vocabulary)


def _write(matrix: Mapping[str, Any], vocabulary: Mapping[str, int], folder: Path) -> None:
    import numpy as np

    words = sorted((encoded(word), column) for word, column in vocabulary.items())
    StringTable.write(folder, WORD, [word for word, _ in words])
    columns = np.array([column for _, column in words], dtype=np.int32)
    for name, array in zip(ARRAYS, (matrix["data"], matrix["indices"], matrix["indptr"], columns), strict=True):
        np.save(folder / name, array)


def _read(folder: Path, about: Mapping[str, Any]) -> Index:
    """The index in the folder of a version, whose file ``about.json`` contains ``about``."""
    import numpy as np

    if about.get("format") != FORMAT:
        raise ValueError("another version of medground wrote it")
    if not about["words"]:
        return Index(DocumentFile(folder), 0, np.empty(0), np.empty(0), np.empty(0), lambda _: None)
    values, rows, starts, columns = (np.load(folder / name, mmap_mode="r") for name in ARRAYS)
    words = StringTable(folder, WORD)

    def column(word: str) -> int | None:
        return None if (row := words.row(word)) is None else int(columns[row])

    return Index(DocumentFile(folder), about["documents"], values, rows, starts, column)
