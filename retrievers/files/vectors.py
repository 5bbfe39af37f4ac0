"""Exact search by cosine in a file of a collection's vectors and documents.

At the first access, Chroma reads a collection's whole graph of vectors into memory (2.4 kB for a vector of 384
numbers), and it searches the graph approximately. The vector file is read block by block, so a process needs no more
memory for a larger collection.

A vector file is a folder, ``vectors/COLLECTION/STATE/``, for one state of a collection's texts. The collection's
metadata name the current state. The file of a new state is written before the metadata name this state, and the file of
the previous state is removed afterwards, so that no search reads a file that differs from the collection.
"""

import json
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.documents import Document

from common.atomic_write import new_version, remove_other_versions
from retrievers.files.documents import DocumentFile, reorder, write_documents
from retrievers.files.strings import StringTable, encoded

if TYPE_CHECKING:
    import numpy as np

FOLDER = "vectors"
ABOUT = "about.json"  # written last: a folder that has this file is complete
FORMAT = 2  # format of the files
ID, VECTORS, DIGESTS = "id", "vectors.npy", "digests.npy"  # sorted ids (a ``StringTable``); arrays in the ids' order
DIGEST_BYTES = 16  # number of bytes of a text's digest that are stored
BLOCK_BYTES = 8 * 2**20  # bytes of vectors that are in memory at a time
PAGE = 5000  # number of vectors to fetch at a time
MARGIN = 1e-4  # greater than the error of a cosine of two unit vectors in float32
Fetch = Callable[[list[str]], "Mapping[str, np.ndarray]"]
"""A function from a list of ids to their unit vectors, by id; ids that the collection lacks are left out."""


