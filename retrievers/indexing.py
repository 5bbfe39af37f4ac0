"""Indexing: makes a collection hold exactly the given documents."""

import ctypes
import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from langchain_core.documents import Document

from common.errors import UserError
from common.fingerprints import documents_digest
from retrievers.base import encodable
from retrievers.config import StoreConfig
from retrievers.document_ids import with_id
from retrievers.files.vectors import FOLDER
from retrievers.secure_delete import mark, purge
from retrievers.store import COUNT, REVISION, STATE, Store, other_collections, store_errors

if TYPE_CHECKING:
    from chromadb import Collection

BATCH = 128  # texts per write; a kill loses at most one batch
SORTED = 2048  # texts in memory at a time, sorted by length to reduce padding
PAGE = 5000
DIGEST = "_digest"
JSON = "_json"
TEXT_DIGITS = 32  # hex digits of the text's digest; the rest is the metadata's
PRUNED = "pruned"  # the revision to which a collection that is not filled any more was pruned

Item = TypeVar("Item")


@dataclass(frozen=True)
class IndexReport:
    """Number of stored documents and the work that was done."""

    total: int
    embedded: int
    removed: int


class Documents(Protocol):
    """Documents that can be counted and iterated repeatedly."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Document]: ...


def index(store: Store, documents: Documents, *, quiet: bool = False) -> IndexReport:
    """Make the store hold exactly ``documents`` (``fill``) and purge what was removed (``secure_delete``)."""
    report = fill(store, documents, quiet=quiet)
    with store.errors():
        purge(store.folder)
    return report


def fill(store: Store, documents: Documents, *, quiet: bool = False) -> IndexReport:
    """Make the store hold exactly ``documents``; removed texts stay in its files until a purge.

    A text already stored under its id is not embedded again; a changed one is replaced; stored documents that are not
    among ``documents`` are removed. Work is stored in batches, so the same call continues after a kill. A document
    without an id gets a digest of its text.

    The documents are iterated twice, with only some thousands in memory at a time. If they have an attribute
    ``revision``, which must change with them, and the store was last filled with that revision, they are not read.

    Raises:
        UserError: two texts share an id, or the store cannot be written.
    """
    revision = getattr(documents, REVISION, None)
    with store.errors():
        if revision is not None and (count := _count_of(store, revision, documents)) is not None:
            store.remove_former_vector_files()  # a killed process may have left texts there
            return IndexReport(total=count, embedded=0, removed=0)
        changed = not (store.collection.metadata or {}).get(REVISION)  # new, or an earlier call was killed
        _note(store, None)
    digests = _digests(documents)
    embedded = 0
    with _progress(len(digests), quiet=quiet) as advance:
        for lot in _parts(_each_once(documents, digests), SORTED):
            with store.errors():
                stored = _stored_digests(store, [str(document.id) for document in lot])
            todo, metadata_changed = _differing(lot, digests, stored)
            if metadata_changed:
                _store_metadata(store, metadata_changed, digests)
            changed = changed or bool(todo or metadata_changed)
            advance(len(lot) - len(todo))
            todo.sort(key=lambda document: (-len(document.page_content), str(document.id)))
            for part in _parts(todo, BATCH):
                _store(store, part, digests, [str(document.id) for document in part if document.id in stored])
                embedded += len(part)
                advance(len(part))
                _give_back_memory()
    with store.errors():
        removed = _remove_others(store, digests)
        revision = revision or documents_digest(documents, metadata=True)
        state = store.state
        if changed or removed or store.lacks_vector_file:
            state = secrets.token_hex(8)
            store.write_vector_file(state, _each_once(documents, digests), digests)
        _note(store, revision, state)
        store.remove_former_vector_files()
    return IndexReport(total=len(digests), embedded=embedded, removed=removed)


def prune(collection: "Collection", folder: Path | None, documents: Documents) -> None:
    """Remove texts that are no longer among ``documents`` from a collection that the settings no longer use.

    ``folder`` is the store's folder, which then needs a purge.
    """
    known = collection.metadata or {}
    revision = getattr(documents, REVISION, None)
    if revision is not None and revision in (known.get(REVISION), known.get(PRUNED)):
        return
    texts = {id: digest.hex()[:TEXT_DIGITS] for id, digest in _digests(documents).items()}
    gone: list[str] = []
    for offset in range(0, collection.count(), PAGE):
        page = collection.get(limit=PAGE, offset=offset, include=["metadatas"])
        rows = zip(page["ids"], page["metadatas"] or [], strict=True)
        gone += [id for id, metadata in rows if texts.get(id) != str((metadata or {}).get(DIGEST))[:TEXT_DIGITS]]
    _remove(collection, folder, gone)
    noted = dict(known)
    if revision is not None:
        noted[PRUNED] = revision
    if gone:
        noted[STATE] = secrets.token_hex(8)
        if folder is not None:
            shutil.rmtree(folder / FOLDER / collection.name, ignore_errors=True)
    if noted != known:
        collection.modify(metadata=noted)


class ServerDocuments:
    """The documents of a corpus on a Chroma server.

    Several embedders may have collections of the corpus. The largest is used: ``index`` removes from the others what
    left the corpus, but adds nothing to them.
    """

    def __init__(self, config: StoreConfig, corpus: str) -> None:
        self._config = config
        self._corpus = corpus

    def revision(self) -> str | None:
        """The revision of the documents; None if there are none yet, or while they change.

        It is the revision with which the collection was filled, and the count if another program has changed that.
        """
        with store_errors(str(self._config.url)):
            found = self._collection()
            if found is None:
                return None
            collection, count = found
            known = collection.metadata or {}
            if not known.get(REVISION):
                return None
            return str(known[REVISION]) if count == known.get(COUNT) else f"{known[REVISION]} {count}"

    def __iter__(self) -> Iterator[Document]:
        with store_errors(str(self._config.url)):
            found = self._collection()
            if found is None:
                return
            collection, count = found
            for offset in range(0, count, PAGE):
                page = collection.get(limit=PAGE, offset=offset, include=["documents", "metadatas"])
                rows = zip(page["ids"], page["documents"] or [], page["metadatas"] or [], strict=True)
                for id, text, metadata in rows:
                    yield read_document(id, text, metadata or {})

    def _collection(self) -> "tuple[Collection, int] | None":
        """The largest collection and its count."""
        counted = [(one, one.count()) for one in other_collections(self._config, self._corpus, ())]
        return max(counted, key=lambda pair: (pair[1], pair[0].name), default=None)


def read_document(id: str, text: str, metadata: Mapping[str, Any]) -> Document:
    """The document from its stored form."""
    plain = {key: value for key, value in metadata.items() if key not in (DIGEST, JSON)}
    return Document(id=id, page_content=text, metadata={**plain, **json.loads(metadata.get(JSON, "{}"))})


def _store(store: Store, documents: Sequence[Document], digests: Mapping[str, bytes], stored: list[str]) -> None:
    """Embed and store documents; ``stored`` are the ids that replace an earlier version."""
    import numpy as np

    ids = [str(document.id) for document in documents]
    texts = [document.page_content for document in documents]
    vectors = np.asarray(store.embedder.embed_documents(texts), dtype=np.float32)
    metadatas: list[Mapping[str, Any]] = [
        {**_to_stored(document.metadata), DIGEST: digests[id].hex()}
        for id, document in zip(ids, documents, strict=True)
    ]
    with store.errors():
        if stored:
            mark(store.folder)
            store.collection.delete(ids=stored)  # an upsert would keep metadata keys that the new version lacks
        store.collection.upsert(ids=ids, embeddings=vectors, documents=texts, metadatas=metadatas)


def _differing(
    lot: Sequence[Document], digests: Mapping[str, bytes], stored: Mapping[str, str]
) -> tuple[list[Document], list[Document]]:
    """Documents whose text is not stored, and documents of which only the metadata differ."""
    texts: list[Document] = []
    metadata: list[Document] = []
    for document in lot:
        wanted, known = digests[str(document.id)].hex(), stored.get(str(document.id), "")
        if wanted != known:
            (metadata if wanted[:TEXT_DIGITS] == known[:TEXT_DIGITS] else texts).append(document)
    return texts, metadata


def _store_metadata(store: Store, documents: Sequence[Document], digests: Mapping[str, bytes]) -> None:
    """Replace the metadata of stored documents; texts and vectors stay."""
    by_id = {str(document.id): document for document in documents}
    with store.errors():
        for ids in _parts(by_id, BATCH):
            page = store.collection.get(ids=ids, include=["metadatas"])
            metadatas: list[Any] = []
            for id, known in zip(page["ids"], page["metadatas"] or [], strict=True):
                before = {key: value for key, value in (known or {}).items() if key != DIGEST}
                now = _to_stored(by_id[id].metadata)
                if any(now.get(key) != value for key, value in before.items()):
                    mark(store.folder)
                # Chroma deletes keys whose value is None.
                metadatas.append({**dict.fromkeys(before), **now, DIGEST: digests[id].hex()})
            store.collection.update(ids=page["ids"], metadatas=metadatas)


def _to_stored(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata in Chroma's form: plain values and lists of texts under their keys, the rest as one JSON text."""
    plain: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in metadata.items():
        if isinstance(value, str):
            plain[encodable(key)] = encodable(value)
        elif isinstance(value, (bool, int, float)) and abs(value) < 2**63:
            plain[encodable(key)] = value
        elif isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            plain[encodable(key)] = [encodable(item) for item in value]
        else:
            rest[key] = value
    return {**plain, JSON: json.dumps(rest, default=str)} if rest else plain


