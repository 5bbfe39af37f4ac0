"""The vector store: Chroma, with a collection for each corpus, embedder and metric.

In a folder, each collection also has a vector file for exact search (``files.vectors``).
"""

import hashlib
import re
import sqlite3
import threading
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from common.errors import UserError
from retrievers.base import encodable
from retrievers.config import StoreConfig
from retrievers.embedders import fingerprint
from retrievers.files.vectors import FOLDER, VectorFile, VectorFiles, unit
from retrievers.secure_delete import DATABASE

if TYPE_CHECKING:
    import numpy as np
    from chromadb import Collection
    from chromadb.api import ClientAPI
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from langchain_chroma import Chroma

METRIC: Literal["cosine"] = "cosine"
# Parameters of a server's graph of vectors, with which a search over some thousands of texts is exact.
HNSW: "CreateHNSWConfiguration" = {"space": METRIC, "ef_construction": 400, "max_neighbors": 32, "ef_search": 500}
# Keys of a collection's metadata.
REVISION = "revision"  # revision of the documents; empty while they are being changed
COUNT = "count"  # number of documents in the revision
STATE = "state"  # name of the state of the texts; it changes whenever a text changes
BATCH = 512  # vectors per ``query`` of Chroma, and ids per ``get``
LOCK_SECONDS = 10.0  # maximum wait for other indexing processes, which lock the database briefly

_clients: dict[Path, "ClientAPI"] = {}
# Metadata of each collection, by folder and name, at the time when the client's graph was last up to date.
_current_metadata: dict[tuple[Path, str], Any] = {}
_clients_lock = threading.Lock()


