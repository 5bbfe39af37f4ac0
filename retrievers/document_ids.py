"""Documents with ids: stores and results refer to documents by id."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from langchain_core.documents import Document

from common.errors import UserError
from retrievers.base import encodable


def check_document(document: object) -> None:
    """Raise ``UserError`` unless an object is a LangChain document."""
    if not isinstance(document, Document):
        raise UserError(
            f"The documents of a retriever must be LangChain documents; this is a {type(document).__name__}. Write "
            "Document(page_content=text)."
        )


def with_id(document: Document) -> Document:
    """The document; if it has no id, its id becomes the first 16 hex digits of its text's SHA-256.

    Lone surrogates in id and text are replaced, since UTF-8 cannot encode them.

    Raises:
        UserError: the document is not a LangChain ``Document``.
    """
    check_document(document)
    text = encodable(document.page_content)
    id = encodable(document.id or "") or hashlib.sha256(text.encode()).hexdigest()[:16]
    if (id, text) == (document.id, document.page_content):
        return document
    return Document(id=id, page_content=text, metadata=document.metadata)


def distinct(documents: Iterable[Document]) -> Iterator[Document]:
    """The documents with ids (``with_id``), without duplicates; ``UserError`` if two texts have the same id."""
    digests: dict[str, bytes] = {}
    for document in map(with_id, documents):
        digest = hashlib.sha256(document.page_content.encode()).digest()[:16]
        first = digests.setdefault(str(document.id), digest)
        if first != digest:
            raise UserError(f"Two different documents have the id {document.id!r}. Give each its own.")
        if first is digest:  # this is the first document with the id
            yield document


def finder(documents: Iterable[Document]) -> Callable[[Sequence[str]], Mapping[str, Document]]:
    """A function from a list of ids to the documents with these ids, by id; unknown ids are left out.

    The function is the method ``find`` of ``documents`` if there is one; otherwise it keeps all documents in memory.
    """
    find: Callable[[Sequence[str]], Mapping[str, Document]] | None = getattr(documents, "find", None)
    if find is not None:
        return find
    by_id = {str(document.id): document for document in distinct(documents)}
    return lambda ids: {id: by_id[id] for id in ids if id in by_id}
