"""Readers of files by suffix: the modules of this package, and the classes of setting ``documents.readers``."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING

from common.errors import DataError, UserError
from common.imports import import_class
from corpus.config import DocumentsConfig
from corpus.documents import archives
from corpus.documents.extract import Extract, Problem, TextBuilder, Withdrawn, one_line
from corpus.documents.source import SUFFIXES, Source, format_of, read_bytes

if TYPE_CHECKING:
    from langchain_core.document_loaders import BaseBlobParser
    from langchain_core.documents import Document

# Metadata of passages that the library itself sets, so that a user's reader cannot set them.
_RESERVED_METADATA = ("id", "source", "page", "section", "start", "end", "score")
_MAX_PROBLEMS = 20  # problems of a source that are reported one by one; further problems are only counted


class Readers:
    """The readers of section ``documents``.

    A user's reader is a LangChain ``BaseBlobParser`` class without required arguments; it takes precedence over the
    reader of this package. The metadata of its ``Document``s, such as ``title``, ``year`` and ``mesh``, are stored if
    they are strings, integers or lists of strings. The metadata ``page`` and ``section`` locate the text.

    Attributes:
        suffixes: suffixes of the supported files and archives.

    Raises:
        UserError: a class cannot be imported, is no ``BaseBlobParser``, or cannot be called without arguments.
    """

    def __init__(self, config: DocumentsConfig) -> None:
        self._config = config
        self._parsers = {suffix.lower(): _make_parser(suffix, path) for suffix, path in config.readers.items()}
        self.suffixes = tuple(dict.fromkeys([*SUFFIXES, *self._parsers, *archives.SUFFIXES]))

    def can_read(self, name: str) -> bool:
        """Whether there is a reader for a file of this name; archives are not considered."""
        return self._suffix(name) is not None or format_of(name) is not None

    def read(self, source: Source) -> Iterator[Extract | Withdrawn | Problem]:
        """The documents of a source that ``can_read`` accepts, then the problems of its unread records and pages.

        Raises (while iterating):
            DataError: the source cannot be read, is not of its format, or exceeds a limit of the settings.
        """
        if (suffix := self._suffix(source.name)) is not None:
            return _parser_extracts(source, self._parsers[suffix], self._config)
        return _errors_as_problems(source.name, self._read(source))

    def _read(self, source: Source) -> Iterable[Extract | Withdrawn | DataError]:
        """The documents by the reader of this package, and a ``DataError`` for each unread record or page."""
        format = format_of(source.name)
        module = import_module(f"corpus.documents.{'tables' if format in ('csv', 'jsonl') else format}")
        results: Iterable[Extract | Withdrawn | DataError] = module.read(source, self._config)
        return results

    def _suffix(self, name: str) -> str | None:
        lower = name.lower().removesuffix(".gz")
        return next((suffix for suffix in self._parsers if lower.endswith(suffix)), None)


def _errors_as_problems(
    name: str, results: Iterable[Extract | Withdrawn | DataError]
) -> Iterator[Extract | Withdrawn | Problem]:
    """The documents, then the errors as problems; if there is no document, the first error is raised."""
    errors: list[DataError] = []
    unlisted, is_empty = 0, True  # number of errors after the first ``_MAX_PROBLEMS``, and whether there is no document
    for result in results:
        if not isinstance(result, DataError):
            is_empty = False
            yield result
        elif len(errors) < _MAX_PROBLEMS:
            errors.append(result)
        else:
            unlisted += 1
    if errors and is_empty:
        raise errors[0]
    yield from (Problem(name, str(error)) for error in errors)
    if unlisted:
        yield Problem(name, f"{name}: {unlisted:,} more records cannot be read.")


def _make_parser(suffix: str, path: str) -> "BaseBlobParser":
    from langchain_core.document_loaders import BaseBlobParser

    setting = f"documents.readers, {suffix}"
    parser = import_class(path, BaseBlobParser, setting)  # type: ignore[type-abstract]
    try:
        return parser()
    except Exception as error:  # whatever the user's class raises
        raise UserError(f"{setting}: {path}() failed: {type(error).__name__}: {error}") from error


def _parser_extracts(source: Source, parser: "BaseBlobParser", config: DocumentsConfig) -> Iterator[Extract]:
    """The documents of a user's parser.

    The key of a single document is the source's name. If there are several, each key also has the document's id or
    number.
    """
    from langchain_core.documents.base import Blob

    blob = Blob.from_data(read_bytes(source, config), path=source.name)
    documents = _parser_documents(source, parser, blob)
    first, second = next(documents, None), next(documents, None)
    if first is None:
        raise DataError(source.name, f"{type(parser).__name__} finds no text in it.")
    if second is None:
        yield _extract(source.name, first)
        return
    seen: set[str] = set()
    for number, document in enumerate(chain([first, second], documents), start=1):
        id = one_line(document.id) or str(number)
        if id in seen:
            raise DataError(source.name, f"{type(parser).__name__} gives the id {id!r} twice.")
        seen.add(id)
        yield _extract(f"{source.name}/{id}", document)


def _parser_documents(source: Source, parser: "BaseBlobParser", blob: object) -> Iterator["Document"]:
    """The documents that have text; any error of the user's class becomes a ``DataError``."""
    from langchain_core.documents import Document

    try:
        for document in parser.lazy_parse(blob):  # type: ignore[arg-type]
            if not isinstance(document, Document):
                raise TypeError(f"lazy_parse gave {type(document).__name__} and must give documents")
            if document.page_content.strip():
                yield document
    except DataError:
        raise
    except Exception as error:
        problem = f"cannot be read by {type(parser).__name__} ({type(error).__name__}: {error})."
        raise DataError(source.name, problem) from error


def _extract(key: str, document: "Document") -> Extract:
    page, section = document.metadata.get("page"), document.metadata.get("section")
    body = TextBuilder()
    body.add(
        document.page_content,
        page=page if isinstance(page, int) else None,
        section=one_line(section) if isinstance(section, str) else None,
    )
    metadata = {
        str(name): one_line(value) if isinstance(value, str) else value
        for name, value in document.metadata.items()
        if name not in _RESERVED_METADATA and (isinstance(value, str | int) or _is_list_of_texts(value))
    }
    extract = body.extract(key)
    assert extract is not None  # its text is not empty
    return replace(extract, metadata={name: value for name, value in metadata.items() if value})


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
