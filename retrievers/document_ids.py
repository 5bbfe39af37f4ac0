"""Ids of documents, which stores and results rely on."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from langchain_core.documents import Document

from common.errors import UserError
from retrievers.base import encodable


def with_id(document: Document) -> Document:
    """The document with an id; without one, it gets the first 16 hex digits of its text's SHA-256."""
    text = encodable(document.page_content)
    if document.id and text == document.page_content:
        return document
    id = document.id or hashlib.sha256(text.encode()).hexdigest()[:16]
    return Document(id=id, page_content=text, metadata=document.metadata)


def identified(documents: Iterable[Document]) -> list[Document]:
    """The documents with ids (``with_id``), without duplicates; ``UserError`` if two texts have the same id."""
    found: dict[str, Document] = {}
    for document in map(with_id, documents):
        known = found.setdefault(str(document.id), document)
        if known.page_content != document.page_content:
            raise UserError(f"Two different documents have the id {document.id!r}. Give each its own.")
    return list(found.values())


def finder(documents: Iterable[Document]) -> Callable[[Sequence[str]], Mapping[str, Document]]:
    """A function that returns the documents with given ids.

    Documents with a method ``find`` are read on demand; others are held in memory.
    """
    find: Callable[[Sequence[str]], Mapping[str, Document]] | None = getattr(documents, "find", None)
    if find is not None:
        return find
    known = {str(document.id): document for document in identified(documents)}
    return lambda ids: {id: known[id] for id in ids if id in known}
