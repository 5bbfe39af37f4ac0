"""Put documents into a store, so that it holds exactly them."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document

from retrievers.base import encodable
from retrievers.ids import identified
from retrievers.store import Store

BATCH = 128  # a kill costs at most the embedding of so many texts
PAGE = 5000
DIGEST = "_digest"
JSON = "_json"


@dataclass(frozen=True)
class IndexReport:
    """How many documents the store holds now, and what had to be done for it."""

    total: int
    embedded: int
    removed: int


def index(store: Store, documents: Sequence[Document], *, quiet: bool = False) -> IndexReport:
    """Make the store hold exactly ``documents``.

    A document that is stored already under its id, the same in text and metadata, is not embedded again; a changed
    one is replaced; stored ones that are not among ``documents`` are removed. Work is stored in batches: after a kill
    at any moment the same call completes it.

    Args:
        store: the corpus's collection.
        documents: their ids are kept; one without gets a digest of its text.
        quiet: no progress bar.

    Raises:
        UserError: two texts share an id, or the store cannot be written.
    """
    wanted = {str(document.id): document for document in identified(documents)}
    digests = {id: _digest(document) for id, document in wanted.items()}
    with store.errors():
        stored = _stored_digests(store)
        gone = [id for id in stored if id not in wanted]
        for part in _parts(gone, PAGE):
            store.collection.delete(ids=part)
    # Neighbours in length share a batch, so that little is padded.
    todo = sorted(
        (id for id in wanted if stored.get(id) != digests[id]), key=lambda id: (-len(wanted[id].page_content), id)
    )
    for part in _with_progress(_parts(todo, BATCH), len(todo), quiet=quiet):
        texts = [wanted[id].page_content for id in part]
        vectors = store.embedder.embed_documents(texts)
        metadatas: list[Mapping[str, Any]] = [{**_to_stored(wanted[id].metadata), DIGEST: digests[id]} for id in part]
        with store.errors():
            if changed := [id for id in part if id in stored]:
                store.collection.delete(ids=changed)  # an upsert alone would keep metadata that the new one lacks
            store.collection.upsert(ids=part, embeddings=_array(vectors), documents=texts, metadatas=metadatas)
    return IndexReport(total=len(wanted), embedded=len(todo), removed=len(gone))


def read_document(id: str, text: str, metadata: Mapping[str, Any]) -> Document:
    """A stored document as it was before it was stored."""
    plain = {key: value for key, value in metadata.items() if key not in (DIGEST, JSON)}
    return Document(id=id, page_content=text, metadata={**plain, **json.loads(metadata.get(JSON, "{}"))})


def _to_stored(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as Chroma takes it: plain values under their own keys, the rest in one JSON text."""
    plain: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in metadata.items():
        if isinstance(value, str):
            plain[encodable(key)] = encodable(value)
        elif isinstance(value, (bool, int, float)) and abs(value) < 2**63:
            plain[encodable(key)] = value
        else:
            rest[key] = value
    return {**plain, JSON: json.dumps(rest, default=str)} if rest else plain


def _digest(document: Document) -> str:
    said = json.dumps([document.page_content, document.metadata], sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()


def _stored_digests(store: Store) -> dict[str, str]:
    found: dict[str, str] = {}
    for offset in range(0, store.collection.count(), PAGE):
        page = store.collection.get(limit=PAGE, offset=offset, include=["metadatas"])
        for id, metadata in zip(page["ids"], page["metadatas"] or [], strict=True):
            found[id] = str((metadata or {}).get(DIGEST, ""))
    return found


def _array(vectors: list[list[float]]) -> Any:
    import numpy as np

    return np.asarray(vectors, dtype=np.float32)


def _parts(ids: Sequence[str], size: int) -> list[list[str]]:
    return [list(ids[start : start + size]) for start in range(0, len(ids), size)]


def _with_progress(parts: list[list[str]], total: int, *, quiet: bool) -> Iterator[list[str]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if not parts:
        return
    columns = (TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("embedding", total=total)
        for part in parts:
            yield part
            progress.advance(task, len(part))
