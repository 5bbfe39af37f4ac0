"""Registry of retriever kinds: from names in the settings to classes, and from settings to retrievers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from common.errors import UserError
from common.imports import import_class
from retrievers.config import (
    EmbedderConfig,
    RetrieverClassConfig,
    RetrieverConfig,
    StoreConfig,
    find_cycle,
    is_class_path,
)

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings
    from langchain_core.retrievers import BaseRetriever

    from retrievers.base import Retriever
    from retrievers.indexing import Documents
    from retrievers.kinds.multi_query import Rewriter
    from retrievers.store import Store

KINDS = {
    "dense": "retrievers.kinds.dense.DenseRetriever",
    "bm25": "retrievers.kinds.bm25.BM25Retriever",
    "parent": "retrievers.kinds.parent.ParentRetriever",
    "hybrid": "retrievers.kinds.hybrid.HybridRetriever",
    "mmr": "retrievers.kinds.mmr.MMRRetriever",
    "multi_query": "retrievers.kinds.multi_query.MultiQueryRetriever",
    "rerank": "retrievers.kinds.rerank.RerankRetriever",
    "filter": "retrievers.kinds.filtered.FilteredRetriever",
    "pubmed": "retrievers.kinds.pubmed.PubMedRetriever",
}

Value = TypeVar("Value")


@dataclass(frozen=True)
class Context:
    """Documents, models and store from which ``Retriever.build`` makes a retriever with given settings.

    Attributes:
        documents: the documents of the corpus.
        corpus: the corpus's name, part of the collections' names.
        embedders: embedders by name, as settings or as LangChain ``Embeddings``.
        retrievers: base retrievers by name, for the kinds that build on other retrievers.
        rewriter: rewrites questions, for kind ``multi_query``.
        rewriter_identity: settings and fingerprints that determine the rewritten questions, as JSON types.
        quiet: whether to hide progress bars.
        updated: names of the collections that ``update_collection`` has updated.
    """

    documents: "Documents"
    corpus: str
    embedders: "Mapping[str, EmbedderConfig | Embeddings]"
    store: StoreConfig
    retrievers: "Mapping[str, Retriever]" = field(default_factory=dict)
    rewriter: "Rewriter | None" = None
    rewriter_identity: Any = None
    quiet: bool = False
    updated: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Raise ``UserError`` if documents are not LangChain's, or can be read only once, as from a generator."""
        if not hasattr(self.documents, "__len__"):
            raise UserError(
                f"The documents of a retriever are read more than once; this is a {type(self.documents).__name__}. "
                "Put them into a list."
            )
        if isinstance(self.documents, list | tuple | str | Mapping):  # other sequences may read documents from a disk
            from retrievers.document_ids import check_document

            for document in self.documents:
                check_document(document)

    def embedder(self, name: str) -> "Embeddings":
        """Load the embedder of that name; ``UserError`` if it does not exist or cannot be loaded."""
        from langchain_core.embeddings import Embeddings

        from retrievers.embedders import make_embedder

        embedder: object = _lookup(self.embedders, name, "embedder")
        if isinstance(embedder, EmbedderConfig):
            return make_embedder(embedder, self.store)
        if isinstance(embedder, Embeddings):
            return embedder
        got = f"the class {embedder.__name__}" if isinstance(embedder, type) else f"a {type(embedder).__name__}"
        raise UserError(f"Embedder {name!r} must be an EmbedderConfig or a LangChain Embeddings object; it is {got}.")

    def retriever(self, name: str) -> "Retriever":
        """The retriever of that name; ``UserError`` if it does not exist or is not a ``Retriever``."""
        from retrievers.base import Retriever

        retriever: object = _lookup(self.retrievers, name, "retriever")
        if not isinstance(retriever, Retriever):
            raise UserError(
                f"Retriever {name!r} is a {type(retriever).__name__}; a retriever builds on those that make_retriever "
                "makes, or on your own subclass of retrievers.base.Retriever, whose _search returns scored documents."
            )
        return retriever

    def open_store(self, embedder: str, corpus: str | None = None) -> "Store":
        """Open the collection of a corpus, by default ``self.corpus``, with an embedder's vectors."""
        from retrievers.store import open_store

        return open_store(self.store, corpus or self.corpus, self.embedder(embedder))

    def update_collection(self, embedder: str, documents: "Documents | None" = None, corpus: str | None = None) -> int:
        """Update a collection to exactly ``documents``, by default ``self.documents``.

        Returns the number of documents that were embedded. A second call for a collection does nothing. Removed
        texts stay in the store's files until a purge.
        """
        from retrievers.indexing import fill

        store = self.open_store(embedder, corpus)
        if store.collection.name in self.updated:
            return 0
        self.updated.add(store.collection.name)
        return fill(store, self.documents if documents is None else documents, quiet=self.quiet).embedded

    def updated_store(self, embedder: str) -> "Store":
        """The collection of ``self.corpus``, updated to ``self.documents``; removed texts are purged."""
        from retrievers.indexing import index

        store = self.open_store(embedder)
        index(store, self.documents, quiet=self.quiet)
        return store


