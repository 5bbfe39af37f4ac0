"""Evidence metrics of SciFact against values computed by hand."""

from typing import Any

import pytest

from eval.stats.claims import correct_sentences, evidence_metrics


# Indices of the predicted sentences, the gold rationales, and the number of correct sentences.
@pytest.mark.parametrize(
    ("predicted", "rationales", "has_right_label", "correct"),
    [
        ([3], [[3]], True, 1),
        ([3], [[3]], False, 0),  # the document's label is wrong
        ([3, 4], [[3]], True, 1),  # sentence 4 is in no rationale
        ([3], [[3, 4]], True, 0),  # only half of the rationale is predicted
        ([3, 4], [[3, 4]], True, 2),
        ([1, 3, 4], [[1], [3, 4], [5]], True, 3),  # two of three rationales are predicted
        ([1, 3], [[1], [3, 4]], True, 1),  # one rationale is predicted, and half of another
        ([1], [], True, 0),
        ([], [[1]], True, 0),
    ],
)
def test_correct_sentences_belong_to_whole_predicted_rationales(
    predicted: list[int], rationales: list[list[int]], has_right_label: bool, correct: int
) -> None:
    assert correct_sentences(predicted, rationales, has_right_label=has_right_label) == correct


def make_sample(correct: int, predicted: int, gold: int, found: bool | None = None) -> dict[str, Any]:
    return {"evidence": {"correct": correct, "predicted": predicted, "gold": gold}, "found": found}


def test_evidence_metrics_are_over_the_sentences_of_all_claims() -> None:
    estimates = evidence_metrics(
        [make_sample(1, 2, 1, True), make_sample(2, 2, 3, False), make_sample(0, 1, 0), make_sample(0, 0, 2)]
    )
    assert estimates["evidence_precision"].value == pytest.approx(3 / 5)
    assert estimates["evidence_recall"].value == pytest.approx(3 / 6)
    assert estimates["evidence_f1"].value == pytest.approx(2 * 3 / (5 + 6))
    assert estimates["evidence_found"].value == pytest.approx(1 / 2)
    low, high = estimates["evidence_f1"].low, estimates["evidence_f1"].high
    assert low is not None
    assert high is not None
    assert 0 <= low < 6 / 11 < high <= 1


def test_evidence_metrics_need_gold_sentences() -> None:
    assert evidence_metrics([{"evidence": None, "found": None}]) == {}
    assert evidence_metrics([make_sample(0, 1, 0)]) == {}
    assert evidence_metrics([make_sample(0, 0, 1)])["evidence_f1"].value == 0
