import pytest
from fixed_retriever import FixedRetriever

from retrievers.kinds.hybrid import HybridConfig, HybridRetriever

LEFT = FixedRetriever({"a": 0.9, "b": 0.8, "c": 0.1})
RIGHT = FixedRetriever({"c": 30.0, "b": 25.0, "a": 1.0})


def ranked_ids(hybrid: HybridRetriever) -> list[str | None]:
    return [document.id for document in hybrid.search(["q"], 3)[0]]


@pytest.mark.parametrize("fusion", ["zscore", "minmax"])
def test_weights_determine_the_ranking_by_scores(fusion: str) -> None:
    def make_hybrid(left: float, right: float) -> HybridRetriever:
        config = HybridConfig.model_validate({"retrievers": {"left": left, "right": right}, "fusion": fusion})
        return HybridRetriever({"right": RIGHT, "left": LEFT, "unused": LEFT}, config)

    assert ranked_ids(make_hybrid(1, 1))[0] == "b"
    assert ranked_ids(make_hybrid(9, 1)) == ["a", "b", "c"]
    assert ranked_ids(make_hybrid(1, 9)) == ["c", "b", "a"]


def test_rrf_scores_by_rank() -> None:
    config = HybridConfig(retrievers={"left": 1, "right": 1.1}, fusion="rrf", k=1)
    hybrid = HybridRetriever({"left": LEFT, "right": RIGHT}, config)
    assert ranked_ids(hybrid) == ["c", "a", "b"]
    scores = [document.metadata["score"] for document in hybrid.search(["q"], 3)[0]]
    assert scores == pytest.approx([1 / 4 + 1.1 / 2, 1 / 2 + 1.1 / 4, 1 / 3 + 1.1 / 3])


def test_a_retriever_searches_once_for_all_questions_and_at_least_as_deep_as_candidates() -> None:
    inner = FixedRetriever({"a": 1.0})
    hybrid = HybridRetriever({"inner": inner}, HybridConfig(retrievers={"inner": 1}, candidates=7, top_k=2))
    hybrid.batch(["q", "r"])
    hybrid.search(["q"], 20)  # more than ``candidates``
    assert inner.calls == [(["q", "r"], 7), (["q"], 20)]
