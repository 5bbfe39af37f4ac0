"""Documents in a file, read by row."""

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from langchain_core.documents import Document

from retrievers.document_ids import distinct

DOCUMENTS = "documents.jsonl"
OFFSETS = "offsets.npy"  # where each row's line begins in the file, in bytes


class DocumentFile:
    """The documents that ``write_documents`` wrote to a folder."""

    def __init__(self, folder: Path) -> None:
        """Open the file.

        Raises:
            OSError, EOFError, ValueError: the file is missing or truncated.
        """
        import numpy as np

        self._offsets = np.load(folder / OFFSETS, mmap_mode="r")
        self._file = (folder / DOCUMENTS).open("rb")
        self._file_lock = threading.Lock()
        if len(self._offsets) and not self._line(int(self._offsets.max())).endswith(b"\n"):
            raise ValueError(f"{DOCUMENTS} is truncated")

    def __getitem__(self, row: int) -> Document:
        """The document of a row; rows count from 0 in the order of writing, or in the order given to ``reorder``."""
        return Document(**json.loads(self._line(int(self._offsets[row]))))

    def _line(self, offset: int) -> bytes:
        with self._file_lock:
            self._file.seek(offset)
            return self._file.readline()


def write_documents(documents: Iterable[Document], folder: Path) -> Iterator[Document]:
    """Write the documents to the folder, each id once, and yield each document after it is written.

    Raises:
        UserError: two different documents have the same id.
    """
    import numpy as np

    offsets: list[int] = []
    offset = 0
    with (folder / DOCUMENTS).open("wb") as file:
        for document in distinct(documents):
            content = {"id": document.id, "page_content": document.page_content, "metadata": document.metadata}
            offsets.append(offset)
            line = json.dumps(content, ensure_ascii=False, default=str) + "\n"
            offset += file.write(line.encode("utf-8", "replace"))  # lone surrogates become question marks
            yield document
    np.save(folder / OFFSETS, np.asarray(offsets, dtype=np.int64))


def reorder(folder: Path, rows: Sequence[int]) -> None:
    """Change the order of written documents: the document in row ``rows[n]`` moves to row ``n``."""
    import numpy as np

    np.save(folder / OFFSETS, np.load(folder / OFFSETS)[rows])
