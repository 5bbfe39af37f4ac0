"""Documents with ids: stores and results refer to documents by id."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from langchain_core.documents import Document

from common.errors import UserError
from retrievers.base import encodable


def with_id(document: Document) -> Document:
    """The document with an id: its own, or the first 16 hex digits of its text's SHA-256.

    Lone surrogates in its text, which UTF-8 cannot encode, are replaced.
    """
    text = encodable(document.page_content)
    if document.id and text == document.page_content:
        return document
    id = document.id or hashlib.sha256(text.encode()).hexdigest()[:16]
    return Document(id=id, page_content=text, metadata=document.metadata)


def identified(documents: Iterable[Document]) -> list[Document]:
    """The documents with ids (``with_id``), without duplicates; ``UserError`` if two texts have the same id."""
    by_id: dict[str, Document] = {}
    for document in map(with_id, documents):
        first = by_id.setdefault(str(document.id), document)
        if first.page_content != document.page_content:
            raise UserError(f"Two different documents have the id {document.id!r}. Give each its own.")
    return list(by_id.values())


def finder(documents: Iterable[Document]) -> Callable[[Sequence[str]], Mapping[str, Document]]:
    """A function from a list of ids to the documents with these ids, by id; unknown ids are left out.

    It is the method ``find`` of ``documents`` if there is one; otherwise it keeps all documents in memory.
    """
    find: Callable[[Sequence[str]], Mapping[str, Document]] | None = getattr(documents, "find", None)
    if find is not None:
        return find
    by_id = {str(document.id): document for document in identified(documents)}
    return lambda ids: {id: by_id[id] for id in ids if id in by_id}
