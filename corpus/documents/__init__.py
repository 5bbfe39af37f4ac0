"""The user's documents: one file a format, what is cut from them, and where it is kept."""

from collections.abc import Iterator
from typing import assert_never

from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, Withdrawn
from corpus.documents.source import Format, Source

__all__ = ["read"]


def read(source: Source, format: Format, config: DocumentsConfig) -> Iterator[Extract | Withdrawn]:
    """The documents in a source of a known format, one at a time.

    Raises (while iterating):
        DataError: the source cannot be read, is not of this format, or passes a limit of the settings.
    """
    match format:
        case "text":
            from corpus.documents import text

            return text.read(source, config)
        case "markdown":
            from corpus.documents import markdown

            return markdown.read(source, config)
        case "html":
            from corpus.documents import html

            return html.read(source, config)
        case "pdf":
            from corpus.documents import pdf

            return pdf.read(source, config)
        case "docx":
            from corpus.documents import docx

            return docx.read(source, config)
        case "pubmed":
            from corpus.documents import pubmed

            return pubmed.read(source, config)
        case "nbib":
            from corpus.documents import nbib

            return nbib.read(source, config)
        case "csv":
            from corpus.documents import tables

            return tables.read_csv(source, config)
        case "jsonl":
            from corpus.documents import tables

            return tables.read_jsonl(source, config)
        case _:
            assert_never(format)
