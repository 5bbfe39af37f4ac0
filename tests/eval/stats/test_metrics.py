import random
import time

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, ndcg_score, precision_recall_fscore_support

from corpus.records import LABELS
from eval.stats.estimate import Estimate, proportion
from eval.stats.metrics import label_metrics, majority, ranking_metrics, unparsed
from eval.tasks.scorers import REFUSALS

RANKING = ["accuracy@1", "recall@5", "recall@10", "mrr@10", "ndcg@10"]


def _targets_and_predictions(n: int, seed: int = 1) -> tuple[list[str], list[str | None]]:
    generator = random.Random(seed)
    targets: list[str] = generator.choices(LABELS, weights=[0.55, 0.34, 0.11], k=n)
    return targets, [generator.choice([target, target, "yes", "no", None]) for target in targets]


def _reference_macro_f1(targets: list[str], predictions: list[str | None]) -> float:
    total = 0.0
    for label in LABELS:
        hits = sum(target == label == prediction for target, prediction in zip(targets, predictions, strict=True))
        count = targets.count(label) + predictions.count(label)
        total += 2 * hits / count if count else 0
    return total / len(LABELS)


def test_ranking_metrics_follow_their_formulas() -> None:
    estimates = ranking_metrics([1, 3, 6, 10, 11, None])
    values = {name: estimate.value for name, estimate in estimates.items()}
    assert list(values) == RANKING
    assert values["accuracy@1"] == pytest.approx(1 / 6)
    assert values["recall@5"] == pytest.approx(2 / 6)
    assert values["recall@10"] == pytest.approx(4 / 6)
    assert values["mrr@10"] == pytest.approx((1 + 1 / 3 + 1 / 6 + 1 / 10) / 6)
    assert values["ndcg@10"] == pytest.approx((1 + 1 / np.log2(4) + 1 / np.log2(7) + 1 / np.log2(11)) / 6)


def test_ndcg_agrees_with_scikit_learn() -> None:
    ranks = [1, 2, 2, 7, 10, 11, 20]
    relevance = np.zeros((len(ranks), 20))
    relevance[np.arange(len(ranks)), np.array(ranks) - 1] = 1
    scores = np.tile(np.arange(20, 0, -1), (len(ranks), 1))
    assert ranking_metrics(ranks)["ndcg@10"].value == pytest.approx(ndcg_score(relevance, scores, k=10))


def test_ranking_metrics_refuse_rank_0_and_no_ranks() -> None:
    with pytest.raises(ValueError, match="from 1"):
        ranking_metrics([0])
    with pytest.raises(ValueError, match="0 trials"):
        ranking_metrics([])


@pytest.mark.parametrize("seed", range(5))
def test_label_metrics_agree_with_scikit_learn(seed: int) -> None:
    targets, predictions = _targets_and_predictions(137, seed)
    values = {name: estimate.value for name, estimate in label_metrics(targets, predictions, LABELS).items()}
    named = [prediction or "unparsed" for prediction in predictions]
    precision, recall, f1, _ = precision_recall_fscore_support(targets, named, labels=LABELS, zero_division=0)
    assert values.pop("accuracy") == pytest.approx(accuracy_score(targets, named))
    assert values.pop("macro_f1") == pytest.approx(f1.mean())
    assert values.pop("unparsed") == named.count("unparsed")
    for row, label in enumerate(LABELS):
        assert values.pop(f"precision_{label}") == pytest.approx(precision[row])
        assert values.pop(f"recall_{label}") == pytest.approx(recall[row])
        assert values.pop(f"f1_{label}") == pytest.approx(f1[row])
    assert values == {}


def test_unparsed_predictions_are_wrong_and_do_not_count_as_maybe() -> None:
    estimates = label_metrics(["maybe", "maybe", "yes", "no"], [None, "maybe", None, "no"], LABELS)
    values = {name: estimate.value for name, estimate in estimates.items()}
    assert values["accuracy"] == 0.5
    assert values["unparsed"] == 2
    assert values["precision_maybe"] == 1
    assert values["recall_maybe"] == 0.5
    assert values["recall_yes"] == values["precision_yes"] == values["f1_yes"] == 0
    assert values["macro_f1"] == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_macro_f1_counts_candidate_labels_without_a_target() -> None:
    assert label_metrics(["yes", "yes"], ["yes", "yes"], LABELS)["macro_f1"].value == pytest.approx(1 / 3)


