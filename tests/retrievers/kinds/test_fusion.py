import pytest
from langchain_core.documents import Document

from retrievers.base import Hit
from retrievers.kinds.fusion import Fusion, reciprocal_ranks, weighted_scores


def results(**scores: float) -> list[Document]:
    return [Document(id=id, page_content=f"text {id}", metadata={"score": score}) for id, score in scores.items()]


def by_id(hits: list[Hit]) -> dict[str, float]:
    return {str(hit.document.id): hit.score for hit in hits}


def test_reciprocal_ranks_sums_weight_over_k_plus_rank() -> None:
    hits = reciprocal_ranks([results(a=9, b=8), results(b=0.2, c=0.1)], [1, 2], 60)
    assert by_id(hits) == pytest.approx({"a": 1 / 61, "b": 1 / 62 + 2 / 61, "c": 2 / 62})


def test_zscore_sums_weighted_standard_scores() -> None:
    # 3, 2, 1 have mean 2 and deviation sqrt(2/3); 10, 20, 60 have mean 30 and deviation sqrt(1400/3).
    hits = weighted_scores([results(a=3, b=2, c=1), results(c=60, b=20, a=10)], [0.5, 2], 3, "zscore")
    first, second = (2 / 3) ** 0.5, (1400 / 3) ** 0.5
    expected = {"a": 0.5 / first - 40 / second, "b": -20 / second, "c": 60 / second - 0.5 / first}
    assert by_id(hits) == pytest.approx(expected)


def test_minmax_sums_weighted_scores_scaled_to_0_to_1() -> None:
    hits = weighted_scores([results(a=3, b=2, c=1), results(a=60, b=20, c=10)], [0.25, 0.5], 3, "minmax")
    assert by_id(hits) == pytest.approx({"a": 0.75, "b": 0.125 + 0.1, "c": 0})


def test_a_document_missing_from_a_full_list_gets_the_lowest_score_of_the_list() -> None:
    hits = weighted_scores([results(a=0.9, b=0.5), results(b=0.9, c=0.5)], [1, 1], 2, "minmax")
    assert by_id(hits) == pytest.approx({"a": 1.0, "b": 1.0, "c": 0.0})


def test_a_document_missing_from_a_list_that_is_not_full_gets_at_most_0() -> None:
    hits = weighted_scores([results(a=0.4, b=0.3, c=0.2), results(b=7.0)], [1, 1], 3, "minmax")
    assert by_id(hits) == pytest.approx({"a": 1.0, "b": 1.5, "c": 0.0})
    negative = weighted_scores([results(a=1, b=0, c=-1), results(b=-1.0, c=-2.0)], [0.1, 1], 3, "minmax")
    assert by_id(negative)["a"] == pytest.approx(0.1)


@pytest.mark.parametrize("fusion", ["zscore", "minmax"])
def test_a_retriever_with_equal_scores_or_no_documents_does_not_affect_the_fusion(fusion: Fusion) -> None:
    alone = [results(a=3, b=2, c=1)]
    expected = by_id(weighted_scores(alone, [1], 3, fusion))
    for other in (results(a=5, b=5, c=5), results(a=0.1, b=0.1, c=0.1), []):
        assert by_id(weighted_scores([*alone, other], [1, 9], 3, fusion)) == pytest.approx(expected)
    assert weighted_scores([[], []], [1, 1], 3, fusion) == []
