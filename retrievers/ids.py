"""Documents with the ids that stores and results rely on."""

import hashlib
from collections.abc import Sequence

from langchain_core.documents import Document

from corpus.errors import UserError
from retrievers.base import encodable


def identified(documents: Sequence[Document]) -> list[Document]:
    """The documents, each id once; one without an id gets the first 16 hex digits of its text's SHA-256.

    A document given twice counts once.

    Raises:
        UserError: two different texts have one id.
    """
    found: dict[str, Document] = {}
    for document in documents:
        text = encodable(document.page_content)
        id = document.id or hashlib.sha256(text.encode()).hexdigest()[:16]
        known = found.setdefault(id, Document(id=id, page_content=text, metadata=document.metadata))
        if known.page_content != text:
            raise UserError(f"Two different documents have the id {id!r}. Give each its own.")
    return list(found.values())
