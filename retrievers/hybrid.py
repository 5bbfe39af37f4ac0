"""Several retrievers as one."""

from collections.abc import Mapping

from pydantic import PrivateAttr

from retrievers.base import Hit, Retriever
from retrievers.config import HybridConfig
from retrievers.fusion import weighted_scores


class HybridRetriever(Retriever):
    """What other retrievers find, fused as ``retrievers.fusion`` does it; the score is the weighted sum."""

    _retrievers: list[Retriever] = PrivateAttr()
    _config: HybridConfig = PrivateAttr()

    def __init__(self, retrievers: Mapping[str, Retriever], config: HybridConfig) -> None:
        """Fuse those of ``retrievers`` that ``config.retrievers`` names."""
        super().__init__(top_k=config.top_k)
        self._retrievers = [retrievers[name] for name in config.retrievers]
        self._config = config

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        depth = max(k, self._config.candidates)
        weights = list(self._config.retrievers.values())
        searches = [retriever.search(questions, depth) for retriever in self._retrievers]
        return [
            weighted_scores(found, weights, depth, self._config.fusion, self._config.k)
            for found in zip(*searches, strict=True)
        ]
