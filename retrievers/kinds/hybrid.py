"""Hybrid retrieval: fusion of several retrievers."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from retrievers.base import Hit, Retriever
from retrievers.config import Count, RetrieverConfig
from retrievers.kinds.fusion import Fusion, weighted_scores

if TYPE_CHECKING:
    from retrievers.registry import Context


class HybridConfig(RetrieverConfig):
    """Fusion of the results of several retrievers."""

    kind: Literal["hybrid"] = "hybrid"
    retrievers: Mapping[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = Field(
        min_length=1, description="Weights by retriever name."
    )
    fusion: Fusion = Field(
        default="zscore",
        description=(
            "How the results are combined. zscore, minmax: weighted sum of the scores, normalized among "
            "the candidates of a question; rrf: reciprocal rank fusion."
        ),
    )
    k: float = Field(
        default=60,
        ge=0,
        allow_inf_nan=False,
        description="Constant of rrf: the higher, the smaller the differences between ranks.",
    )
    candidates: Count = Field(default=100, description="Minimum number of passages from each retriever.")


class HybridRetriever(Retriever):
    """Fuses the results of other retrievers (``retrievers.kinds.fusion``); a document's score is the fused score."""

    config_class: ClassVar[type[RetrieverConfig]] = HybridConfig

    _config: HybridConfig = PrivateAttr()

    def __init__(self, retrievers: Mapping[str, Retriever], config: HybridConfig) -> None:
        super().__init__(top_k=config.top_k)
        self._builds_on = [retrievers[name] for name in config.retrievers]
        self._config = config

    @classmethod
    def build(cls, config: HybridConfig, context: "Context") -> Self:
        return cls({name: context.retriever(name) for name in config.retrievers}, config)

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        depth = max(k, self._config.candidates)
        weights = list(self._config.retrievers.values())
        searches = [retriever.search(questions, depth) for retriever in self._builds_on]
        return [
            weighted_scores(results, weights, depth, self._config.fusion, self._config.k)
            for results in zip(*searches, strict=True)
        ]
