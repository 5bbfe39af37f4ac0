"""BM25: the formula, the words, ties."""

import math

import pytest
from langchain_core.documents import Document

from retrievers.kinds.bm25 import BM25Config, BM25Retriever


def documents(*texts: str) -> list[Document]:
    return [Document(id=str(i), page_content=text) for i, text in enumerate(texts)]


def test_scores_are_lucenes() -> None:
    texts = ["stroke stroke aspirin", "aspirin", "vaccine pain site children"]
    config = BM25Config(k1=1.2, b=0.75)
    found = BM25Retriever(documents(*texts), config).search(["stroke"], 3)[0]
    # Kamphuis et al. 2020, "Lucene (accurate)": idf * tf / (tf + k1 * (1 - b + b * length / mean length))
    idf = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    expected = idf * 2 / (2 + 1.2 * (1 - 0.75 + 0.75 * 3 / (8 / 3)))
    assert [document.id for document in found] == ["0"]
    assert found[0].metadata["score"] == pytest.approx(expected, rel=1e-5)


def test_stems_case_and_stop_words() -> None:
    retriever = BM25Retriever(documents("The treated patients recovered.", "Vaccines and children."))
    assert [d.id for d in retriever.invoke("Treatment? RECOVERING patient")] == ["0"]
    assert retriever.invoke("the of and is") == []


def test_a_text_without_words_is_never_found() -> None:
    retriever = BM25Retriever(documents("", "?", "aspirin"))
    assert [d.id for d in retriever.invoke("aspirin ?")] == ["2"]
    assert BM25Retriever(documents("", "?")).invoke("aspirin") == []


def test_all_that_tie_are_told_apart_by_id() -> None:
    retriever = BM25Retriever([Document(id=f"{i:03}", page_content="aspirin") for i in reversed(range(200))])
    assert [d.id for d in retriever.search(["aspirin"], 4)[0]] == ["000", "001", "002", "003"]


def test_the_settings_are_used() -> None:
    texts = documents("stroke " + "pain " * 30, "stroke", "vaccine")
    plain = BM25Retriever(texts, BM25Config(b=0.0)).search(["stroke"], 2)[0]
    assert plain[0].metadata["score"] == pytest.approx(plain[1].metadata["score"])
    by_length = BM25Retriever(texts, BM25Config(b=1.0)).search(["stroke"], 2)[0]
    assert by_length[0].id == "1"
    assert by_length[0].metadata["score"] > 2 * by_length[1].metadata["score"]


def test_of_a_long_text_its_question_is_searched_for() -> None:
    letter = "The patient lives with her sister and walks to the ward each morning. " * 40
    asked = "Does zinc shorten a cold?"
    retriever = BM25Retriever(
        [
            Document(id="ward", page_content="She walks to the ward."),
            Document(id="zinc", page_content="Zinc for colds."),
        ]
    )
    assert [one.id for one in retriever.search([letter + asked], 2)[0]] == ["zinc"]
    assert retriever.search_text(letter + asked) == asked
    assert retriever.search_text(letter) == letter
    assert retriever.search_text(asked) == asked
