"""Finds: embedders, the vector store, dense and lexical search."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, assert_never

from corpus.errors import UserError
from retrievers.config import BM25Config, DenseConfig, EmbedderConfig, RetrieverConfig, StoreConfig

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings

    from retrievers.base import Retriever

__all__ = ["make_retriever"]


def make_retriever(
    config: RetrieverConfig,
    documents: "Sequence[Document]",
    *,
    corpus: str,
    embedders: "Mapping[str, EmbedderConfig | Embeddings]",
    store: StoreConfig,
    quiet: bool = False,
) -> "Retriever":
    """The retriever that ``config`` describes, over exactly ``documents``.

    Args:
        config: its kind and settings.
        documents: the corpus; what the store lacks of it is embedded now, what else it holds of it is removed.
        corpus: the corpus's name, part of the stored collection's.
        embedders: by name, as settings or as LangChain ``Embeddings`` of the caller's own.
        store: where vectors are kept.
        quiet: no progress bar.

    Raises:
        UserError: an unknown embedder, a model that cannot be had, a store that cannot be used, ids that clash.
    """
    match config:
        case DenseConfig():
            from retrievers.dense import DenseRetriever
            from retrievers.embedders import make_embedder
            from retrievers.indexing import index
            from retrievers.store import open_store

            chosen = embedders.get(config.embedder)
            if chosen is None:
                known = ", ".join(sorted(embedders)) or "none"
                raise UserError(f"There is no embedder {config.embedder!r}; the settings name: {known}.")
            embedder = make_embedder(chosen) if isinstance(chosen, EmbedderConfig) else chosen
            opened = open_store(store, corpus, embedder)
            index(opened, documents, quiet=quiet)
            return DenseRetriever(opened, top_k=config.top_k)
        case BM25Config():
            from retrievers.bm25 import BM25Retriever

            return BM25Retriever(documents, config)
        case _:
            assert_never(config)
