"""Multi-query retrieval: searches with several wordings of the question."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypedDict

from langchain_core.runnables import Runnable
from pydantic import Field, PrivateAttr

from common.errors import UserError
from retrievers.base import Hit, Retriever, WrappingRetriever, encodable
from retrievers.config import Count, RetrieverConfig, WrappingConfig
from retrievers.kinds.fusion import reciprocal_ranks

if TYPE_CHECKING:
    from retrievers.registry import Context


class RewriteRequest(TypedDict):
    """A question and the number of other wordings to write."""

    question: str
    count: int


Rewriter = Runnable[RewriteRequest, list[str]]
"""A runnable that writes other wordings of a question, at most ``count``."""


class MultiQueryConfig(WrappingConfig):
    """Search with several wordings of the question, which the language model of section ``llm`` writes."""

    kind: Literal["multi_query"] = "multi_query"
    retriever: str = Field(description="Name of the retriever that searches.")
    rewrites: Count = Field(default=3, description="Number of other wordings.")
    k: float = Field(
        default=60,
        ge=0,
        allow_inf_nan=False,
        description="Constant of the reciprocal rank fusion that combines the results.",
    )
    candidates: Count = Field(default=50, description="Minimum number of passages for each wording.")


class MultiQueryRetriever(WrappingRetriever):
    """Searches with an inner retriever for a question and for rewrites of the question.

    All wordings of all questions are searched for in one batch. The results of a question's wordings are combined by
    reciprocal rank fusion with equal weights. (LangChain's MultiQueryRetriever does not rank its results and takes one
    question at a time.)
    """

    config_class: ClassVar[type[RetrieverConfig]] = MultiQueryConfig

    _rewriter: Rewriter = PrivateAttr()

    def __init__(self, retriever: Retriever, rewriter: Rewriter, config: MultiQueryConfig) -> None:
        super().__init__(retriever, config)
        self._rewriter = rewriter

    @classmethod
    def build(cls, config: MultiQueryConfig, context: "Context") -> Self:
        if context.rewriter is None:
            raise UserError(
                "A retriever of kind multi_query needs a language model to rewrite questions. Set section llm."
            )
        return cls(context.retriever(config.retriever), context.rewriter, config)

    @classmethod
    def identity(cls, config: MultiQueryConfig, context: "Context") -> dict[str, Any]:
        return {**super().identity(config, context), "llm": context.rewriter_identity}

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        depth = max(k, self._config.candidates)
        requests = [RewriteRequest(question=question, count=self._config.rewrites) for question in questions]
        wordings = [
            _wordings(question, rewrites[: self._config.rewrites])
            for question, rewrites in zip(questions, self._rewriter.batch(requests), strict=True)
        ]
        results = iter(self._retriever.search([text for texts in wordings for text in texts], depth))
        return [
            reciprocal_ranks([next(results) for _ in texts], [1.0] * len(texts), self._config.k) for texts in wordings
        ]


def _wordings(question: str, rewrites: list[str]) -> list[str]:
    """The question and its distinct rewrites that contain a letter or digit."""
    texts = [encodable(text).strip() for text in rewrites]
    return list(dict.fromkeys([question, *(text for text in texts if any(map(str.isalnum, text)))]))
