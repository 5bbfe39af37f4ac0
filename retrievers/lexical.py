"""BM25 indexes on disk: built by ``index``, memory-mapped by whatever searches.

An index is a folder of its own in the store's folder, ``bm25/NAME/``. The file ``current`` in it names the version that
counts, a subfolder that is complete before it is named. So a process that is killed leaves the version before, and a
process that searches sees a new version as soon as it is named.
"""

import hashlib
import json
import secrets
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from langchain_core.documents import Document

from common.atomic_write import remove_other_versions, write_whole
from common.errors import UserError
from common.fingerprints import documents_digest
from corpus.words import EDITION, terms
from retrievers.base import Frequencies, encodable
from retrievers.document_ids import identified
from retrievers.files.documents import DocumentFile, write_documents
from retrievers.files.strings import StringTable, encoded
from retrievers.indexing import Documents, ServerDocuments
from retrievers.store import REVISION

if TYPE_CHECKING:
    import bm25s
    import numpy as np

FORMAT = 2  # of a version's files
FOLDER = "bm25"
CURRENT = "current"
ABOUT = "about.json"
SCORES, PLACES, BEGINS = "scores.npy", "places.npy", "begins.npy"  # see Postings
WORD, COLUMNS = "word", "columns.npy"  # the sorted words (``StringTable``) and the column of each


class Parameters(NamedTuple):
    """BM25's parameters: ``k1`` saturates term counts, ``b`` weighs a text's length."""

    k1: float = 1.5
    b: float = 0.75


class Lexical(Protocol):
    """A BM25 index that is ready to be searched."""

    def scores(self, words: Sequence[str]) -> "np.ndarray | None":
        """The score of each document as an array, or None where no document has any of the words."""
        ...

    def document(self, place: int) -> Document:
        """The document at a place of ``scores``."""
        ...

    def frequencies(self, words: Collection[str]) -> Frequencies:
        """How many documents have each of the words."""
        ...


@dataclass(frozen=True)
class Postings:
    """BM25 scores by word: a sparse matrix with a column for each word, as arrays in memory or memory-mapped.

    Attributes:
        scores: the scores, column after column.
        places: the document of each score.
        begins: where each column begins, and where the last one ends.
        documents: the number of documents.
        column: finds the column of a word; None for a word that no document has.
    """

    scores: "np.ndarray"
    places: "np.ndarray"
    begins: "np.ndarray"
    documents: int
    column: Callable[[str], int | None]

    def total(self, words: Iterable[str]) -> "np.ndarray | None":
        """The score of each document; None where no document has any of the words."""
        import numpy as np

        if not (known := [column for column in map(self.column, words) if column is not None]):
            return None
        total = np.zeros(self.documents, dtype=self.scores.dtype)
        for column in known:
            entries = slice(self.begins[column], self.begins[column + 1])
            total[self.places[entries]] += self.scores[entries]  # a document is in a column once
        return total

    def frequencies(self, words: Collection[str]) -> Frequencies:
        """How many documents have each of the words."""
        columns = {word: self.column(word) for word in words}
        return Frequencies(
            self.documents,
            {
                word: 0 if column is None else int(self.begins[column + 1] - self.begins[column])
                for word, column in columns.items()
            },
        )


class MemoryIndex:
    """A BM25 index over documents in memory."""

    def __init__(self, documents: Sequence[Document], parameters: Parameters) -> None:
        """Index ``documents``.

        Raises:
            UserError: two different documents have one id.
        """
        self._documents = identified(documents)
        built = _build(self._documents, parameters)
        self._postings = _postings(*built) if built else None

    def scores(self, words: Sequence[str]) -> "np.ndarray | None":
        """See ``Lexical``."""
        return self._postings.total(words) if self._postings else None

    def frequencies(self, words: Collection[str]) -> Frequencies:
        """See ``Lexical``."""
        return self._postings.frequencies(words) if self._postings else Frequencies(0, dict.fromkeys(words, 0))

    def document(self, place: int) -> Document:
        """See ``Lexical``."""
        return self._documents[place]


class Version:
    """One version of an index on disk. Its files are memory-mapped: a search reads only its words' parts of them."""

    def __init__(self, folder: Path) -> None:

        self.about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if self.about.get("format") != FORMAT:
            raise ValueError("another version of medground wrote it")
        self._postings = _read_postings(folder, self.about["documents"]) if self.about["words"] else None
        self._documents = DocumentFile(folder)

    def scores(self, words: Sequence[str]) -> "np.ndarray | None":
        """See ``Lexical``."""
        return self._postings.total(words) if self._postings else None

    def frequencies(self, words: Collection[str]) -> Frequencies:
        """See ``Lexical``."""
        return self._postings.frequencies(words) if self._postings else Frequencies(0, dict.fromkeys(words, 0))

    def document(self, place: int) -> Document:
        """See ``Lexical``."""
        return self._documents[place]

    def close(self) -> None:
        """Close the file of documents."""
        self._documents.close()