def config_class(settings: Mapping[Any, Any]) -> type[RetrieverConfig]:
    """The settings class for the ``kind`` in a mapping of settings.

    A user-defined class is not imported here; its keyword arguments are validated by its constructor.

    Raises:
        PydanticCustomError: the kind is missing or unknown.
    """
    from retrievers.base import encodable

    kind = settings.get("kind")
    if kind is None:
        raise PydanticCustomError("union_tag_not_found", "must be a mapping with a kind")
    if isinstance(kind, str) and kind in KINDS:
        retriever_class: Any = find_class(kind)
        return retriever_class.config_class  # type: ignore[no-any-return]
    if is_class_path(kind):
        return RetrieverClassConfig
    expected = f"{', '.join(map(repr, KINDS))} or package.module.Class"
    tag = encodable(str(kind))  # pydantic cannot print lone surrogates
    raise PydanticCustomError("union_tag_invalid", "{tag} is not a kind", {"tag": tag, "expected_tags": expected})


def find_class(kind: str) -> "type[BaseRetriever]":
    """The class of a kind, or the user-defined class ``package.module.Class``.

    Raises:
        UserError: the class does not exist, cannot be imported, or is not a LangChain ``BaseRetriever``.
    """
    from langchain_core.retrievers import BaseRetriever

    return import_class(KINDS.get(kind, kind), BaseRetriever, "kind")  # type: ignore[type-abstract]


def make_retrievers(
    configs: Mapping[str, RetrieverConfig],
    names: Iterable[str],
    documents: "Documents",
    *,
    corpus: str,
    embedders: "Mapping[str, EmbedderConfig | Embeddings]",
    store: StoreConfig,
    rewriter: "Rewriter | None" = None,
    quiet: bool = False,
) -> "dict[str, Retriever]":
    """The retrievers ``names``, by name. Each retriever is made once, after the retrievers that it builds on.

    The arguments are those of ``Context``.

    Raises:
        UserError: as for ``make_retriever``; or retrievers build on each other in a cycle, or a filter needs metadata
            that no document has.
    """
    if cycle := find_cycle({name: config.builds_on() for name, config in configs.items()}):
        raise UserError(f"Retrievers build on each other in a circle: {' -> '.join(cycle)}.")
    retrievers: dict[str, Retriever] = {}
    context = Context(documents, corpus, embedders, store, retrievers, rewriter, quiet=quiet)

    def make(name: str) -> "Retriever":
        if name not in retrievers:
            config = _lookup(configs, name, "retriever")
            for base in config.builds_on():
                make(base)
            retrievers[name] = _build(config, context)
        return retrievers[name]

    return {name: make(name) for name in names}


def make_retriever(
    config: RetrieverConfig,
    documents: "Documents",
    *,
    corpus: str,
    embedders: "Mapping[str, EmbedderConfig | Embeddings]",
    store: StoreConfig,
    others: "Mapping[str, Retriever] | None" = None,
    rewriter: "Rewriter | None" = None,
    quiet: bool = False,
) -> "Retriever":
    """Update the store to exactly ``documents`` and make the retriever of ``config`` over them.

    ``others`` are base retrievers by name, for kinds that build on them. The remaining arguments are those of
    ``Context``.

    Raises:
        UserError: an embedder or retriever is unknown; one of ``others`` is not a ``Retriever``; a model or class
            cannot be loaded; the store cannot be used; two documents have the same id; or ``multi_query`` has no
            rewriter.
    """
    return _build(config, Context(documents, corpus, embedders, store, others or {}, rewriter, quiet=quiet))


def _build(config: RetrieverConfig, context: Context) -> "Retriever":
    retriever_class, config = _resolve(config)
    return retriever_class.build(config, context)


def update_indexes(configs: Iterable[RetrieverConfig], context: Context) -> int:
    """Make the retrievers' stored data match the documents; returns the number of texts that were embedded."""
    return sum(retriever_class.index(config, context) for retriever_class, config in map(_resolve, configs))


def identify(name: str, configs: Mapping[str, RetrieverConfig], context: Context) -> dict[str, Any]:
    """``Retriever.identity`` of a retriever and of all retrievers that it builds on."""
    retriever_class, config = _resolve(_lookup(configs, name, "retriever"))
    identity = retriever_class.identity(config, context)
    if bases := config.builds_on():
        identity["builds_on"] = {base: identify(base, configs, context) for base in bases}
    return identity


def kinds_of(configs: Mapping[str, RetrieverConfig], names: Iterable[str]) -> set[str]:
    """The kinds of the named retrievers and of all retrievers that they build on."""
    named = [_lookup(configs, name, "retriever") for name in names]
    return {kind for config in named for kind in (config.kind, *kinds_of(configs, config.builds_on()))}


def _resolve(config: RetrieverConfig) -> "tuple[type[Retriever], RetrieverConfig]":
    """The ``Retriever`` class for these settings, and the settings as an object of its ``config_class``.

    The settings of a user-defined subclass of ``Retriever`` are validated here. For any other LangChain class, the
    returned class is its adapter ``LangChainRetriever``.
    """
    from retrievers.base import Retriever
    from retrievers.kinds.langchain import LangChainRetriever

    retriever_class = find_class(config.kind)
    if not issubclass(retriever_class, Retriever):
        return LangChainRetriever, config
    if not isinstance(config, RetrieverClassConfig):
        return retriever_class, config
    try:
        return retriever_class, retriever_class.config_class.model_validate(config.model_dump())
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise UserError(f"A retriever of kind {config.kind}: {problems}.") from error


def _lookup(by_name: Mapping[str, Value], name: str, noun: str) -> Value:
    if name not in by_name:
        known = ", ".join(sorted(by_name)) or "none"
        raise UserError(f"There is no {noun} {name!r}; the settings name: {known}.")
    return by_name[name]
