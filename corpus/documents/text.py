"""Plain text."""

from collections.abc import Iterator

from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, Part, without_data_uris
from corpus.documents.source import Source, read_text


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The whole file, without images embedded as data URIs."""
    text = without_data_uris(read_text(source, config))
    yield Extract(source.name, text, (Part(0, len(text)),))
