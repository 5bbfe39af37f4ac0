"""Indexing: updates a collection to exactly the given documents."""

import ctypes
import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from langchain_core.documents import Document
from langchain_core.utils.iter import batch_iterate

from common.fingerprints import documents_digest
from retrievers.base import encodable
from retrievers.config import StoreConfig
from retrievers.document_ids import distinct
from retrievers.files.vectors import FOLDER
from retrievers.secure_delete import purge, removal
from retrievers.store import COUNT, REVISION, STATE, Store, other_collections, store_errors

if TYPE_CHECKING:
    from chromadb import Collection

BATCH = 128  # texts per write; a kill loses at most one batch
SORT_GROUP = 2048  # texts that are read at a time, and sorted by length to reduce padding
PAGE = 5000  # rows per ``get`` of Chroma
DIGEST = "_digest"  # key in a document's stored metadata: hex digests of its text, then of its metadata
TEXT_DIGITS = 32  # number of hex digits of the text's digest
JSON = "_json"  # key in a document's stored metadata: metadata that Chroma cannot store, as JSON
PRUNED = "pruned"  # key in a collection's metadata: the revision of the last ``prune``


@dataclass(frozen=True)
class IndexReport:
    """Numbers of documents: stored after indexing, embedded by it, and removed by it."""

    total: int
    embedded: int
    removed: int


