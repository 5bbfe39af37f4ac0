"""Adapter of LangChain retrievers: ranks, scores and duplicates."""

import math
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from retrievers.kinds.langchain import LangChainRetriever


class ListedDocuments(BaseRetriever):
    """Returns the same documents for every question."""

    documents: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
        return self.documents


def search(documents: list[Document]) -> list[tuple[str | None, float]]:
    """Ids and scores of the results, if LangChain's retriever returns these documents."""
    results = LangChainRetriever(ListedDocuments(documents=documents)).search(["aspirin"], 5)[0]
    return [(document.id, document.metadata["score"]) for document in results]


def scored_documents(**scores: Any) -> list[Document]:
    return [Document(id=id, page_content=id, metadata={"score": score}) for id, score in scores.items()]


def test_a_document_that_is_returned_twice_keeps_its_first_rank() -> None:
    first, second = Document(id="a", page_content="aspirin"), Document(id="b", page_content="metformin")
    assert search([first, second, first]) == [("a", 1.0), ("b", 0.5)]


def test_numpy_numbers_are_accepted_as_scores() -> None:
    documents = scored_documents(a=np.float32(0.25), b=np.float32(0.75))
    assert search(documents) == [("b", 0.75), ("a", 0.25)]


@pytest.mark.parametrize("score", [math.nan, math.inf, np.float32("nan")])
def test_all_scores_are_inverse_ranks_if_a_score_is_not_finite(score: float) -> None:
    assert search(scored_documents(a=0.25, b=score, c=0.75)) == [("a", 1.0), ("b", 0.5), ("c", 1 / 3)]
