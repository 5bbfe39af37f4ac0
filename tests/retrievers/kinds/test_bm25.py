"""BM25: scores, words and long questions."""

import math

import pytest
from langchain_core.documents import Document

from retrievers.kinds.bm25 import BM25Config, BM25Retriever


def make_documents(*texts: str) -> list[Document]:
    return [Document(id=str(number), page_content=text) for number, text in enumerate(texts)]


def test_scores_follow_lucenes_formula() -> None:
    texts = ["stroke stroke aspirin", "aspirin", "vaccine pain site children"]
    config = BM25Config(k1=1.2, b=0.4)
    results = BM25Retriever(make_documents(*texts), config).search(["stroke"], 3)[0]
    # Kamphuis et al. 2020, "Lucene (accurate)": idf * tf / (tf + k1 * (1 - b + b * length / mean length))
    idf = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    expected = idf * 2 / (2 + 1.2 * (1 - 0.4 + 0.4 * 3 / (8 / 3)))
    assert [document.id for document in results] == ["0"]
    assert results[0].metadata["score"] == pytest.approx(expected, rel=1e-5)


def test_words_match_by_stem_and_stop_words_match_nothing() -> None:
    retriever = BM25Retriever(make_documents("The treated patients recovered.", "Vaccines and children."))
    assert [d.id for d in retriever.invoke("Treatment? RECOVERING patient")] == ["0"]
    assert retriever.invoke("the of and is") == []


def test_a_text_without_words_is_never_returned() -> None:
    retriever = BM25Retriever(make_documents("", "?", "aspirin"))
    assert [d.id for d in retriever.invoke("aspirin ?")] == ["2"]
    assert BM25Retriever(make_documents("", "?")).invoke("aspirin") == []


def test_a_long_text_is_searched_by_its_question_alone() -> None:
    letter = "The patient lives with her sister and walks to the ward each morning. " * 40
    question = "Does zinc shorten a cold?"
    retriever = BM25Retriever(
        [
            Document(id="ward", page_content="She walks to the ward."),
            Document(id="zinc", page_content="Zinc for colds."),
        ]
    )
    assert [document.id for document in retriever.search([letter + question], 2)[0]] == ["zinc"]
    assert retriever.search_text(letter + question) == question
    assert retriever.search_text(letter) == letter
    assert retriever.search_text(question) == question


def test_retrievers_over_documents_can_be_compared() -> None:
    documents = [Document("zinc", id="a"), Document("iron", id="b")]
    retriever = BM25Retriever(documents)
    assert retriever == retriever
    assert retriever != BM25Retriever(documents)
