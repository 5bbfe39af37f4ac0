import pytest
from langchain_core.documents import Document

from retrievers.base import Hit
from retrievers.kinds.fusion import reciprocal_ranks, weighted_scores


def found(**scores: float) -> list[Document]:
    return [Document(id=id, page_content=f"text {id}", metadata={"score": score}) for id, score in scores.items()]


def shown(hits: list[Hit]) -> dict[str, float]:
    return {str(hit.document.id): hit.score for hit in hits}


def test_reciprocal_ranks_as_their_makers_have_them() -> None:
    hits = shown(reciprocal_ranks([found(a=9, b=8), found(b=0.2, c=0.1)], [1, 2], 60))
    assert hits == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 2 / 61, "c": 2 / 62})


def test_zscores_of_what_both_have_found() -> None:
    # 3, 2, 1 have mean 2 and deviation sqrt(2/3); 10, 20, 60 have mean 30 and deviation sqrt(1400/3).
    hits = shown(weighted_scores([found(a=3, b=2, c=1), found(c=60, b=20, a=10)], [0.5, 2], 3, "zscore"))
    first, second = (2 / 3) ** 0.5, (1400 / 3) ** 0.5
    assert hits == pytest.approx({"a": 0.5 / first - 40 / second, "b": -20 / second, "c": 60 / second - 0.5 / first})


def test_minmax_lies_between_nought_and_the_sum_of_weights() -> None:
    hits = shown(weighted_scores([found(a=3, b=2, c=1), found(a=60, b=20, c=10)], [0.25, 0.5], 3, "minmax"))
    assert hits == pytest.approx({"a": 0.75, "b": 0.125 + 0.1, "c": 0})


def test_what_one_did_not_reach_counts_there_like_its_last() -> None:
    hits = shown(weighted_scores([found(a=0.9, b=0.5), found(b=0.9, c=0.5)], [1, 1], 2, "minmax"))
    assert hits == pytest.approx({"a": 1.0, "b": 1.0, "c": 0.0})


def test_what_an_exhausted_retriever_does_not_know_counts_as_nothing() -> None:
    """A search by words that finds one document says all there is to say against the others."""
    hits = shown(weighted_scores([found(a=0.4, b=0.3, c=0.2), found(b=7.0)], [1, 1], 3, "minmax"))
    assert hits == pytest.approx({"a": 1.0, "b": 1.5, "c": 0.0})
    below = shown(weighted_scores([found(a=1, b=0, c=-1), found(b=-1.0, c=-2.0)], [0.1, 1], 3, "minmax"))
    assert below["a"] == pytest.approx(0.1)


@pytest.mark.parametrize("fusion", ["zscore", "minmax"])
def test_equal_scores_and_empty_lists_decide_nothing(fusion: str) -> None:
    alone = [found(a=3, b=2, c=1)]
    want = shown(weighted_scores(alone, [1], 3, fusion))  # type: ignore[arg-type]
    for other in (found(a=5, b=5, c=5), []):
        assert shown(weighted_scores([*alone, other], [1, 9], 3, fusion)) == pytest.approx(want)  # type: ignore[arg-type]
    assert weighted_scores([[], []], [1, 1], 3, fusion) == []  # type: ignore[arg-type]


def test_rrf_by_name() -> None:
    lists = [found(a=9, b=8), found(b=2)]
    assert weighted_scores(lists, [1, 3], 2, "rrf", 10) == reciprocal_ranks(lists, [1, 3], 10)
