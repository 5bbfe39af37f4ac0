"""The corpus that a command searches (the data's abstracts or the user's documents), and its indexing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from common.errors import UserError
from medground.settings import Settings

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from corpus.documents.passages import Window
    from corpus.files import UpdateReport
    from retrievers.indexing import Documents

DOCUMENTS = "documents"
MAX_LISTED = 20  # maximum number of unreadable files in a message


@dataclass(frozen=True)
class Corpus:
    """A named sequence of passages.

    Attributes:
        name: prefix of the corpus's collections in the store.
        passages: what retrievers index and find.
        note: shown with every result, such as a warning that the sample is searched; None for no note.
    """

    name: str
    passages: "Sequence[Document]"
    note: str | None = None

    @property
    def is_users_documents(self) -> bool:
        """Whether these are the user's documents."""
        return self.name == DOCUMENTS


def data_corpus(settings: Settings) -> Corpus:
    """The abstracts of all records of the data; ``data.split`` and ``data.limit`` do not apply."""
    from corpus.load import corpus_name, load_records
    from corpus.records import documents

    data = settings.data.model_copy(update={"limit": None})
    records = load_records(data, split="all")  # before corpus_name, which does not report an unreadable path
    return Corpus(corpus_name(data), documents(records))


def searched_corpus(settings: Settings, *, data_given: bool = False) -> Corpus:
    """The user's documents if any are indexed and no data is given, else the data's abstracts.

    Args:
        settings: if ``data.path`` is not the sample, data counts as given.
        data_given: whether an option or argument sets the data.

    Raises:
        UserError: all indexed documents were removed again, or the data cannot be read.
    """
    path = library_path(settings)
    if path.is_file() and not data_given and settings.data.path == "sample":
        from corpus.documents.catalogue import Passages

        passages = Passages(path)
        if not passages:  # answers from the sample would look like answers from the documents
            raise UserError(
                f"The library in {settings.store.path} is empty: all its documents were removed. Add documents with "
                "`medground index PATH`, or search the sample with --data sample."
            )
        return Corpus(DOCUMENTS, passages)
    corpus = data_corpus(settings)
    if data_given or settings.data.path != "sample":
        return corpus
    note = f"No documents are indexed in {settings.store.path}, so the sample was searched: its abstracts are invented."
    return replace(corpus, note=note)


def add_documents(settings: Settings, paths: Sequence[Path], *, quiet: bool = False) -> "tuple[Corpus, UpdateReport]":
    """Bring the user's documents up to date with files and folders; see ``corpus.files.update_library``.

    Args:
        settings: ``store.path`` is the library's folder; the embedders of ``retrievers`` limit the length of a passage.
        paths: files and folders.
        quiet: whether to hide the progress bar.

    Raises:
        UserError: none of the paths could be read, or the store cannot be written.
    """
    from corpus.documents.catalogue import Passages
    from corpus.files import update_library
    from retrievers.embedders import DTYPE_FILE
    from retrievers.files.vectors import FOLDER as VECTORS_FOLDER
    from retrievers.lexical import FOLDER as BM25_FOLDER

    path = library_path(settings)
    names = (BM25_FOLDER, VECTORS_FOLDER, DTYPE_FILE)
    # These files of the store are not the user's documents, even if the store's folder is in one of the paths.
    store_files = [Path(settings.store.path, name) for name in names]
    report = update_library(
        paths, path, passage_window(settings), settings.documents, excluded=store_files, quiet=quiet
    )
    if not (report.added or report.changed or report.unchanged or report.removed or report.copies):
        raise UserError(_no_readable_file_message(settings, paths, report))
    return Corpus(DOCUMENTS, Passages(path)), report


def embed(settings: Settings, corpus: Corpus, *, quiet: bool) -> int:
    """Update all retrievers' indexes to the corpus: vectors of passages, vectors of their parts, and BM25.

    Returns:
        The number of new vectors.
    """
    from retrievers.registry import Context, update_indexes
    from retrievers.secure_delete import purge
    from retrievers.store import folder_of, store_errors

    context = Context(corpus.passages, corpus.name, settings.embedders, settings.store, quiet=quiet)
    embedded = update_indexes(settings.retrievers.values(), context)
    _prune_other_collections(settings, corpus, context.updated)
    with store_errors(settings.store.url or settings.store.path):
        purge(folder_of(settings.store))  # once for all collections
    return embedded


def _prune_other_collections(settings: Settings, corpus: Corpus, updated: set[str]) -> None:
    """In collections that no retriever of these settings uses, delete the passages that have left the corpus."""
    from retrievers.indexing import prune
    from retrievers.kinds.parent import PartKind, Parts, parts_name
    from retrievers.store import folder_of, other_collections, store_errors

    contents: dict[str, Documents] = {corpus.name: corpus.passages}  # by prefix of the collections' names
    for kind in get_args(PartKind):
        contents[parts_name(corpus.name, kind)] = Parts(corpus.passages, kind)
    for name, documents in contents.items():
        for collection in other_collections(settings.store, name, updated):
            with store_errors(settings.store.url or settings.store.path):
                prune(collection, folder_of(settings.store), documents)


def passage_window(settings: Settings) -> "Window":
    """The maximum length of a passage, at most ``documents.max_tokens``.

    It is the lowest token limit of the retrievers' embedders. If there is no such limit, it is a number of words.
    """
    from corpus.documents.passages import common_window, words_window

    windows = list(embedder_windows(settings).values())
    return common_window(windows or [words_window()], settings.documents.max_tokens)


def embedder_windows(settings: Settings) -> "dict[str, Window]":
    """The token limits of the retrievers' embedders, by the embedder's name; embedders without a limit are left out."""
    from retrievers.embedders import make_embedder
    from retrievers.embedders.token_limits import window_of

    names = dict.fromkeys(getattr(config, "embedder", None) for config in settings.retrievers.values())
    windows = {
        name: window_of(make_embedder(settings.embedders[name], settings.store)) for name in names if name is not None
    }
    return {name: window for name, window in windows.items() if window is not None}


def library_path(settings: Settings) -> Path:
    """The SQLite file of the user's documents, beside Chroma's files."""
    return Path(settings.store.path).expanduser() / "documents.sqlite3"


def _no_readable_file_message(settings: Settings, paths: Sequence[Path], report: "UpdateReport") -> str:
    """The error message if no file could be read."""
    from corpus.documents.readers import Readers
    from corpus.files import escaped_path

    if report.failed:
        return "\n".join(problem.why for problem in report.failed[:MAX_LISTED])
    other_types = f" ({len(report.skipped)} files of other types)" if report.skipped else ""
    suffixes = ", ".join(Readers(settings.documents).suffixes)
    return f"No readable file in {', '.join(map(escaped_path, paths))}{other_types}. Supported file types: {suffixes}."
