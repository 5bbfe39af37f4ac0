"""Exact search by cosine in a file of a collection's vectors and documents.

At the first access, Chroma reads a collection's whole graph of vectors into memory (2.4 kB for a vector of 384
numbers), and it searches the graph approximately. The vector file is read block by block, so a process needs no more
memory for a larger collection.

A vector file is a folder, ``vectors/COLLECTION/STATE/``, for one state of a collection's texts, which the collection's
metadata name. The file of a new state is written before the metadata name this state, and the file of the previous
state is removed afterwards, so that no search reads a file that differs from the collection.
"""

import json
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from common.atomic_write import remove_other_versions
from retrievers.files.documents import DocumentFile, write_documents
from retrievers.files.strings import StringTable, encoded

if TYPE_CHECKING:
    import numpy as np

FOLDER = "vectors"
ABOUT = "about.json"  # written last: a folder that has it is complete
FORMAT = 1  # of the files
ID, PLACES, ROWS, DIGESTS = "id", "places.npy", "vectors.npy", "digests.npy"
DIGEST_BYTES = 16  # of the digest of a text
BLOCK_BYTES = 8 * 2**20  # of vectors in memory at a time
PAGE = 5000  # number of vectors to fetch at a time
Fetch = Callable[[list[str]], "Mapping[str, np.ndarray]"]
"""From a list of ids to the unit vectors of those that the collection has, by id."""