def test_errors_agree_with_a_bootstrap_over_records() -> None:
    targets, predictions = _targets_and_predictions(300)
    generator = random.Random(5)
    macro_f1, recalls = [], []
    for _ in range(1_000):
        drawn = generator.choices(range(300), k=300)
        macro_f1.append(_reference_macro_f1([targets[i] for i in drawn], [predictions[i] for i in drawn]))
        predictions_for_maybe = [predictions[i] for i in drawn if targets[i] == "maybe"]
        recalls.append(predictions_for_maybe.count("maybe") / len(predictions_for_maybe))
    estimates = label_metrics(targets, predictions, LABELS)
    assert estimates["macro_f1"].stderr == pytest.approx(np.std(macro_f1, ddof=1), rel=0.15)
    assert estimates["recall_maybe"].stderr == pytest.approx(np.std(recalls, ddof=1), rel=0.15)
    expected = np.quantile(macro_f1, [0.025, 0.975])
    assert (estimates["macro_f1"].low, estimates["macro_f1"].high) == pytest.approx(tuple(expected), abs=0.015)


def test_precision_and_recall_are_shares_with_wilsons_interval() -> None:
    targets = ["yes"] * 10 + ["no"] * 4
    estimates = label_metrics(targets, [*["yes"] * 10, None, "no", "no", "yes"], LABELS)
    assert estimates["recall_yes"] == proportion(10, 10)
    assert estimates["recall_yes"].low == pytest.approx(0.722, abs=0.001)
    assert estimates["precision_yes"] == proportion(10, 11)
    assert estimates["recall_no"] == proportion(2, 4)
    assert estimates["recall_maybe"] == estimates["precision_maybe"] == Estimate(0.0)


def test_f1_of_answers_that_are_all_right_has_no_interval() -> None:
    estimates = label_metrics(["yes"] * 9, ["yes"] * 9, LABELS)
    assert estimates["macro_f1"] == Estimate(pytest.approx(1 / 3))
    assert estimates["f1_yes"] == Estimate(1.0)
    answers = [*["yes"] * 9, *["no"] * 8, *["maybe"] * 8]  # nearly all resamples have an F1 of 1
    assert label_metrics(answers, answers, LABELS)["macro_f1"].low is None


def test_one_record_has_no_standard_error_of_f1() -> None:
    estimates = label_metrics(["yes"], ["yes"], LABELS)
    assert estimates["accuracy"].value == 1
    assert estimates["macro_f1"].stderr is None


def test_label_metrics_of_500_records_take_less_than_300_ms() -> None:
    targets, predictions = _targets_and_predictions(500)
    label_metrics(targets, predictions, LABELS)  # the first call imports scipy
    seconds = []
    for _ in range(3):
        start = time.process_time()
        label_metrics(targets, predictions, LABELS)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.3


@pytest.mark.parametrize(
    ("targets", "predictions", "message"),
    [
        ([], [], "0 targets"),
        (["yes"], [], "1 targets and 0 predictions"),
        (["yes"], ["Yes"], "'Yes'"),
        (["perhaps"], ["yes"], "'perhaps'"),
    ],
)
def test_label_metrics_refuse_unequal_lengths_and_unknown_labels(
    targets: list[str], predictions: list[str | None], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        label_metrics(targets, predictions, LABELS)


def test_share_of_maybe_counts_unparsed_predictions_in_the_denominator() -> None:
    predictions = ["maybe", None, "maybe", "yes"]
    metrics = REFUSALS.metrics([{"prediction": prediction} for prediction in predictions], LABELS)
    assert metrics["share_maybe"].value == 0.5
    assert metrics["unparsed"] == unparsed(predictions)
    assert unparsed(predictions).value == 1
    assert unparsed(predictions).high is not None


def test_majority_is_the_first_of_the_most_frequent_targets() -> None:
    assert majority(["no", "yes", "yes"]) == "yes"
    assert majority(["no", "yes"]) == "no"
