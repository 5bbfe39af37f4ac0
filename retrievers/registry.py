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

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Context:
    """What retrievers are made from besides their settings.

    Attributes:
        documents: the corpus.
        corpus: its name, part of the collections' names.
        embedders: by name, as settings or as LangChain ``Embeddings``.
        others: by name, the retrievers to build on.
        rewriter: writes other wordings of a question, for kind ``multi_query``.
        rewriter_identity: what determines those wordings, as plain data.
        quiet: whether to hide progress bars.
        updated: the names of the collections that ``update_collection`` has updated.
    """

    documents: "Documents"
    corpus: str
    embedders: "Mapping[str, EmbedderConfig | Embeddings]"
    store: StoreConfig
    others: "Mapping[str, Retriever]" = field(default_factory=dict)
    rewriter: "Rewriter | None" = None
    rewriter_identity: Any = None
    quiet: bool = False
    updated: set[str] = field(default_factory=set)

    def embedder(self, name: str) -> "Embeddings":
        """The embedder of that name, loaded; ``UserError`` if it does not exist or cannot be loaded."""
        from langchain_core.embeddings import Embeddings

        from retrievers.embedders import make_embedder

        chosen: object = _named(self.embedders, name, "embedder")
        if isinstance(chosen, EmbedderConfig):
            return make_embedder(chosen, self.store)
        if isinstance(chosen, Embeddings):
            return chosen
        given = f"the class {chosen.__name__}" if isinstance(chosen, type) else f"a {type(chosen).__name__}"
        raise UserError(f"Embedder {name!r} must be an EmbedderConfig or a LangChain Embeddings object; it is {given}.")

    def other(self, name: str) -> "Retriever":
        """The retriever of that name, which must be a ``Retriever``; ``UserError`` if it is not."""
        from retrievers.base import Retriever

        other: object = _named(self.others, name, "retriever")
        if not isinstance(other, Retriever):
            raise UserError(
                f"Retriever {name!r} is a {type(other).__name__}; a retriever builds on those that make_retriever "
                "makes, or on a retrievers.base.Retriever of your own, which gives scored documents by its _search."
            )
        return other

    def open_store(self, embedder: str, corpus: str | None = None) -> "Store":
        """The collection of the corpus, or of another one, under an embedder."""
        from retrievers.store import open_store

        return open_store(self.store, corpus or self.corpus, self.embedder(embedder))

    def update_collection(self, embedder: str, documents: "Documents | None" = None, corpus: str | None = None) -> int:
        """Make a collection hold exactly the documents, once for this context.

        Returns the number of embedded documents. Removed texts stay in its files until a purge.
        """
        from retrievers.indexing import fill

        into = self.open_store(embedder, corpus)
        if into.collection.name in self.updated:
            return 0
        self.updated.add(into.collection.name)
        return fill(into, self.documents if documents is None else documents, quiet=self.quiet).embedded

    def updated_store(self, embedder: str) -> "Store":
        """Update the collection of the corpus to the documents and purge removed texts; returns its store."""
        from retrievers.indexing import index

        store = self.open_store(embedder)
        index(store, self.documents, quiet=self.quiet)
        return store


def config_class(stated: Mapping[Any, Any]) -> type[RetrieverConfig]:
    """The settings class for the ``kind`` of a mapping.

    A user's class is not imported here; it checks its arguments when it is made.

    Raises:
        PydanticCustomError: the kind is missing or unknown.
    """
    kind = stated.get("kind")
    if kind is None:
        raise PydanticCustomError("union_tag_not_found", "must be a mapping with a kind")
    if isinstance(kind, str) and kind in KINDS:
        found: Any = find_class(kind)
        return found.config_class  # type: ignore[no-any-return]
    if is_class_path(kind):
        return RetrieverClassConfig
    expected = f"{', '.join(map(repr, KINDS))} or package.module.Class"
    raise PydanticCustomError("union_tag_invalid", "{tag} is not a kind", {"tag": str(kind), "expected_tags": expected})


def find_class(kind: str) -> "type[BaseRetriever]":
    """The class of a kind, or the user's class ``package.module.Class``.

    Raises:
        UserError: it does not exist, cannot be imported, or is not a LangChain ``BaseRetriever``.
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
    """The retrievers ``names``; those they build on are made first, each once.

    The arguments are those of ``Context``.

    Raises:
        UserError: as ``make_retriever``; or retrievers build on each other in a cycle, or a filter needs metadata that
            no document has.
    """
    check_cycles(configs)
    made: dict[str, Retriever] = {}
    context = Context(documents, corpus, embedders, store, made, rewriter, quiet=quiet)

    def make(name: str) -> "Retriever":
        if name not in made:
            config = _named(configs, name, "retriever")
            for other in config.builds_on():
                make(other)
            made[name] = _build(config, context)
        return made[name]

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
    """The retriever of ``config`` over exactly ``documents``, to which the store is updated first.

    The arguments are those of ``Context``.

    Raises:
        UserError: an unknown embedder or retriever, a retriever of another class to build on, a model or class that
            cannot be loaded, a store that cannot be used, duplicate ids, or ``multi_query`` without a rewriter.
    """
    return _build(config, Context(documents, corpus, embedders, store, others or {}, rewriter, quiet=quiet))


def _build(config: RetrieverConfig, context: Context) -> "Retriever":
    found, config = _resolved(config)
    return found.build(config, context)


def update_indexes(configs: Iterable[RetrieverConfig], context: Context) -> int:
    """Update the stored data of the retrievers to the documents; returns the number of embedded passages and parts."""
    return sum(found.index(config, context) for found, config in map(_resolved, configs))


def identify(name: str, configs: Mapping[str, RetrieverConfig], context: Context) -> dict[str, Any]:
    """What determines a retriever's results besides question and passages: settings, models, what it builds on."""
    found, config = _resolved(configs[name])
    identity = found.identity(config, context)
    if others := config.builds_on():
        identity["builds_on"] = {other: identify(other, configs, context) for other in others}
    return identity


def kinds_of(configs: Mapping[str, RetrieverConfig], names: Iterable[str]) -> set[str]:
    """The kinds of the named retrievers and of all they build on."""
    chosen = [configs[name] for name in names]
    return {kind for one in chosen for kind in (one.kind, *kinds_of(configs, one.builds_on()))}


def check_cycles(configs: Mapping[str, RetrieverConfig]) -> None:
    """Raise ``UserError`` if retrievers build on each other in a cycle."""
    if cycle := find_cycle({name: config.builds_on() for name, config in configs.items()}):
        raise UserError(f"Retrievers build on each other in a circle: {' -> '.join(cycle)}.")


def _resolved(config: RetrieverConfig) -> "tuple[type[Retriever], RetrieverConfig]":
    """The class for these settings, and the settings as its settings class.

    Other LangChain classes are wrapped; for a ``Retriever`` of the user's, the settings are validated here.
    """
    from retrievers.base import Retriever
    from retrievers.kinds.langchain import LangChainRetriever

    found = find_class(config.kind)
    if not issubclass(found, Retriever):
        return LangChainRetriever, config
    if not isinstance(config, RetrieverClassConfig):
        return found, config
    try:
        return found, found.config_class.model_validate(config.model_dump())
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise UserError(f"A retriever of kind {config.kind}: {problems}.") from error


def _named(those: Mapping[str, Thing], name: str, kind: str) -> Thing:
    if name not in those:
        known = ", ".join(sorted(those)) or "none"
        raise UserError(f"There is no {kind} {name!r}; the settings name: {known}.")
    return those[name]
