"""Finds: embedders, the vector store, and retrievers of many kinds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, assert_never

from common.errors import UserError
from retrievers.config import (
    BM25Config,
    DenseConfig,
    EmbedderConfig,
    FilterConfig,
    HybridConfig,
    MMRConfig,
    MultiQueryConfig,
    ParentConfig,
    PubMedConfig,
    RerankConfig,
    RetrieverConfig,
    StoreConfig,
    find_cycle,
    referred,
)

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings

    from retrievers.base import Retriever
    from retrievers.multi_query import Rewriter
    from retrievers.store import Store

__all__ = ["make_retriever", "make_retrievers"]

Thing = TypeVar("Thing")


def make_retrievers(
    configs: Mapping[str, RetrieverConfig],
    names: Iterable[str],
    documents: "Sequence[Document]",
    *,
    corpus: str,
    embedders: "Mapping[str, EmbedderConfig | Embeddings]",
    store: StoreConfig,
    rewriter: "Rewriter | None" = None,
    quiet: bool = False,
) -> "dict[str, Retriever]":
    """The retrievers called ``names``, with those that they build on made first; each is made once.

    The other arguments are those of ``make_retriever``.

    Raises:
        UserError: as ``make_retriever``; or retrievers build on each other in a circle, or a filter looks at metadata
            that none of the documents has.
    """
    if cycle := find_cycle({name: referred(config) for name, config in configs.items()}):
        raise UserError(f"Retrievers build on each other in a circle: {' -> '.join(cycle)}.")
    made: dict[str, Retriever] = {}

    def is_online(name: str) -> bool:
        config = _named(configs, name, "retriever")
        return isinstance(config, PubMedConfig) or any(map(is_online, referred(config)))

    def make(name: str) -> "Retriever":
        if name not in made:
            config = _named(configs, name, "retriever")
            if isinstance(config, FilterConfig) and not is_online(name):
                from retrievers.filtered import check_fields

                check_fields(documents, config)
            made[name] = make_retriever(
                config,
                documents,
                corpus=corpus,
                embedders=embedders,
                store=store,
                others={other: make(other) for other in referred(config)},
                rewriter=rewriter,
                quiet=quiet,
            )
        return made[name]

    return {name: make(name) for name in names}


def make_retriever(
    config: RetrieverConfig,
    documents: "Sequence[Document]",
    *,
    corpus: str,
    embedders: "Mapping[str, EmbedderConfig | Embeddings]",
    store: StoreConfig,
    others: "Mapping[str, Retriever] | None" = None,
    rewriter: "Rewriter | None" = None,
    quiet: bool = False,
) -> "Retriever":
    """The retriever that ``config`` describes, over exactly ``documents``.

    Args:
        config: its kind and settings.
        documents: the corpus; what the store lacks of it is embedded now, what else it holds of it is removed.
        corpus: the corpus's name, part of the stored collection's.
        embedders: by name, as settings or as LangChain ``Embeddings`` of the caller's own.
        store: where vectors are kept.
        others: by name, the retrievers that this one builds on, over the same documents.
        rewriter: finds other wordings of a question, for kind ``multi_query``.
        quiet: no progress bar.

    Raises:
        UserError: an unknown embedder or retriever, one that is none of ours to build on, a model that cannot be had, a
            store that cannot be used, ids that clash, or ``multi_query`` without a rewriter.
    """
    others = others or {}
    _check_others(others)

    def opened(embedder: str, name: str = corpus) -> "Store":
        from retrievers.embedders import make_embedder
        from retrievers.store import open_store

        chosen = _named(embedders, embedder, "embedder")
        _check_embedder(embedder, chosen)
        return open_store(store, name, make_embedder(chosen, store) if isinstance(chosen, EmbedderConfig) else chosen)

    def filled(embedder: str) -> "Store":
        from retrievers.indexing import index

        into = opened(embedder)
        index(into, documents, quiet=quiet)
        return into

    match config:
        case DenseConfig():
            from retrievers.dense import DenseRetriever

            return DenseRetriever(filled(config.embedder), top_k=config.top_k)
        case BM25Config():
            from retrievers.bm25 import BM25Retriever

            return BM25Retriever(documents, config)
        case ParentConfig():
            from retrievers.parent import ParentRetriever, parts_name

            into = opened(config.embedder, parts_name(corpus, config.parts))
            return ParentRetriever(into, documents, config, quiet=quiet)
        case HybridConfig():
            from retrievers.hybrid import HybridRetriever

            return HybridRetriever({name: _named(others, name, "retriever") for name in config.retrievers}, config)
        case MMRConfig():
            from retrievers.mmr import MMRRetriever

            return MMRRetriever(_named(others, config.retriever, "retriever"), filled(config.embedder), config)
        case MultiQueryConfig():
            from retrievers.multi_query import MultiQueryRetriever

            if rewriter is None:
                raise UserError(
                    "A retriever of kind multi_query needs a language model that rewrites questions, and none is given."
                )
            return MultiQueryRetriever(_named(others, config.retriever, "retriever"), rewriter, config)
        case RerankConfig():
            from retrievers.rerank import RerankRetriever, load_reranker

            reranker = load_reranker(config.model, config.dtype, config.against)
            return RerankRetriever(_named(others, config.retriever, "retriever"), reranker, config)
        case FilterConfig():
            from retrievers.filtered import FilteredRetriever

            return FilteredRetriever(_named(others, config.retriever, "retriever"), config)
        case PubMedConfig():
            from retrievers.pubmed import PubMedRetriever

            return PubMedRetriever(config)
        case _:
            assert_never(config)


def _named(those: Mapping[str, Thing], name: str, kind: str) -> Thing:
    if name not in those:
        known = ", ".join(sorted(those)) or "none"
        raise UserError(f"There is no {kind} {name!r}; the settings name: {known}.")
    return those[name]


def _check_others(others: Mapping[str, object]) -> None:
    from retrievers.base import Retriever

    for name, other in others.items():
        if not isinstance(other, Retriever):
            raise UserError(
                f"Retriever {name!r} is a {type(other).__name__}; a retriever builds on those that make_retriever "
                "makes, or on a retrievers.base.Retriever of your own, which gives scored documents by its _search."
            )


def _check_embedder(name: str, embedder: object) -> None:
    from langchain_core.embeddings import Embeddings

    if not isinstance(embedder, EmbedderConfig | Embeddings):
        given = f"the class {embedder.__name__}" if isinstance(embedder, type) else f"a {type(embedder).__name__}"
        raise UserError(f"Embedder {name!r} must be an EmbedderConfig or a LangChain Embeddings object; it is {given}.")