class Store:
    """An open collection.

    Attributes:
        collection: Chroma's collection; ``refresh`` may replace it.
        embedder: the embedder of the collection's vectors and of questions.
        location: folder or URL, for messages.
        folder: the folder; None for a server.
    """

    def __init__(self, config: StoreConfig, corpus: str, embedder: Embeddings) -> None:
        self.embedder = embedder
        self.location = config.url or config.path
        self.folder = folder_of(config)
        self._client = _client(config)
        embedder_fingerprint = fingerprint(embedder)
        self.collection = self._client.get_or_create_collection(
            collection_name(corpus, embedder_fingerprint),
            metadata={"corpus": encodable(corpus), "embedder": embedder_fingerprint, "metric": METRIC},
            configuration={"hnsw": {"space": METRIC} if self.folder else HNSW},
            embedding_function=None,
        )
        self._vector_files = VectorFiles(self.folder / FOLDER / self.collection.name) if self.folder else None
        if self.folder is not None:
            _current_metadata.setdefault((self.folder, self.collection.name), dict(self.collection.metadata or {}))
        self.refresh_graph()

    @property
    def vectors(self) -> "Chroma":
        """The collection as a LangChain vector store.

        This package's retrievers may not find texts that are added through this object, and ``index`` removes them.
        """
        from langchain_chroma import Chroma

        name = self.collection.name
        return Chroma(client=self._client, collection_name=name, embedding_function=self.embedder)

    def refresh(self) -> None:
        """Read the collection's metadata, which other processes may have changed."""
        if self.folder is not None:
            self.collection = self._client.get_collection(self.collection.name, embedding_function=None)

    def refresh_graph(self) -> None:
        """Reopen the folder if another process has changed the collection since its graph was loaded.

        Chroma keeps a folder's graph of vectors in memory and does not load other processes' changes. This process's
        own changes are in memory already, and a server's graph is always up to date.
        """
        if self.folder is None:
            return
        if self._client is not _clients[self.folder]:  # another ``Store`` of this process has reopened the folder
            self._client = _clients[self.folder]
            self.refresh()
        current = _current_metadata.get((self.folder, self.collection.name))
        if current != dict(self.collection.metadata or {}):
            self._client = _reopen(self.folder, self._client)
            self.refresh()
            self.record_current()

    def record_current(self) -> None:
        """Record that this process's graph is up to date with the collection's metadata."""
        if self.folder is not None:
            _current_metadata[self.folder, self.collection.name] = dict(self.collection.metadata or {})

    def embeddings(self, ids: list[str]) -> "dict[str, np.ndarray]":
        """The unit vectors of ``ids``, by id; ids that the collection lacks are left out."""
        file = self.vector_file()
        return file.vectors(ids) if file else self._graph_vectors(ids)

    def _graph_vectors(self, ids: list[str]) -> "dict[str, np.ndarray]":
        import numpy as np
        from chromadb.errors import InternalError

        self.refresh_graph()
        vectors: dict[str, np.ndarray] = {}
        for start in range(0, len(ids), BATCH):
            try:
                batch = self.collection.get(ids=ids[start : start + BATCH], include=["embeddings"])
            except InternalError as error:
                if "finding id" not in str(error):
                    raise
                continue  # another process is storing texts that this process's graph lacks
            rows = unit(np.asarray(batch["embeddings"], dtype=np.float32))
            vectors.update(zip(batch["ids"], rows, strict=True))
        return vectors

    @property
    def state(self) -> str:
        """The name of the state of the collection's texts; empty before it is first indexed."""
        return str((self.collection.metadata or {}).get(STATE, ""))

    def vector_file(self) -> VectorFile | None:
        """The vector file of the collection's state; None on a server, or if the file is missing or damaged."""
        return self._vector_files.open(self.state) if self._vector_files is not None and self.state else None

    @property
    def lacks_vector_file(self) -> bool:
        """Whether the store is a folder, the collection has texts, and their vector file is missing or damaged."""
        has_texts = (self.collection.metadata or {}).get(COUNT) != 0
        return self.folder is not None and has_texts and self.vector_file() is None

    def new_vector_file(
        self, state: str, documents: Iterable[Document], digests: Mapping[str, bytes]
    ) -> AbstractContextManager[None]:
        """A context that writes the vector file of the new state ``state``. The block inside it must record this state.

        ``digests`` are the digests of the documents' texts, by id.
        """
        if self._vector_files is None:
            return nullcontext()
        return self._vector_files.new(state, documents, digests, self.state, self._graph_vectors)

    def remove_former_vector_files(self) -> None:
        """Remove the vector files of former states."""
        if self._vector_files is not None:
            self._vector_files.remove_others(self._stored_state)

    def _stored_state(self) -> str:
        """The state, read from the store again, since another process may have changed it."""
        self.refresh()
        return self.state

    def errors(self) -> Any:
        """A context that turns Chroma's errors into a ``UserError`` that names the store."""
        return store_errors(self.location)


def open_store(config: StoreConfig, corpus: str, embedder: Embeddings) -> Store:
    """Open or create the collection of ``corpus`` with the vectors of ``embedder``.

    Each embedder, prompt and dtype has a collection of its own.
    """
    with store_errors(config.url or config.path):
        return Store(config, corpus, embedder)


def other_collections(config: StoreConfig, corpus: str, excluded: Container[str]) -> "list[Collection]":
    """The store's collections of ``corpus``, except those with a name in ``excluded``."""
    folder = folder_of(config)
    if folder is not None and not (folder / DATABASE).exists():
        return []
    with store_errors(config.url or config.path):
        collections = _client(config).list_collections()
    name = encodable(corpus)
    return [each for each in collections if (each.metadata or {}).get("corpus") == name and each.name not in excluded]


def folder_of(config: StoreConfig) -> Path | None:
    """The store's folder; None for a server."""
    return Path(config.path).expanduser().resolve() if config.url is None else None


def collection_name(corpus: str, embedder_fingerprint: str) -> str:
    """A collection's name: the start of the corpus's name, the metric, and a digest of corpus, embedder and metric.

    Chroma allows names of 3 to 512 characters of ``[a-zA-Z0-9._-]``.
    """
    readable = re.sub(r"[^a-zA-Z0-9]+", "-", corpus).strip("-")[:40] or "corpus"
    digest = hashlib.sha256(repr((corpus, embedder_fingerprint, METRIC)).encode("utf-8", "replace")).hexdigest()
    return f"{readable}-{METRIC}-{digest[:16]}"