class Documents(Protocol):
    """Documents that can be counted and iterated over repeatedly."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Document]: ...


def index(store: Store, documents: Documents, *, quiet: bool = False) -> IndexReport:
    """Update the store to exactly ``documents`` (``fill``) and purge removed texts (``secure_delete``)."""
    report = fill(store, documents, quiet=quiet)
    with store.errors():
        purge(store.folder)
    return report


def fill(store: Store, documents: Documents, *, quiet: bool = False) -> IndexReport:
    """Update the store to exactly ``documents``; removed texts stay in the store's files until a purge.

    A text that is already stored under its id is not embedded again. A changed text is replaced. A stored document that
    is not among ``documents`` is removed. Documents are stored in batches; after a kill, the next call stores the rest.
    A document without an id gets a digest of its text as id.

    The documents are iterated over several times, with only some thousands in memory at a time. They may have an
    attribute ``revision``, which must change whenever they change: if the store was last filled with this revision, the
    documents are not read.

    Raises:
        UserError: two different texts have the same id, or the store cannot be written.
    """
    revision = getattr(documents, REVISION, None)
    with store.errors():
        if revision is not None and (count := _stored_count(store, revision, documents)) is not None:
            store.remove_former_vector_files()  # a killed process may have left these files, which contain texts
            return IndexReport(total=count, embedded=0, removed=0)
        # A collection without a revision is new, or an earlier call was killed.
        changed = not (store.collection.metadata or {}).get(REVISION)
        _record(store, None)
    digests = _digests(documents)
    embedded = 0
    with _progress(len(digests), quiet=quiet) as advance:
        for group in batch_iterate(SORT_GROUP, _each_once(documents, digests)):
            with store.errors():
                stored = _stored_digests(store, [str(document.id) for document in group])
            text_changed, metadata_changed = _changed_documents(group, digests, stored)
            if metadata_changed:
                _store_metadata(store, metadata_changed, digests)
            changed = changed or bool(text_changed or metadata_changed)
            advance(len(group) - len(text_changed))
            text_changed.sort(key=lambda document: (-len(document.page_content), str(document.id)))
            for batch in batch_iterate(BATCH, text_changed):
                _store(store, batch, digests, [str(document.id) for document in batch if document.id in stored])
                embedded += len(batch)
                advance(len(batch))
                _release_memory()
    with store.errors():
        removed = _remove_others(store, digests)
        revision = revision or documents_digest(documents, metadata=True)
        if changed or removed or store.lacks_vector_file:
            state = secrets.token_hex(8)
            with store.new_vector_file(state, _each_once(documents, digests), digests):
                _record(store, revision, state)
        else:
            _record(store, revision)
        store.remove_former_vector_files()
    return IndexReport(total=len(digests), embedded=embedded, removed=removed)


def prune(collection: "Collection", folder: Path | None, documents: Documents) -> None:
    """Remove texts that are not among ``documents`` from a collection that the settings no longer use.

    ``folder`` is the store's folder, whose files contain the removed texts until a purge; None for a server.
    """
    old_metadata = collection.metadata or {}
    revision = getattr(documents, REVISION, None)
    if revision is not None and revision in (old_metadata.get(REVISION), old_metadata.get(PRUNED)):
        return
    digests = {id: digest.hex()[:TEXT_DIGITS] for id, digest in _digests(documents).items()}
    rows = _rows(collection, "metadatas")
    removed = [id for id, metadata in rows if digests.get(id) != str((metadata or {}).get(DIGEST))[:TEXT_DIGITS]]
    new_metadata = dict(old_metadata)
    if revision is not None:
        new_metadata[PRUNED] = revision
    if removed:
        # While the state is empty, no process searches the vector file, even if this process is killed meanwhile.
        collection.modify(metadata={**old_metadata, STATE: ""})
        if folder is not None:
            shutil.rmtree(folder / FOLDER / collection.name, ignore_errors=True)
        _remove(collection, folder, removed)
        new_metadata[STATE] = secrets.token_hex(8)
    if new_metadata != old_metadata:
        collection.modify(metadata=new_metadata)


class ServerDocuments:
    """The documents of a corpus on a Chroma server.

    If several embedders have collections of the corpus, the documents are those of the largest collection. A smaller
    collection lacks documents: ``index`` adds documents only to the collections of the settings' embedders, but removes
    documents from all collections.
    """

    def __init__(self, config: StoreConfig, corpus: str) -> None:
        self._config = config
        self._corpus = corpus

    def revision(self) -> str | None:
        """The revision of the documents; None if there are none, or while they are being changed.

        It is the revision with which the collection was filled. If another program has changed the number of documents
        since then, the number is appended.
        """
        with store_errors(str(self._config.url)):
            collection, count = self._largest_collection() or (None, 0)
        metadata = (collection.metadata if collection is not None else None) or {}
        if not metadata.get(REVISION):
            return None
        return str(metadata[REVISION]) if count == metadata.get(COUNT) else f"{metadata[REVISION]} {count}"

    def __iter__(self) -> Iterator[Document]:
        with store_errors(str(self._config.url)):
            if largest := self._largest_collection():
                for id, text, metadata in _rows(largest[0], "documents", "metadatas"):
                    yield read_document(id, text, metadata or {})

    def _largest_collection(self) -> "tuple[Collection, int] | None":
        """The largest collection and its number of documents."""
        counted = [(each, each.count()) for each in other_collections(self._config, self._corpus, ())]
        return max(counted, key=lambda pair: (pair[1], pair[0].name), default=None)


def read_document(id: str, text: str, metadata: Mapping[str, Any]) -> Document:
    """The document that a collection stores with this id, text and metadata; reverses ``_chroma_metadata``."""
    plain = {key: value for key, value in metadata.items() if key not in (DIGEST, JSON)}
    return Document(id=id, page_content=text, metadata={**plain, **json.loads(metadata.get(JSON, "{}"))})


def _store(store: Store, documents: Sequence[Document], digests: Mapping[str, bytes], replaced: list[str]) -> None:
    """Embed and store documents; ``replaced`` are the ids under which an earlier text is stored."""
    import numpy as np

    ids = [str(document.id) for document in documents]
    texts = [document.page_content for document in documents]
    vectors = np.asarray(store.embedder.embed_documents(texts), dtype=np.float32)
    metadatas: list[Mapping[str, Any]] = [
        {**_chroma_metadata(document.metadata), DIGEST: digests[id].hex()}
        for id, document in zip(ids, documents, strict=True)
    ]
    with store.errors():
        if replaced:
            with removal(store.folder):
                store.collection.delete(ids=replaced)  # an upsert would keep metadata keys that the new document lacks
        store.collection.upsert(ids=ids, embeddings=vectors, documents=texts, metadatas=metadatas)


def _changed_documents(
    documents: Sequence[Document], digests: Mapping[str, bytes], stored: Mapping[str, str]
) -> tuple[list[Document], list[Document]]:
    """Documents whose text is new or changed, and documents of which only the metadata have changed."""
    text_changed: list[Document] = []
    metadata_changed: list[Document] = []
    for document in documents:
        new, old = digests[str(document.id)].hex(), stored.get(str(document.id), "")
        if new != old:
            (metadata_changed if new[:TEXT_DIGITS] == old[:TEXT_DIGITS] else text_changed).append(document)
    return text_changed, metadata_changed


def _store_metadata(store: Store, documents: Sequence[Document], digests: Mapping[str, bytes]) -> None:
    """Replace the metadata of stored documents; texts and vectors stay."""
    by_id = {str(document.id): document for document in documents}
    with store.errors():
        for ids in batch_iterate(BATCH, by_id):
            page = store.collection.get(ids=ids, include=["metadatas"])
            metadatas: list[Any] = []
            removes_text = False
            for id, stored in zip(page["ids"], page["metadatas"] or [], strict=True):
                old = {key: value for key, value in (stored or {}).items() if key != DIGEST}
                new = _chroma_metadata(by_id[id].metadata)
                removes_text |= any(new.get(key) != value for key, value in old.items())
                # Chroma deletes keys whose value is None.
                metadatas.append({**dict.fromkeys(old), **new, DIGEST: digests[id].hex()})
            with removal(store.folder) if removes_text else nullcontext():
                store.collection.update(ids=page["ids"], metadatas=metadatas)


def _chroma_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata in Chroma's form: numbers, texts and lists of texts under their keys, the rest in one JSON text."""
    plain: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in metadata.items():
        key = encodable(str(key))
        if (
            not key or key[0] in "#$" or key in ("chroma:document", DIGEST, JSON)
        ):  # Chroma refuses it, or it is used here
            rest[key] = value
        elif isinstance(value, str):
            plain[key] = encodable(value)
        elif isinstance(value, (bool, int, float)) and abs(value) < 2**63:
            plain[key] = value
        elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            plain[key] = [encodable(item) for item in value]
        else:
            rest[key] = value
    return {**plain, JSON: json.dumps(rest, default=str)} if rest else plain


