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
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

from langchain_core.documents import Document

from common.atomic_write import write_whole
from common.errors import UserError
from common.fingerprints import documents_digest
from corpus.words import EDITION, terms
from retrievers.base import Frequencies, encodable
from retrievers.document_ids import identified, with_id
from retrievers.indexing import REVISION, Documents, ServerDocuments

FORMAT = 1
FOLDER = "bm25"
CURRENT = "current"
ABOUT = "about.json"
DOCUMENTS_FILE = "documents.jsonl"
OFFSETS = "offsets.npy"
ABANDONED_SECONDS = 3600.0  # a version that was not completed for so long belongs to a process that was killed


class Parameters(NamedTuple):
    """BM25's parameters: ``k1`` saturates term counts, ``b`` weighs a text's length."""

    k1: float = 1.5
    b: float = 0.75


class Lexical(Protocol):
    """A BM25 index that is ready to be searched."""

    def scores(self, words: Sequence[str]) -> Any:
        """The score of each document as an array, or None where no document has any of the words."""
        ...

    def document(self, place: int) -> Document:
        """The document at a place of ``scores``."""
        ...

    def frequencies(self, words: Collection[str]) -> Frequencies:
        """How many documents have each of the words."""
        ...


class MemoryIndex:
    """A BM25 index over documents in memory."""

    def __init__(self, documents: Sequence[Document], parameters: Parameters) -> None:
        """Index ``documents``.

        Raises:
            UserError: two different documents have one id.
        """
        self._documents = identified(documents)
        self._bm25 = _build(self._documents, parameters)

    def scores(self, words: Sequence[str]) -> Any:
        """See ``Lexical``."""
        return _scores(self._bm25, words)

    def frequencies(self, words: Collection[str]) -> Frequencies:
        """See ``Lexical``."""
        return _frequencies(self._bm25, words)

    def document(self, place: int) -> Document:
        """See ``Lexical``."""
        return self._documents[place]


class Version:
    """One version of an index on disk, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        import numpy as np

        self.about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        self._bm25 = None
        if self.about["words"]:
            import bm25s

            self._bm25 = bm25s.BM25.load(folder, mmap=True)
        self._offsets = np.load(folder / OFFSETS, mmap_mode="r")
        self._file = (folder / DOCUMENTS_FILE).open("rb")
        self._reading = threading.Lock()

    def scores(self, words: Sequence[str]) -> Any:
        """See ``Lexical``."""
        return _scores(self._bm25, words)

    def frequencies(self, words: Collection[str]) -> Frequencies:
        """See ``Lexical``."""
        return _frequencies(self._bm25, words)

    def document(self, place: int) -> Document:
        """See ``Lexical``."""
        with self._reading:
            self._file.seek(int(self._offsets[place]))
            line = self._file.readline()
        return Document(**json.loads(line))

    def close(self) -> None:
        """Close the file of documents."""
        self._file.close()


class LexicalIndex:
    """The index of a corpus on disk.

    Args:
        store: the store's folder.
        corpus: the corpus's name.
        parameters: of BM25.
        server: the corpus on a Chroma server, whose changes the index follows.
    """

    def __init__(self, store: Path, corpus: str, parameters: Parameters, server: ServerDocuments | None = None) -> None:
        digest = hashlib.sha256(repr((FORMAT, corpus, tuple(map(float, parameters)))).encode("utf-8", "replace"))
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
            bm25 = _build(_written(documents, target), self._parameters)
            if bm25 is not None:
                bm25.save(target)
            about = {
                "revision": revision,
                "edition": EDITION,
                "words": bm25 is not None,
                "corpus": encodable(self._corpus),
            }
            (target / ABOUT).write_text(json.dumps(about), encoding="utf-8")
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        write_whole(self._folder / CURRENT, f"{name}\n")
        self._remove_others(name)

    def _remove_others(self, name: str) -> None:
        """Remove the other versions, but not what another process is writing now."""
        for folder in self._folder.iterdir():
            if folder.name in (name, CURRENT) or not folder.is_dir():
                continue
            with suppress(OSError):
                if (folder / ABOUT).exists() or time.time() - folder.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)


def _build(documents: Iterable[Document], parameters: Parameters) -> Any:
    """The bm25s index over documents; None where none of them has a word."""
    import bm25s

    vocabulary: defaultdict[str, int] = defaultdict(count().__next__)
    numbers = [list(map(vocabulary.__getitem__, terms(document.page_content))) for document in documents]
    if not vocabulary:
        return None
    bm25 = bm25s.BM25(method="lucene", k1=parameters.k1, b=parameters.b)
    bm25.index((numbers, dict(vocabulary)), show_progress=False)
    return bm25


def _scores(bm25: Any, words: Sequence[str]) -> Any:
    known = [] if bm25 is None else bm25.get_tokens_ids(words)
    return bm25.get_scores_from_ids(known) if known else None


def _frequencies(bm25: Any, words: Collection[str]) -> Frequencies:
    if bm25 is None:
        return Frequencies(0, dict.fromkeys(words, 0))
    begins, numbers = bm25.scores["indptr"], bm25.vocab_dict  # a column of the scores for each word

    def containing(word: str) -> int:
        number = numbers.get(word)
        return 0 if number is None or number + 1 >= len(begins) else int(begins[number + 1] - begins[number])

    return Frequencies(int(bm25.scores["num_docs"]), {word: containing(word) for word in words})


def _written(documents: Iterable[Document], folder: Path) -> Iterable[Document]:
    """The documents, each id once, each written to the folder's files as it is handed on.

    Raises:
        UserError: two different documents have one id.
    """
    import numpy as np

    digests: dict[str, bytes] = {}
    offsets: list[int] = []
    place = 0
    with (folder / DOCUMENTS_FILE).open("wb") as file:
        for document in map(with_id, documents):
            id, digest = str(document.id), hashlib.sha256(document.page_content.encode()).digest()[:16]
            known = digests.setdefault(id, digest)
            if known != digest:
                raise UserError(f"Two different documents have the id {id!r}. Give each its own.")
            if known is not digest:
                continue
            content = {"id": id, "page_content": document.page_content, "metadata": document.metadata}
            offsets.append(place)
            place += file.write(json.dumps(content, default=str).encode("ascii") + b"\n")
            yield document
    np.save(folder / OFFSETS, np.asarray(offsets, dtype=np.int64))


def _opened(folder: Path) -> Version:
    try:
        return Version(folder)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"The index of words in {folder} is damaged ({error}). Remove {folder.parent}; it is built anew."
        ) from error