def _client(config: StoreConfig) -> "ClientAPI":
    folder = folder_of(config)
    return _folder_client(folder) if folder is not None else _server_client(str(config.url))


@cache
def _server_client(url: str) -> "ClientAPI":
    """One client per server and process, since Chroma never closes a client's connections."""
    import chromadb
    from chromadb.config import Settings

    host, port, secure = _address(url)
    return chromadb.HttpClient(host=host, port=port, ssl=secure, settings=Settings())


def _folder_client(path: Path) -> "ClientAPI":
    """One client per folder and process, as Chroma requires."""
    with _clients_lock:
        if path not in _clients:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)  # private, since it will contain the texts
            _check_writable(path / DATABASE)
            _clients[path] = _new_client(path)
        return _clients[path]


def _reopen(path: Path, stale: "ClientAPI") -> "ClientAPI":
    """Replace the folder's client ``stale``, unless another thread has done so; returns the new client."""
    from chromadb.api.shared_system_client import SharedSystemClient

    with _clients_lock:
        if _clients.get(path) in (None, stale):
            # Chroma caches one backend ("system") per folder, which a new client would share. Threads that search with
            # the old client keep the old backend.
            SharedSystemClient.clear_system_cache()
            for key in [key for key in _current_metadata if key[0] == path]:
                del _current_metadata[key]
            _clients[path] = _new_client(path)
        return _clients[path]


def _new_client(path: Path) -> "ClientAPI":
    import chromadb
    from chromadb.config import Settings

    return chromadb.PersistentClient(path=str(path), settings=Settings())


def _check_writable(database: Path) -> None:
    """Raise SQLite's error if an existing database cannot be written; Chroma would wait forever for a lock.

    Call it only before Chroma opens the file, because closing the file releases all locks of this process on it.
    """
    if not database.exists():
        return
    with closing(sqlite3.connect(database, timeout=LOCK_SECONDS, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        connection.execute("rollback")


def _address(url: str) -> tuple[str, int, bool]:
    """Host, port, and whether the connection is encrypted."""
    invalid = UserError(f"store.url {url!r} is no address of a Chroma server. Write http://host:8000.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise invalid from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in url or parts.path.strip("/"):
        raise invalid
    secure = parts.scheme == "https"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname  # IPv6
    return host, port or (443 if secure else 8000), secure


@contextmanager
def store_errors(location: str) -> Iterator[None]:
    """Turn errors of Chroma, SQLite and the file system into a ``UserError`` that names the store at ``location``."""
    import httpx
    from chromadb.errors import ChromaError

    try:
        yield
    except UserError:
        raise
    except (ChromaError, httpx.HTTPError, sqlite3.Error, OSError, ValueError, RuntimeError) as error:
        raise UserError(f"The store {location} {_explain(str(error), error)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # a panic of Chroma's Rust core; it derives from BaseException
            raise
        raise UserError(f"The store {location} {_explain('malformed', error)}") from error


def _explain(text: str, error: BaseException) -> str:
    import httpx

    lowered = text.lower()

    def contains(*phrases: str) -> bool:
        return any(phrase in lowered for phrase in phrases)

    if contains("readonly", "read-only", "permission denied") or isinstance(error, PermissionError):
        return "may not be written. Check the folder's permissions, or set store.path to another folder."
    if contains("locked"):
        return "is in use by another process. Wait until that has finished, or set store.path to another folder."
    if contains("disk is full", "no space left", "requested and"):  # numpy: "20 requested and 3 written"
        return "is on a disk that is full. Free some space and run the same command again: it goes on where it stopped."
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return "is a file or lies under one. Set store.path to a folder."
    if contains("could not connect") or isinstance(error, (httpx.TransportError, ConnectionError)):
        return "cannot be reached. Start the server (chroma run), or remove store.url to use a folder."
    if contains("malformed", "not a database", "migration", "no such column", "no such table", "hnsw"):
        return "is damaged or was written by another version of Chroma. Move the folder away and index again."
    return f"failed: {text.strip().splitlines()[0][:300] if text.strip() else type(error).__name__}"
