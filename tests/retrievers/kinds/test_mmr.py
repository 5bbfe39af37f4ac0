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


def make(store: Path, relevance: float, candidates: int = 50) -> MMRRetriever:
    made = make_retrievers(
        {
            "words": BM25Config(),
            "mmr": MMRConfig(retriever="words", embedder="own", relevance=relevance, candidates=candidates),
        },
        ["mmr"],
        DOCUMENTS,
        corpus="three",
        embedders={"own": WordEmbedder()},
        store=StoreConfig(path=str(store)),
        quiet=True,
    )["mmr"]
    assert isinstance(made, MMRRetriever)
    return made


def test_a_near_copy_gives_way_to_something_new(tmp_path: Path) -> None:
    question = "aspirin lowered the risk of stroke in adults"
    near = [one.id for one in make(tmp_path, 1.0).search([question], 3)[0]]
    apart = [one.id for one in make(tmp_path, 0.3).search([question], 3)[0]]
    assert near == ["a", "b", "c"]
    assert apart == ["a", "c", "b"]


def test_it_chooses_among_the_first_candidates_only(tmp_path: Path) -> None:
    question = "aspirin lowered the risk of stroke in adults"
    assert {one.id for one in make(tmp_path, 0.0, candidates=2).search([question], 2)[0]} == {"a", "b"}


def test_scores_are_marginal_relevance() -> None:
    near = np.array([0.9, 0.8, 0.3])
    alike = np.array([[1.0, 0.95, 0.1], [0.95, 1.0, -0.2], [0.1, -0.2, 1.0]])
    assert _choose(near, alike, 0.5, 3) == [
        (0, pytest.approx(0.45)),
        (2, pytest.approx(0.15 - 0.05)),
        (1, pytest.approx(0.4 - 0.475)),
    ]


def test_scores_never_rise_even_where_texts_are_opposites() -> None:
    near = np.array([0.5, 0.45])
    alike = np.array([[1.0, -0.9], [-0.9, 1.0]])
    scores = [score for _, score in _choose(near, alike, 0.2, 2)]
    assert scores == sorted(scores, reverse=True)


def test_a_candidate_that_the_store_lacks_is_embedded(tmp_path: Path) -> None:
    mmr = make(tmp_path, 1.0)
    mmr._retriever = FixedRetriever({"c": 2.0, "online": 3.0})
    for question, best in (("text online", "online"), (TEXTS["c"], "c")):
        found = mmr.search(["other", question], 3)[1]
        assert [one.id for one in found] == sorted(["c", "online"], key=lambda id: id != best)
        assert found[0].metadata["score"] == pytest.approx(1, abs=1e-4)
    mmr._retriever = FixedRetriever({})
    assert mmr.search(["q"], 3) == [[]]
