"""In a cross-encoder's place: the words that question and passage share among all of theirs."""

from collections.abc import Sequence

import numpy as np


class WordReranker:
    """Takes what ``retrievers.kinds.rerank.load_reranker`` takes; keeps the pairs that it was asked about."""

    fingerprint = "words"

    def __init__(self, *_: object) -> None:
        self.pairs: list[tuple[str, str]] = []

    def scores(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        self.pairs += pairs
        return np.array([self._share(*pair) for pair in pairs])

    @staticmethod
    def _share(question: str, passage: str) -> float:
        words = [{word.strip("?.,;").lower() for word in text.split()} for text in (question, passage)]
        return len(words[0] & words[1]) / max(1, len(words[0] | words[1]))
