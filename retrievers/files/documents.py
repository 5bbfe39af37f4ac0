"""Documents in a file, each read by its row."""

import hashlib
import json
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from langchain_core.documents import Document

from common.errors import UserError
from retrievers.document_ids import with_id

DOCUMENTS = "documents.jsonl"
OFFSETS = "offsets.npy"  # where each document's line begins


class DocumentFile:
    """The documents that ``write_documents`` wrote to a folder."""

    def __init__(self, folder: Path) -> None:
        import numpy as np

        self._offsets = np.load(folder / OFFSETS, mmap_mode="r")
        self._file = (folder / DOCUMENTS).open("rb")
        self._reading = threading.Lock()

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, row: int) -> Document:
        """The document of a row, in the order in which they were written."""
        with self._reading:
            self._file.seek(int(self._offsets[row]))
            line = self._file.readline()
        return Document(**json.loads(line))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def write_documents(documents: Iterable[Document], folder: Path) -> Iterator[Document]:
    """The documents, each id once, each written to the folder's files as it is handed on.

    Raises:
        UserError: two different documents have one id.
    """
    import numpy as np

    digests: dict[str, bytes] = {}
    offsets: list[int] = []
    end = 0
    with (folder / DOCUMENTS).open("wb") as file:
        for document in map(with_id, documents):
            id, digest = str(document.id), hashlib.sha256(document.page_content.encode()).digest()[:16]
            known = digests.setdefault(id, digest)
            if known != digest:
                raise UserError(f"Two different documents have the id {id!r}. Give each its own.")
            if known is not digest:
                continue
            content = {"id": id, "page_content": document.page_content, "metadata": document.metadata}
            offsets.append(end)
            line = json.dumps(content, ensure_ascii=False, default=str) + "\n"
            end += file.write(line.encode("utf-8", "replace"))  # lone surrogates become question marks
            yield document
    np.save(folder / OFFSETS, np.asarray(offsets, dtype=np.int64))
