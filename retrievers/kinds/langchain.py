"""Adapter for any LangChain retriever."""

import hashlib
import math
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, Self

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import PrivateAttr, ValidationError

from common.errors import UserError
from retrievers.base import Hit, Retriever
from retrievers.config import RetrieverClassConfig
from retrievers.document_ids import distinct, with_id
from retrievers.registry import find_class

if TYPE_CHECKING:
    from retrievers.registry import Context


class LangChainRetriever(Retriever):
    """Adapter of a LangChain ``BaseRetriever`` class that the settings name by ``kind: package.module.Class``.

    A class with a method ``from_documents``, such as LangChain's BM25Retriever, is built from the corpus, and any other
    class from its keyword arguments alone. The score is ``metadata["score"]`` if it is a finite number in every
    document, else 1 / rank. A document without an id gets a digest of its text as id.
    """

    _retriever: BaseRetriever | None = PrivateAttr()

    def __init__(self, retriever: BaseRetriever | None, top_k: int = 5) -> None:
        """Search with ``retriever``; None for an empty corpus."""
        super().__init__(top_k=top_k)
        self._retriever = retriever

    @classmethod
    def build(cls, config: RetrieverClassConfig, context: "Context") -> Self:
        retriever_class: Any = find_class(config.kind)
        arguments = config.arguments
        for name, find in (("retriever", context.retriever), ("embedder", context.embedder)):
            if isinstance(arguments.get(name), str):
                arguments[name] = find(arguments[name])
        if isinstance(arguments.get("retrievers"), Mapping):
            arguments["retrievers"] = {name: context.retriever(name) for name in arguments["retrievers"]}
        if "top_k" in retriever_class.model_fields:
            arguments["top_k"] = config.top_k
        try:
            if hasattr(retriever_class, "from_documents"):
                if not len(context.documents):
                    return cls(None, config.top_k)
                retriever = retriever_class.from_documents(list(distinct(context.documents)), **arguments)
            else:
                retriever = retriever_class(**arguments)
        except (ValidationError, TypeError, ValueError, ImportError) as error:
            raise UserError(f"A retriever of kind {config.kind} cannot be made from its settings: {error}") from error
        return cls(retriever, config.top_k)

    @classmethod
    def identity(cls, config: RetrieverClassConfig, context: "Context") -> dict[str, Any]:
        """See ``Retriever``; includes a digest of the class's source code if it can be read."""
        import inspect

        try:
            source = inspect.getsource(find_class(config.kind))
        except (OSError, TypeError):
            source = ""
        return {**super().identity(config, context), "source": hashlib.sha256(source.encode()).hexdigest()}

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:  # noqa: ARG002  (LangChain's batch has no k)
        results = self._retriever.batch(questions) if self._retriever is not None else [[] for _ in questions]
        return [_hits(documents) for documents in results]


def _hits(documents: list[Document]) -> list[Hit]:
    by_id: dict[str, Document] = {}
    for document in map(with_id, documents):
        by_id.setdefault(str(document.id), document)
    ranked = list(by_id.values())
    scores = [document.metadata.get("score") for document in ranked]
    if all(isinstance(score, Real) and not isinstance(score, bool) and math.isfinite(score) for score in scores):
        return [Hit(document, float(document.metadata["score"])) for document in ranked]
    return [Hit(document, 1 / rank) for rank, document in enumerate(ranked, start=1)]
