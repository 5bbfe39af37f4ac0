import pytest
from fixed_retriever import FixedRetriever

from retrievers.kinds.hybrid import HybridConfig, HybridRetriever

LEFT = FixedRetriever({"a": 0.9, "b": 0.8, "c": 0.1})
RIGHT = FixedRetriever({"c": 30.0, "b": 25.0, "a": 1.0})


def order(hybrid: HybridRetriever, k: int = 3) -> list[str | None]:
    return [document.id for document in hybrid.search(["q"], k)[0]]


@pytest.mark.parametrize("fusion", ["zscore", "minmax"])
def test_what_both_like_comes_first_and_weights_decide_the_rest(fusion: str) -> None:
    def make(left: float, right: float) -> HybridRetriever:
        config = HybridConfig.model_validate({"retrievers": {"left": left, "right": right}, "fusion": fusion})
        return HybridRetriever({"right": RIGHT, "left": LEFT, "other": LEFT}, config)

    assert order(make(1, 1))[0] == "b"
    assert order(make(9, 1)) == ["a", "b", "c"]
    assert order(make(1, 9)) == ["c", "b", "a"]


def test_ranks_alone_decide_under_rrf() -> None:
    config = HybridConfig(retrievers={"left": 1, "right": 1.1}, fusion="rrf", k=1)
    hybrid = HybridRetriever({"left": LEFT, "right": RIGHT}, config)
    assert order(hybrid) == ["c", "a", "b"]
    scores = [document.metadata["score"] for document in hybrid.search(["q"], 3)[0]]
    assert scores == pytest.approx([1 / 4 + 1.1 / 2, 1 / 2 + 1.1 / 4, 1 / 3 + 1.1 / 3])


def test_each_is_asked_once_for_all_questions_and_deep_enough() -> None:
    one = FixedRetriever({"a": 1.0})
    hybrid = HybridRetriever({"one": one}, HybridConfig(retrievers={"one": 1}, candidates=7, top_k=2))
    hybrid.batch(["q", "r"])
    hybrid.search(["q"], 20)
    assert one.calls == [(["q", "r"], 7), (["q"], 20)]
