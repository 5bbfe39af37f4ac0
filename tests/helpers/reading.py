"""A file's bytes through the reader of its format."""

from functools import partial
from io import BytesIO
from typing import Any

from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract
from corpus.documents.readers import Readers
from corpus.documents.source import Source


def read_all(name: str, raw: bytes | str, **settings: Any) -> list[Any]:
    """Everything that a file of this name and content brings."""
    content = raw.encode() if isinstance(raw, str) else raw
    return list(Readers(DocumentsConfig(**settings)).read(Source(name, partial(BytesIO, content))))


def read_one(name: str, raw: bytes | str, **settings: Any) -> Extract:
    """The one document in it."""
    (found,) = read_all(name, raw, **settings)
    assert isinstance(found, Extract)
    return found


def parts_of(document: Extract) -> list[tuple[str | None, int | None, str]]:
    """Section, page and text of each part."""
    return [(part.section, part.page, document.text[part.start : part.end].strip()) for part in document.parts]