class LexicalIndex:
    """The index of a corpus on disk.

    Args:
        store: the store's folder.
        corpus: the corpus's name.
        parameters: of BM25.
        server: the corpus on a Chroma server, whose changes the index follows.
    """

    def __init__(self, store: Path, corpus: str, parameters: Parameters, server: ServerDocuments | None = None) -> None:
        digest = hashlib.sha256(repr((1, corpus, tuple(map(float, parameters)))).encode("utf-8", "replace"))
        self._folder = store / FOLDER / digest.hexdigest()[:16]
        self._corpus = corpus
        self._parameters = parameters
        self._opened: tuple[str, Version] | None = None
        self._server = server
        self._following = threading.Lock()

    def update(self, documents: Documents) -> Self:
        """Build the index anew unless it is over exactly ``documents`` and of this edition of the analyser of words.

        Documents with an attribute ``revision`` are compared by it alone.

        Raises:
            UserError: two different documents have one id, or the folder cannot be written.
        """
        return self._update(documents, getattr(documents, REVISION, None) or documents_digest(documents, metadata=True))

    def _update(self, documents: Iterable[Document], revision: str) -> Self:
        try:
            known = self._known()
            if known is None or (known["revision"], known.get("edition")) != (revision, EDITION):
                self._write(documents, revision)
            else:  # a process killed before it removed a former version has left texts there
                remove_other_versions(self._folder, str(self._current_name()), ABOUT)
        except OSError as error:
            raise UserError(
                f"The index of words in {self._folder} cannot be written ({error.strerror or error}). Check the "
                "folder's permissions and the disk's free space, or set store.path to another folder."
            ) from error
        return self

    def current(self) -> Version:
        """The version that counts now; opened anew where another process has replaced it.

        Where another machine has changed the corpus on the server, the index is built anew from there first.

        Raises:
            UserError: there is none, it cannot be read, or the server cannot be reached.
        """
        if self._server is not None:
            with self._following:
                if (revision := self._server.revision()) is not None:
                    self._update(self._server, revision)
        return self._current()

    def _current(self) -> Version:
        for _ in range(3):  # a version may be replaced, and removed, between its name and its files
            name = self._current_name()
            if name is None:
                break
            if self._opened is not None and self._opened[0] == name:
                return self._opened[1]
            with suppress(FileNotFoundError):
                opened = _opened(self._folder / name)
                self._opened = (name, opened)
                return opened
        raise UserError(f"The index of words of {self._corpus} in {self._folder} is missing. Build it: medground index")

    def _current_name(self) -> str | None:
        try:
            return (self._folder / CURRENT).read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def _known(self) -> dict[str, Any] | None:
        """What the current version says of itself; None where it is absent or damaged."""
        try:
            return self._current().about
        except UserError:
            return None

    def _write(self, documents: Iterable[Document], revision: str) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = secrets.token_hex(8)
        target = self._folder / name
        target.mkdir(mode=0o700)
        try:
            built = _build(write_documents(documents, target), self._parameters)
            if built:
                _write_postings(*built, target)
            about = {
                "format": FORMAT,
                "revision": revision,
                "edition": EDITION,
                "words": built is not None,
                "documents": built[0].scores["num_docs"] if built else 0,
                "corpus": encodable(self._corpus),
            }
            (target / ABOUT).write_text(json.dumps(about), encoding="utf-8")
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        write_whole(self._folder / CURRENT, f"{name}\n")
        remove_other_versions(self._folder, name, ABOUT)


def _build(documents: Iterable[Document], parameters: Parameters) -> "tuple[bm25s.BM25, dict[str, int]] | None":
    """The bm25s index over documents and the columns of its words; None where no document has a word."""
    import bm25s

    vocabulary: defaultdict[str, int] = defaultdict(count().__next__)
    numbers = [list(map(vocabulary.__getitem__, terms(document.page_content))) for document in documents]
    if not vocabulary:
        return None
    bm25 = bm25s.BM25(method="lucene", k1=parameters.k1, b=parameters.b)
    bm25.index((numbers, dict(vocabulary)), show_progress=False)
    return bm25, dict(vocabulary)


def _postings(bm25: "bm25s.BM25", vocabulary: Mapping[str, int]) -> Postings:
    scores = bm25.scores
    return Postings(scores["data"], scores["indices"], scores["indptr"], scores["num_docs"], vocabulary.get)


def _write_postings(bm25: "bm25s.BM25", vocabulary: Mapping[str, int], folder: Path) -> None:
    import numpy as np

    words = sorted((encoded(word), column) for word, column in vocabulary.items())
    StringTable.write(folder, WORD, [word for word, _ in words])
    arrays = {
        SCORES: bm25.scores["data"],
        PLACES: bm25.scores["indices"],
        BEGINS: bm25.scores["indptr"],
        COLUMNS: np.array([column for _, column in words], dtype=np.int32),
    }
    for name, array in arrays.items():
        np.save(folder / name, array)


def _read_postings(folder: Path, documents: int) -> Postings:
    import numpy as np

    names = (SCORES, PLACES, BEGINS, COLUMNS)
    scores, places, begins, columns = (np.load(folder / name, mmap_mode="r") for name in names)
    words = StringTable(folder, WORD)

    def column(word: str) -> int | None:
        return None if (row := words.row(word)) is None else int(columns[row])

    return Postings(scores, places, begins, documents, column)


def _opened(folder: Path) -> Version:
    try:
        return Version(folder)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"The index of words in {folder} is damaged ({error}). Remove {folder.parent}; it is built anew."
        ) from error