def _digests(documents: Iterable[Document]) -> dict[str, bytes]:
    """A digest of each document, by id: 16 bytes for the text, then 16 for the metadata."""
    digests: dict[str, bytes] = {}
    for document in distinct(documents):
        metadata = json.dumps(document.metadata, sort_keys=True, default=str)
        digests[str(document.id)] = b"".join(
            hashlib.sha256(part.encode()).digest()[:16] for part in (document.page_content, metadata)
        )
    return digests


def _each_once(documents: Iterable[Document], digests: Mapping[str, bytes]) -> Iterator[Document]:
    """The documents that have a digest, each id once; another process may have added others since ``_digests``."""
    return (document for document in distinct(documents) if document.id in digests)


def _stored_digests(store: Store, ids: list[str]) -> dict[str, str]:
    """The digests that are stored with the documents, by id; ids that the store lacks are left out."""
    page = store.collection.get(ids=ids, include=["metadatas"])
    rows = zip(page["ids"], page["metadatas"] or [], strict=True)
    return {id: str((metadata or {}).get(DIGEST, "")) for id, metadata in rows}


def _remove_others(store: Store, digests: Mapping[str, bytes]) -> int:
    """Remove stored documents that have no digest; returns their number. All that have one must already be stored."""
    if store.collection.count() == len(digests):
        return 0
    others = [id for (id,) in _rows(store.collection) if id not in digests]
    _remove(store.collection, store.folder, others)
    return len(others)


def _rows(collection: "Collection", *fields: Literal["documents", "metadatas"]) -> Iterator[tuple[Any, ...]]:
    """The id and the fields of each stored document, read in pages."""
    for offset in range(0, collection.count(), PAGE):
        page = collection.get(limit=PAGE, offset=offset, include=list(fields))
        yield from zip(page["ids"], *(page[field] or [] for field in fields), strict=True)


def _remove(collection: "Collection", folder: Path | None, ids: Sequence[str]) -> None:
    for batch in batch_iterate(PAGE, ids):
        with removal(folder):
            collection.delete(ids=batch)


def _stored_count(store: Store, revision: str, documents: Documents) -> int | None:
    """The number of the store's documents if the store was last filled with this revision; else None."""
    metadata = store.collection.metadata or {}
    if metadata.get(REVISION) != revision or store.lacks_vector_file:
        return None
    stored = metadata.get(COUNT)  # absent in stores of version 0.1.0
    if store.folder is not None and stored is not None:
        return int(stored)  # not ``count``, which would read Chroma's graph
    count = store.collection.count()
    return count if count == (len(documents) if stored is None else stored) else None


def _record(store: Store, revision: str | None, state: str = "") -> None:
    """Store the revision in the collection's metadata, and the state if one is given.

    The revision is None while the documents are being changed. From these metadata, other processes see that the
    collection has changed.
    """
    old_metadata = dict(store.collection.metadata or {})
    new_metadata = {**old_metadata, REVISION: revision or ""}
    if revision is not None:
        new_metadata[COUNT] = store.collection.count()
    if state:
        new_metadata[STATE] = state
    if new_metadata != old_metadata:
        store.collection.modify(metadata=new_metadata)
        store.record_current()


def _release_memory() -> None:
    """Return freed memory to the system, since batches of different sizes fragment glibc's heap."""
    with suppress(OSError, AttributeError):  # other C libraries have no malloc_trim
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar; the context's value is a function that advances the bar by a number of documents."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("embedding", BarColumn(), MofNCompleteColumn(), "passages", TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not total) as progress:
        task = progress.add_task("embedding", total=total)
        yield lambda count: progress.advance(task, count)
