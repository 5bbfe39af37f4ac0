"""LangChain retrievers of other packages as retrievers of this one."""

import math

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


def test_a_document_returned_twice_has_its_first_rank() -> None:
    first, second = Document(id="a", page_content="aspirin"), Document(id="b", page_content="metformin")
    hits = LangChainRetriever(ListedDocuments(documents=[first, second, first]), 5).search(["aspirin"], 5)[0]
    assert [(hit.id, hit.metadata["score"]) for hit in hits] == [("a", 1.0), ("b", 0.5)]


def test_scores_may_be_numpys_numbers() -> None:
    scores = {"a": np.float32(0.25), "b": np.float32(0.75)}
    documents = [Document(id=id, page_content=id, metadata={"score": score}) for id, score in scores.items()]
    hits = LangChainRetriever(ListedDocuments(documents=documents), 5).search(["aspirin"], 5)[0]
    assert [(hit.id, hit.metadata["score"]) for hit in hits] == [("b", 0.75), ("a", 0.25)]


@pytest.mark.parametrize("score", [math.nan, math.inf, np.float32("nan")])
def test_a_score_that_is_not_finite_leaves_the_order_of_the_retriever(score: float) -> None:
    scores = {"a": 0.25, "b": score, "c": 0.75}
    documents = [Document(id=id, page_content=id, metadata={"score": score}) for id, score in scores.items()]
    hits = LangChainRetriever(ListedDocuments(documents=documents), 5).search(["aspirin"], 5)[0]
    assert [(hit.id, hit.metadata["score"]) for hit in hits] == [("a", 1.0), ("b", 0.5), ("c", 1 / 3)]
