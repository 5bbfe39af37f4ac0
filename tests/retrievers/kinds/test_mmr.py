from pathlib import Path

import numpy as np
import pytest
from embedders import WordEmbedder
from fixed_retriever import FixedRetriever
from langchain_core.documents import Document

from retrievers import make_retrievers
from retrievers.config import StoreConfig
from retrievers.kinds.bm25 import BM25Config
from retrievers.kinds.mmr import MMRConfig, MMRRetriever, _choose

TEXTS = {
    "a": "aspirin lowered the risk of stroke in adults",
    "b": "aspirin lowered the risk of stroke in all adults",
    "c": "aspirin and bleeding in the stomach",
}
DOCUMENTS = [Document(id=id, page_content=text) for id, text in TEXTS.items()]


def make_mmr(store: Path, relevance: float, candidates: int = 50) -> MMRRetriever:
    retriever = make_retrievers(
        {
            "bm25": BM25Config(),
            "mmr": MMRConfig(retriever="bm25", embedder="words", relevance=relevance, candidates=candidates),
        },
        ["mmr"],
        DOCUMENTS,
        corpus="three",
        embedders={"words": WordEmbedder()},
        store=StoreConfig(path=str(store)),
        quiet=True,
    )["mmr"]
    assert isinstance(retriever, MMRRetriever)
    return retriever


@pytest.mark.parametrize(("relevance", "expected"), [(1.0, ["a", "b", "c"]), (0.3, ["a", "c", "b"])])
def test_low_relevance_ranks_a_near_copy_last(tmp_path: Path, relevance: float, expected: list[str]) -> None:
    results = make_mmr(tmp_path, relevance).search([TEXTS["a"]], 3)[0]
    assert [document.id for document in results] == expected


def test_documents_are_chosen_among_the_first_candidates_only(tmp_path: Path) -> None:
    results = make_mmr(tmp_path, 0.0, candidates=2).search([TEXTS["a"]], 2)[0]
    assert {document.id for document in results} == {"a", "b"}


def test_scores_are_maximal_marginal_relevance() -> None:
    to_question = np.array([0.9, 0.8, 0.3])
    to_each_other = np.array([[1.0, 0.95, 0.1], [0.95, 1.0, -0.2], [0.1, -0.2, 1.0]])
    assert _choose(to_question, to_each_other, 0.5, 3) == [
        (0, pytest.approx(0.45)),
        (2, pytest.approx(0.15 - 0.05)),
        (1, pytest.approx(0.4 - 0.475)),
    ]


def test_scores_never_rise_even_with_negative_cosines() -> None:
    to_question = np.array([0.5, 0.45])
    to_each_other = np.array([[1.0, -0.9], [-0.9, 1.0]])
    scores = [score for _, score in _choose(to_question, to_each_other, 0.2, 2)]
    assert scores == sorted(scores, reverse=True)


def test_a_candidate_missing_in_the_store_is_embedded(tmp_path: Path) -> None:
    mmr = make_mmr(tmp_path, 1.0)
    mmr._retriever = FixedRetriever({"c": 2.0, "online": 3.0})  # the text of "online" is "text online"
    for question, ids in (("text online", ["online", "c"]), (TEXTS["c"], ["c", "online"])):
        results = mmr.search(["other", question], 3)[1]
        assert [document.id for document in results] == ids
        assert results[0].metadata["score"] == pytest.approx(1, abs=1e-4)
