import random
import time

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, ndcg_score, precision_recall_fscore_support

from corpus.records import LABELS
from eval.stats.estimate import Estimate, proportion
from eval.stats.metrics import label_metrics, majority, ranking_metrics, share, unparsed

RANKING = ["accuracy@1", "recall@5", "recall@10", "mrr@10", "ndcg@10"]


def _answers(n: int, seed: int = 1) -> tuple[list[str], list[str | None]]:
    generator = random.Random(seed)
    targets: list[str] = generator.choices(LABELS, weights=[0.55, 0.34, 0.11], k=n)
    return targets, [generator.choice([target, target, "yes", "no", None]) for target in targets]


def _plain_macro_f1(targets: list[str], predictions: list[str | None]) -> float:
    total = 0.0
    for label in LABELS:
        both = sum(target == label == prediction for target, prediction in zip(targets, predictions, strict=True))
        either = targets.count(label) + predictions.count(label)
        total += 2 * both / either if either else 0
    return total / len(LABELS)


def test_ranking_by_hand() -> None:
    estimates = ranking_metrics([1, 3, 6, 10, 11, None])
    values = {name: estimate.value for name, estimate in estimates.items()}
    assert list(values) == RANKING
    assert values["accuracy@1"] == pytest.approx(1 / 6)
    assert values["recall@5"] == pytest.approx(2 / 6)
    assert values["recall@10"] == pytest.approx(4 / 6)
    assert values["mrr@10"] == pytest.approx((1 + 1 / 3 + 1 / 6 + 1 / 10) / 6)
    assert values["ndcg@10"] == pytest.approx((1 + 1 / 2 + 1 / np.log2(7) + 1 / np.log2(11)) / 6)


def test_ndcg_agrees_with_scikit_learn() -> None:
    ranks = [1, 2, 2, 7, 10, 11, 20]
    relevance = np.zeros((len(ranks), 20))
    relevance[np.arange(len(ranks)), np.array(ranks) - 1] = 1
    scores = np.tile(np.arange(20, 0, -1), (len(ranks), 1))
    assert ranking_metrics(ranks)["ndcg@10"].value == pytest.approx(ndcg_score(relevance, scores, k=10))


def test_ranking_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="from 1"):
        ranking_metrics([0])
    with pytest.raises(ValueError, match="0 trials"):
        ranking_metrics([])


@pytest.mark.parametrize("seed", range(5))
def test_label_metrics_agree_with_scikit_learn(seed: int) -> None:
    targets, predictions = _answers(137, seed)
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


def test_unparsed_is_wrong_and_never_maybe() -> None:
    values = {
        name: estimate.value
        for name, estimate in label_metrics(
            ["maybe", "maybe", "yes", "no"], [None, "maybe", None, "no"], LABELS
        ).items()
    }
    assert values["accuracy"] == 0.5
    assert values["unparsed"] == 2
    assert values["precision_maybe"] == 1
    assert values["recall_maybe"] == 0.5
    assert values["recall_yes"] == values["precision_yes"] == values["f1_yes"] == 0
    assert values["macro_f1"] == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_macro_f1_is_over_all_candidates_even_those_that_are_absent() -> None:
    assert label_metrics(["yes", "yes"], ["yes", "yes"], LABELS)["macro_f1"].value == pytest.approx(1 / 3)


def test_errors_agree_with_a_plain_bootstrap() -> None:
    targets, predictions = _answers(300)
    generator = random.Random(5)
    macro, recalls = [], []
    for _ in range(1_000):
        drawn = generator.choices(range(300), k=300)
        some_targets, some_predictions = [targets[i] for i in drawn], [predictions[i] for i in drawn]
        macro.append(_plain_macro_f1(some_targets, some_predictions))
        maybe = [
            prediction for target, prediction in zip(some_targets, some_predictions, strict=True) if target == "maybe"
        ]
        recalls.append(maybe.count("maybe") / len(maybe))
    estimates = label_metrics(targets, predictions, LABELS)
    assert estimates["macro_f1"].stderr == pytest.approx(np.std(macro, ddof=1), rel=0.15)
    assert estimates["recall_maybe"].stderr == pytest.approx(np.std(recalls, ddof=1), rel=0.15)
    expected = np.quantile(macro, [0.025, 0.975])
    assert (estimates["macro_f1"].low, estimates["macro_f1"].high) == pytest.approx(tuple(expected), abs=0.015)


def test_precision_and_recall_are_shares_with_wilsons_interval() -> None:
    targets = ["yes"] * 10 + ["no"] * 4
    estimates = label_metrics(targets, [*["yes"] * 10, None, "no", "no", "yes"], LABELS)
    assert estimates["recall_yes"] == proportion(10, 10)
    assert estimates["recall_yes"].low == pytest.approx(0.722, abs=0.001)
    assert estimates["precision_yes"] == proportion(10, 11)
    assert estimates["recall_no"] == proportion(2, 4)
    assert estimates["recall_maybe"] == estimates["precision_maybe"] == Estimate(0.0)


def test_answers_that_are_all_right_claim_no_certain_f1() -> None:
    estimates = label_metrics(["yes"] * 9, ["yes"] * 9, LABELS)
    assert estimates["macro_f1"] == Estimate(pytest.approx(1 / 3))
    assert estimates["f1_yes"] == Estimate(1.0)
    answers = [*["yes"] * 9, *["no"] * 8, *["maybe"] * 8]  # a resample in thousands lacks a label
    assert label_metrics(answers, answers, LABELS)["macro_f1"].low is None


def test_figures_repeat_exactly() -> None:
    assert label_metrics(*_answers(50), LABELS) == label_metrics(*_answers(50), LABELS)


def test_one_record() -> None:
    estimates = label_metrics(["yes"], ["yes"], LABELS)
    assert estimates["accuracy"].value == 1
    assert estimates["macro_f1"].stderr is None


def test_five_hundred_records_take_less_than_three_tenths_of_a_second() -> None:
    targets, predictions = _answers(500)
    label_metrics(targets, predictions, LABELS)  # imports scipy
    spent = []
    for _ in range(3):
        begin = time.process_time()
        label_metrics(targets, predictions, LABELS)
        spent.append(time.process_time() - begin)
    assert min(spent) < 0.3


@pytest.mark.parametrize(
    ("targets", "predictions", "message"),
    [
        ([], [], "0 targets"),
        (["yes"], [], "1 targets and 0 predictions"),
        (["yes"], ["Yes"], "'Yes'"),
        (["perhaps"], ["yes"], "'perhaps'"),
    ],
)
def test_label_metrics_refuse_nonsense(targets: list[str], predictions: list[str | None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        label_metrics(targets, predictions, LABELS)


def test_share_keeps_unparsed_in_the_denominator() -> None:
    predictions = ["maybe", None, "maybe", "yes"]
    assert share(predictions, "maybe").value == 0.5
    assert unparsed(predictions).value == 1
    assert unparsed(predictions).high is not None


def test_majority() -> None:
    assert majority(["no", "yes", "yes"]) == "yes"
    assert majority(["no", "yes"]) == "no"
