"""A reranker for tests that stands in for a cross-encoder."""

from collections.abc import Sequence

import numpy as np


class WordReranker:
    """Scores pairs of question and passage by the Jaccard index of their words; ``pairs`` records them.

    The constructor accepts the arguments of ``retrievers.kinds.rerank.load_reranker``, which it replaces.
    """

    fingerprint = "words"

    def __init__(self, *_: object) -> None:
        self.pairs: list[tuple[str, str]] = []

    def scores(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        self.pairs += pairs
        return np.array([_jaccard_index(*pair) for pair in pairs])


def _jaccard_index(question: str, passage: str) -> float:
    question_words, passage_words = (
        {word.strip("?.,;").lower() for word in text.split()} for text in (question, passage)
    )
    return len(question_words & passage_words) / max(1, len(question_words | passage_words))
