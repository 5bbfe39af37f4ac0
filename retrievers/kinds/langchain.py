"""Adapter for any LangChain retriever."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import PrivateAttr, ValidationError

from common.errors import UserError
from retrievers.base import Hit, Retriever
from retrievers.config import RetrieverClassConfig
from retrievers.document_ids import identified, with_id
from retrievers.registry import find_class

if TYPE_CHECKING:
    from retrievers.registry import Context


class LangChainRetriever(Retriever):
    """A LangChain ``BaseRetriever`` of the user's, found by ``kind: package.module.Class``.

    A class with ``from_documents``, such as LangChain's lexical retrievers, is built from the corpus; any other from
    its keyword arguments alone. The score is the number in ``metadata["score"]`` if every document has one, else 1 /
    rank. A document without an id gets a digest of its text.
    """

    _retriever: BaseRetriever = PrivateAttr()

    def __init__(self, retriever: BaseRetriever, top_k: int = 5) -> None:
        super().__init__(top_k=top_k)
        self._retriever = retriever

    @classmethod
    def build(cls, config: RetrieverClassConfig, context: "Context") -> Self:
        found: Any = find_class(config.kind)
        arguments = config.arguments
        if isinstance(arguments.get("retriever"), str):
            arguments["retriever"] = context.other(arguments["retriever"])
        if isinstance(arguments.get("retrievers"), Mapping):
            arguments["retrievers"] = {name: context.other(name) for name in arguments["retrievers"]}
        if isinstance(arguments.get("embedder"), str):
            arguments["embedder"] = context.embedder(arguments["embedder"])
        if "top_k" in found.model_fields:
            arguments["top_k"] = config.top_k
        try:
            if hasattr(found, "from_documents"):
                if not len(context.documents):
                    return cls(_Nothing(), config.top_k)
                made = found.from_documents(identified(context.documents), **arguments)
            else:
                made = found(**arguments)
        except (ValidationError, TypeError, ValueError, ImportError) as error:
            raise UserError(f"A retriever of kind {config.kind} cannot be made from its settings: {error}") from error
        return cls(made, config.top_k)

    @classmethod
    def identity(cls, config: RetrieverClassConfig, context: "Context") -> dict[str, Any]:
        """See ``Retriever``; includes the class's source if it can be read."""
        import inspect

        try:
            source = inspect.getsource(find_class(config.kind))
        except (OSError, TypeError):
            source = ""
        return {**super().identity(config, context), "source": hashlib.sha256(source.encode()).hexdigest()}

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:  # noqa: ARG002  (the class decides how many)
        return [_hits(found) for found in self._retriever.batch(questions)]


class _Nothing(BaseRetriever):
    """The retriever of an empty corpus."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:  # noqa: ARG002
        return []


def _hits(found: list[Document]) -> list[Hit]:
    each = {str(one.id): one for one in reversed([with_id(one) for one in found])}
    ranked = list(reversed(each.values()))
    scores = [one.metadata.get("score") for one in ranked]
    if all(isinstance(score, int | float) and not isinstance(score, bool) for score in scores):
        return [Hit(one, float(one.metadata["score"])) for one in ranked]
    return [Hit(one, 1 / rank) for rank, one in enumerate(ranked, start=1)]
