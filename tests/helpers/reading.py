"""Reads documents from bytes in memory."""

from functools import partial
from io import BytesIO
from typing import Any

from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract
from corpus.documents.readers import Readers
from corpus.documents.source import Source


def read_all(name: str, raw: bytes | str, **settings: Any) -> list[Any]:
    """All items that ``Readers.read`` yields for a file; ``settings`` are of the section ``documents``."""
    content = raw.encode() if isinstance(raw, str) else raw
    return list(Readers(DocumentsConfig(**settings)).read(Source(name, partial(BytesIO, content))))


def read_one(name: str, raw: bytes | str, **settings: Any) -> Extract:
    """The only document in a file."""
    (document,) = read_all(name, raw, **settings)
    assert isinstance(document, Extract)
    return document


def parts_of(document: Extract) -> list[tuple[str | None, int | None, str]]:
    """Section, page and text of each part of the document."""
    return [(part.section, part.page, document.text[part.start : part.end].strip()) for part in document.parts]