def _digests(documents: Iterable[Document]) -> dict[str, bytes]:
    """A digest of each document by its id, half of it for the text and half for the metadata."""
    found: dict[str, bytes] = {}
    for document in map(with_id, documents):
        text = hashlib.sha256(document.page_content.encode()).digest()[:16]
        said = json.dumps(document.metadata, sort_keys=True, default=str)
        digest = text + hashlib.sha256(said.encode()).digest()[:16]
        if found.setdefault(str(document.id), digest)[:16] != text:
            raise UserError(f"Two different documents have the id {document.id!r}. Give each its own.")
    return found


def _each_once(documents: Iterable[Document], digests: Mapping[str, bytes]) -> Iterator[Document]:
    """The documents with known digests, without duplicates; another process may add documents meanwhile."""
    seen: set[str] = set()
    for document in map(with_id, documents):
        if document.id in digests and document.id not in seen:
            seen.add(str(document.id))
            yield document


def _stored_digests(store: Store, ids: list[str]) -> dict[str, str]:
    page = store.collection.get(ids=ids, include=["metadatas"])
    rows = zip(page["ids"], page["metadatas"] or [], strict=True)
    return {id: str((metadata or {}).get(DIGEST, "")) for id, metadata in rows}


def _remove_others(store: Store, wanted: Mapping[str, bytes]) -> int:
    """Remove stored documents that are not wanted; all wanted ones are stored."""
    count = store.collection.count()
    if count == len(wanted):
        return 0
    gone: list[str] = []
    for offset in range(0, count, PAGE):
        gone += [id for id in store.collection.get(limit=PAGE, offset=offset, include=[])["ids"] if id not in wanted]
    _remove(store.collection, store.folder, gone)
    return len(gone)


