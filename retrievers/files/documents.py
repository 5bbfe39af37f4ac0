"""Documents in a file, read by row."""

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from langchain_core.documents import Document

from common.errors import UserError
from retrievers.document_ids import with_id

DOCUMENTS = "documents.jsonl"
OFFSETS = "offsets.npy"  # of the documents' lines, in bytes


class DocumentFile:
    """The documents that ``write_documents`` wrote to a folder."""

    def __init__(self, folder: Path) -> None:
        import numpy as np

        self._offsets = np.load(folder / OFFSETS, mmap_mode="r")
        self._file = (folder / DOCUMENTS).open("rb")
        self._file_lock = threading.Lock()

    def __getitem__(self, row: int) -> Document:
        """The document that was written as number ``row``, from 0."""
        with self._file_lock:
            self._file.seek(int(self._offsets[row]))
            line = self._file.readline()
        return Document(**json.loads(line))


def write_documents(documents: Iterable[Document], folder: Path) -> Iterator[Document]:
    """Write the documents to the folder, each id once, and yield each document that was written.

    Raises:
        UserError: two different documents have the same id.
    """
    import numpy as np

    digests: dict[str, bytes] = {}
    offsets: list[int] = []
    offset = 0
    with (folder / DOCUMENTS).open("wb") as file:
        for document in map(with_id, documents):
            id, digest = str(document.id), hashlib.sha256(document.page_content.encode()).digest()[:16]
            first = digests.setdefault(id, digest)
            if first != digest:
                raise UserError(f"Two different documents have the id {id!r}. Give each its own.")
            if first is not digest:  # an equal document was written before
                continue
            content = {"id": id, "page_content": document.page_content, "metadata": document.metadata}
            offsets.append(offset)
            line = json.dumps(content, ensure_ascii=False, default=str) + "\n"
            offset += file.write(line.encode("utf-8", "replace"))  # lone surrogates become question marks
            yield document
    np.save(folder / OFFSETS, np.asarray(offsets, dtype=np.int64))
