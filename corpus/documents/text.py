"""Plain text."""

from collections.abc import Iterator

from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, Part
from corpus.documents.source import Source, read_text


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The file as it is."""
    text = read_text(source, config)
    yield Extract(source.name, text, (Part(0, len(text)),))