class VectorFile:
    """The unit vectors and documents of a collection; each row has one vector and document, in the order of the ids."""

    def __init__(self, folder: Path) -> None:
        """Open a file.

        Raises:
            OSError, EOFError, ValueError: the file is missing, incomplete, damaged or of another version.
        """
        import numpy as np

        if json.loads((folder / ABOUT).read_text(encoding="utf-8")) != {"format": FORMAT}:
            raise ValueError("another version of medground wrote it")
        rows = np.load(folder / VECTORS, mmap_mode="r")
        self._count, self._size = rows.shape
        self._data_offset = rows.offset  # of the first vector, in bytes
        # The vectors are read, not mapped: mapped pages, and the pages around them, count as the process's memory.
        self._file = (folder / VECTORS).open("rb")  # stays readable when another process replaces the folder
        self._file_lock = threading.Lock()
        self._digests = np.load(folder / DIGESTS, mmap_mode="r")
        self._ids = StringTable(folder, ID)
        self._documents = DocumentFile(folder)

    def document(self, row: int) -> Document:
        """The document of a row."""
        return self._documents[row]

    def nearest(self, questions: "np.ndarray", count: int) -> list[list[tuple[int, float]]]:
        """For each question, the rows and cosines of the ``count`` nearest vectors (or of all), best first.

        If the file has fewer vectors, all are returned. Of vectors with equal cosines, the first rows are chosen.
        ``questions`` are unit vectors, (questions, size).
        """
        import numpy as np

        # For each question, the rows and cosines of the nearest vectors in the blocks so far, best first.
        nearest = [(np.empty(0, dtype=np.int64), np.empty(0)) for _ in questions]
        step = max(1, BLOCK_BYTES // (4 * self._size))
        for begin in range(0, self._count, step):
            block = self._read(begin, min(step, self._count - begin))
            # The rounding of a matrix product depends on a vector's position in the block, but equal texts must have
            # equal cosines. So the product only selects candidates.
            for number, (question, scores) in enumerate(zip(questions, questions @ block.T, strict=True)):
                rows, cosines = nearest[number]
                lowest = cosines[-1] if len(cosines) == count else -np.inf
                candidates = np.flatnonzero(scores >= lowest - MARGIN)
                if len(candidates) > count:
                    lowest = np.partition(scores[candidates], -count)[-count]
                    candidates = candidates[scores[candidates] >= lowest - MARGIN]
                exact = (block[candidates].astype(np.float64) * question).sum(axis=1)
                rows, cosines = np.concatenate([rows, begin + candidates]), np.concatenate([cosines, exact])
                best = np.argsort(-cosines, kind="stable")[:count]
                nearest[number] = rows[best], cosines[best]
        return [list(zip(rows.tolist(), cosines.tolist(), strict=True)) for rows, cosines in nearest]

    def _read(self, begin: int, count: int) -> "np.ndarray":
        """The vectors of ``count`` rows from ``begin``, (count, size)."""
        import numpy as np

        vectors = np.empty((count, self._size), dtype=np.float32)
        with self._file_lock:
            self._file.seek(self._data_offset + 4 * self._size * begin)
            if self._file.readinto(vectors.data) < vectors.nbytes:
                raise ValueError(f"{VECTORS} is truncated")
        return vectors

    def vectors(self, ids: Iterable[str]) -> "dict[str, np.ndarray]":
        """The unit vectors of ``ids``, by id; ids that the file lacks are left out."""
        rows = {id: self._ids.row(id) for id in ids}
        return {id: self.vector(row) for id, row in rows.items() if row is not None}

    def vector(self, row: int) -> "np.ndarray":
        """The unit vector of a row."""
        return self._read(row, 1).reshape(self._size)

    def unchanged(self, digests: Mapping[str, bytes]) -> dict[str, int]:
        """The rows, by id, of texts that have the same digest as when the file was written."""
        stored = self._digests.tobytes()
        ids = (id.decode("utf-8", "surrogatepass") for id in self._ids)
        return {
            id: row
            for row, id in enumerate(ids)
            if digests.get(id, b"")[:DIGEST_BYTES] == stored[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES]
        }


class VectorFiles:
    """The folder of a collection's vector files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: tuple[str, VectorFile] | None = None

    def open(self, state: str) -> VectorFile | None:
        """The file of a state; None if it is missing, damaged or of another version."""
        if self._opened is None or self._opened[0] != state:
            try:
                self._opened = state, VectorFile(self._folder / state)
            except (OSError, EOFError, ValueError):
                return None
        return self._opened[1]

    @contextmanager
    def new(
        self, state: str, documents: Iterable[Document], digests: Mapping[str, bytes], previous_state: str, fetch: Fetch
    ) -> Iterator[None]:
        """A context that writes the file of a new state. Its block makes the state current; an error removes the file.

        No file is written if there are no documents, or if ``fetch`` lacks the vector of one because another process is
        changing the collection.

        Args:
            state: name of the new state.
            documents: all documents of the collection.
            digests: digests of the documents' texts, by id.
            previous_state: name of the state whose file has the vectors of unchanged texts, which are copied.
            fetch: fetches the vectors of new and changed texts.
        """
        previous = self.open(previous_state)
        unchanged = previous.unchanged(digests) if previous else {}

        def copy_or_fetch(ids: list[str]) -> "Mapping[str, np.ndarray]":
            copied = {id: previous.vector(unchanged[id]) for id in ids if id in unchanged} if previous else {}
            return {**copied, **fetch([id for id in ids if id not in copied])}

        with new_version(self._folder, state) as folder:
            if not _write(folder, documents, digests, copy_or_fetch):
                shutil.rmtree(folder, ignore_errors=True)
            yield

    def remove_others(self, state: Callable[[], str]) -> None:
        """Remove the files of all states except the current state, which ``state`` returns."""
        if self._folder.exists():
            remove_other_versions(self._folder, state)


def _write(folder: Path, documents: Iterable[Document], digests: Mapping[str, bytes], fetch: Fetch) -> bool:
    """Write the files to an empty folder; returns False if there are no documents or ``fetch`` lacks one."""
    import numpy as np

    written = [str(document.id) for document in write_documents(documents, folder)]
    if not written:
        return False
    order = sorted(range(len(written)), key=lambda number: encoded(written[number]))
    reorder(folder, order)
    ids = [written[number] for number in order]
    with (folder / VECTORS).open("wb") as file:  # not a memory map, which kills the process if the disk is full
        for begin in range(0, len(ids), PAGE):
            page = ids[begin : begin + PAGE]
            vectors = fetch(page)
            if len(vectors) < len(page):
                return False
            block = np.stack([vectors[id] for id in page])
            if not begin:
                header = {"descr": "<f4", "fortran_order": False, "shape": (len(ids), block.shape[1])}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(block.astype("<f4").tobytes())
    np.save(folder / DIGESTS, np.frombuffer(b"".join(digests[id][:DIGEST_BYTES] for id in ids), f"V{DIGEST_BYTES}"))
    StringTable.write(folder, ID, [encoded(id) for id in ids])
    (folder / ABOUT).write_text(json.dumps({"format": FORMAT}), encoding="utf-8")
    return True


def unit(vectors: "np.ndarray") -> "np.ndarray":
    """The rows scaled to length 1, as float32; rows of zeros stay zero."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