def _remove(collection: "Collection", folder: Path | None, ids: Sequence[str]) -> None:
    if ids:
        mark(folder)
    for part in _parts(ids, PAGE):
        collection.delete(ids=part)


def _count_of(store: Store, revision: str, documents: Documents) -> int | None:
    """The number of the store's documents if it was last filled with this revision; else None."""
    known = store.collection.metadata or {}
    if known.get(REVISION) != revision or store.lacks_vector_file:
        return None
    wanted = known.get(COUNT)  # absent in stores of version 0.1.0
    if store.folder is not None and wanted is not None:
        return int(wanted)  # counting would read Chroma's graph
    count = store.collection.count()
    return count if count == (len(documents) if wanted is None else wanted) else None


def _note(store: Store, revision: str | None, state: str = "") -> None:
    """Store the revision in the collection, None while it changes, and the state if it is new.

    Other processes with the open collection compare the metadata and read its changes.
    """
    known = dict(store.collection.metadata or {})
    noted = {**known, REVISION: revision or ""}
    if revision is not None:
        noted[COUNT] = store.collection.count()
    if state:
        noted[STATE] = state
    if noted != known:
        store.collection.modify(metadata=noted)
        store.note_current()


def _give_back_memory() -> None:
    """Return freed memory to the system; batches of varying sizes fragment the heap of glibc."""
    with suppress(OSError, AttributeError):  # other C libraries do not have it
        ctypes.CDLL(None).malloc_trim(0)


def _parts(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar of the stored documents."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    count = (MofNCompleteColumn(), TextColumn("passages"), TimeRemainingColumn())
    columns = (TextColumn("embedding"), BarColumn(), *count)
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not total) as progress:
        task = progress.add_task("embedding", total=total)
        yield lambda count: progress.advance(task, count)
