"""The vector store: Chroma, a collection for each corpus, embedder and metric."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from langchain_core.embeddings import Embeddings

from corpus.errors import UserError
from retrievers.config import StoreConfig
from retrievers.embedders import fingerprint

if TYPE_CHECKING:
    from chromadb import Collection
    from chromadb.api import ClientAPI
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from langchain_chroma import Chroma

METRIC: Literal["cosine"] = "cosine"
# Wide enough that the graph search is exact on some thousands of texts, where users compare figures to a whole search.
HNSW: "CreateHNSWConfiguration" = {"space": METRIC, "ef_construction": 400, "max_neighbors": 32, "ef_search": 500}


@dataclass(frozen=True)
class Store:
    """One collection, open.

    Attributes:
        vectors: LangChain's view of the collection.
        collection: Chroma's own view.
        embedder: makes the vectors, of questions too; no other has ever written here.
        where: folder or address, for messages.
    """

    vectors: "Chroma"
    collection: "Collection"
    embedder: Embeddings
    where: str

    def errors(self) -> Any:
        """A context in which what Chroma raises becomes a ``UserError`` that names the store."""
        return store_errors(self.where)


def open_store(config: StoreConfig, corpus: str, embedder: Embeddings) -> Store:
    """Open the collection of ``corpus`` under ``embedder``, made now if it is new.

    The collection's name ends in a digest of corpus, embedder fingerprint and metric: another embedder, or the same
    with another prompt or type, gets a collection of its own.

    Raises:
        UserError: the folder or server cannot be used.
    """
    from langchain_chroma import Chroma

    where = config.url or config.path
    mark = fingerprint(embedder)
    with store_errors(where):
        client = _client(config)
        vectors = Chroma(
            client=client,
            collection_name=collection_name(corpus, mark),
            embedding_function=embedder,
            collection_metadata={"corpus": corpus, "embedder": mark, "metric": METRIC},
            collection_configuration={"hnsw": HNSW},
        )
        collection = client.get_collection(vectors._collection_name, embedding_function=None)
    return Store(vectors, collection, embedder, where)


def collection_name(corpus: str, embedder_fingerprint: str, metric: str = METRIC) -> str:
    """A readable beginning and a digest, within Chroma's rule for names (3 to 512 of ``[a-zA-Z0-9._-]``)."""
    readable = re.sub(r"[^a-zA-Z0-9]+", "-", corpus).strip("-")[:40] or "corpus"
    digest = hashlib.sha256(repr((corpus, embedder_fingerprint, metric)).encode("utf-8", "replace")).hexdigest()
    return f"{readable}-{metric}-{digest[:16]}"


def _client(config: StoreConfig) -> "ClientAPI":
    import chromadb
    from chromadb.config import Settings

    if config.url is not None:
        url = urlsplit(config.url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise UserError(f"store.url {config.url!r} is no address of a Chroma server. Write http://host:8000.")
        secure = url.scheme == "https"
        port = url.port or (443 if secure else 8000)
        return chromadb.HttpClient(host=url.hostname, port=port, ssl=secure, settings=Settings())
    path = Path(config.path).expanduser().resolve()
    path.mkdir(parents=True, exist_ok=True)
    return chromadb.PersistentClient(path=str(path), settings=Settings())


@contextmanager
def store_errors(where: str) -> Iterator[None]:
    """Translate what Chroma, SQLite and the file system raise about the store at ``where``.

    Raises:
        UserError: locked, read-only, damaged, of another Chroma version, unreachable, out of space.
    """
    import httpx
    from chromadb.errors import ChromaError

    try:
        yield
    except UserError:
        raise
    except (ChromaError, httpx.HTTPError, OSError, ValueError, RuntimeError) as error:
        raise UserError(f"The store {where} {_trouble(str(error), error)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Chroma's Rust core has given up; it derives from BaseException
            raise
        raise UserError(f"The store {where} {_trouble('malformed', error)}") from error


def _trouble(text: str, error: BaseException) -> str:
    import httpx

    low = text.lower()
    if "readonly" in low or "read-only" in low or isinstance(error, PermissionError) or "permission denied" in low:
        return "may not be written. Check the folder's permissions, or set store.path to another folder."
    if "locked" in low:
        return "is in use by another process. Wait until that has finished, or set store.path to another folder."
    if "disk is full" in low or "no space left" in low:
        return "is on a disk that is full. Free some space and run the same command again: it goes on where it stopped."
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return "is a file or lies under one. Set store.path to a folder."
    if "could not connect" in low or isinstance(error, (httpx.TransportError, ConnectionError)):
        return "cannot be reached. Start the server (chroma run), or remove store.url to use a folder."
    if any(
        sign in low for sign in ("malformed", "not a database", "migration", "no such column", "no such table", "hnsw")
    ):
        return (
            "is damaged or was written by another version of Chroma. Move the folder away and index again; "
            "your documents are not in it alone."
        )
    return f"failed: {text.strip().splitlines()[0][:300] if text.strip() else type(error).__name__}"