class VectorFile:
    """The unit vectors and the documents of a collection, one of each per row."""

    def __init__(self, folder: Path) -> None:
        """Open a file.

        Raises:
            OSError, EOFError, ValueError: the file is missing, incomplete, damaged or of another version.
        """
        import numpy as np

        if json.loads((folder / ABOUT).read_text(encoding="utf-8")) != {"format": FORMAT}:
            raise ValueError("another version of medground wrote it")
        self._rows = np.load(folder / ROWS, mmap_mode="r")
        self._file = (folder / ROWS).open("rb")  # stays readable when another process replaces the folder
        self._file_lock = threading.Lock()
        self._digests = np.load(folder / DIGESTS, mmap_mode="r")
        self._ids = StringTable(folder, ID)  # sorted; ``_places`` has the row of each id
        self._places = np.load(folder / PLACES, mmap_mode="r")
        self._documents = DocumentFile(folder)

    def document(self, row: int) -> Document:
        """The document of a row."""
        return self._documents[row]

    def nearest(self, questions: "np.ndarray", count: int) -> list[list[tuple[int, float]]]:
        """For each question, the rows and cosines of the ``count`` nearest vectors (or of all), in any order.

        ``questions`` are unit vectors, (questions, size).
        """
        import numpy as np

        scores: np.ndarray = np.empty((len(questions), 0), dtype=np.float32)
        rows: np.ndarray = np.empty((len(questions), 0), dtype=np.int64)
        for begin, block in self._blocks():
            block_rows = np.arange(begin, begin + len(block))
            rows = np.concatenate([rows, np.broadcast_to(block_rows, (len(questions), len(block)))], axis=1)
            scores = np.concatenate([scores, questions @ block.T], axis=1)
            if scores.shape[1] > count:
                best = np.argpartition(scores, -count, axis=1)[:, -count:]
                scores, rows = (np.take_along_axis(array, best, axis=1) for array in (scores, rows))
        nearest = []
        for question, numbers in zip(questions, rows.tolist(), strict=True):
            # The rounding of a matrix product depends on a vector's position in the block, but equal texts must have
            # equal scores.
            cosines = (self._read(numbers).astype(np.float64) * question).sum(axis=1)
            nearest.append(list(zip(numbers, cosines.tolist(), strict=True)))
        return nearest

    def _read(self, rows: Sequence[int]) -> "np.ndarray":
        """The vectors of rows; not mapped, since the system also maps the neighbours of each page that is touched."""
        import numpy as np

        vectors = np.empty((len(rows), self._rows.shape[1]), dtype=np.float32)
        with self._file_lock:
            for row, vector in zip(rows, vectors, strict=True):
                self._file.seek(self._rows.offset + row * vector.nbytes)
                self._file.readinto(vector)
        return vectors

    def _blocks(self) -> "Iterator[tuple[int, np.ndarray]]":
        """The number of the first row and the vectors of each block; not mapped, since mapped pages count as memory."""
        import numpy as np

        count, size = self._rows.shape
        step = max(1, BLOCK_BYTES // (4 * size))
        for begin in range(0, count, step):
            with self._file_lock:
                self._file.seek(self._rows.offset + 4 * size * begin)
                block = np.fromfile(self._file, dtype=np.float32, count=size * min(step, count - begin))
            yield begin, block.reshape(-1, size)

    def vectors(self, ids: Iterable[str]) -> "dict[str, np.ndarray]":
        """The unit vectors of those ids that the file has, by id."""
        numbers = {id: self._ids.row(id) for id in ids}
        return {id: self._rows[self._places[number]] for id, number in numbers.items() if number is not None}

    def unchanged(self, digests: Mapping[str, bytes]) -> "dict[str, np.ndarray]":
        """The unit vectors, by id, of texts that have the same digest as when the file was written."""
        stored = self._digests.tobytes()
        ids = (id.decode("utf-8", "surrogatepass") for id in self._ids)
        return {
            id: self._rows[row]
            for id, row in zip(ids, self._places.tolist(), strict=True)
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

    def write(
        self, state: str, documents: Iterable[Document], digests: Mapping[str, bytes], before: str, fetch: Fetch
    ) -> None:
        """Write the file of a new state.

        No file is written if there are no documents, or if ``fetch`` lacks one because another process is changing the
        collection.

        Args:
            state: name of the new state.
            documents: all documents of the collection.
            digests: digests of the documents' texts, by id.
            before: name of the previous state, from whose file the vectors of unchanged texts are copied.
            fetch: fetches the other vectors.
        """
        folder = self._folder / state
        folder.mkdir(mode=0o700, parents=True)
        previous = self.open(before)
        try:
            complete = _write(folder, documents, digests, previous.unchanged(digests) if previous else {}, fetch)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if not complete:
            shutil.rmtree(folder, ignore_errors=True)

    def remove_others(self, state: str) -> None:
        """Remove the files of other states."""
        if self._folder.exists():
            remove_other_versions(self._folder, state, ABOUT)


def _write(
    folder: Path,
    documents: Iterable[Document],
    digests: Mapping[str, bytes],
    unchanged: "Mapping[str, np.ndarray]",
    fetch: Fetch,
) -> bool:
    """Write the files to an empty folder; returns False if there are no documents or ``fetch`` lacks one."""
    import numpy as np

    ids = [str(document.id) for document in write_documents(documents, folder)]
    rows: Any = None  # np.memmap
    for begin in range(0, len(ids), PAGE):
        page = ids[begin : begin + PAGE]
        vectors = {id: unchanged[id] for id in page if id in unchanged}
        vectors |= fetch([id for id in page if id not in vectors])
        if len(vectors) < len(page):
            return False
        block = np.stack([vectors[id] for id in page])
        if rows is None:
            shape = (len(ids), block.shape[1])
            rows = np.lib.format.open_memmap(folder / ROWS, mode="w+", dtype=np.float32, shape=shape)
        rows[begin : begin + len(page)] = block
    if rows is None:
        return False
    rows.flush()
    np.save(folder / DIGESTS, np.frombuffer(b"".join(digests[id][:DIGEST_BYTES] for id in ids), dtype="V16"))
    table = sorted((encoded(id), row) for row, id in enumerate(ids))
    StringTable.write(folder, ID, [id for id, _ in table])
    np.save(folder / PLACES, np.array([row for _, row in table], dtype=np.int64))
    (folder / ABOUT).write_text(json.dumps({"format": FORMAT}), encoding="utf-8")
    return True


def unit(vectors: "np.ndarray") -> "np.ndarray":
    """The rows scaled to length 1, as float32; rows of zeros stay zero."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
