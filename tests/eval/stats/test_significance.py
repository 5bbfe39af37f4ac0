from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import bootstrap
from sklearn.metrics import f1_score
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.multitest import multipletests

from corpus.records import LABELS
from eval.stats.estimate import Estimate
from eval.stats.metrics import label_metrics
from eval.stats.significance import holm, macro_f1_difference, mcnemar, mean_difference


def _targets_and_answers(n: int, seed: int) -> tuple[NDArray[np.str_], NDArray[np.str_], NDArray[np.str_]]:
    """Targets, and the answers of A and of a better B that agrees with A more often than chance."""
    generator = np.random.default_rng(seed)
    targets = generator.choice(LABELS, size=n, p=[0.55, 0.34, 0.11])
    a = np.where(generator.random(n) < 0.5, targets, generator.choice(LABELS, size=n))
    b = np.where(generator.random(n) < 0.3, targets, a)
    return targets, a, b


@pytest.mark.parametrize("seed", range(5))
def test_mcnemar_agrees_with_statsmodels(seed: int) -> None:
    targets, a, b = _targets_and_answers(40, seed)
    if seed % 2:
        a, b = b, a  # each side is the better one for some seeds
    right_a, right_b = (targets == a).tolist(), (targets == b).tolist()
    test = mcnemar(right_a, right_b)
    table = [[test.both, test.only_a], [test.only_b, test.neither]]
    assert np.sum(table) == 40
    assert test.both + test.only_a == sum(right_a)
    assert test.both + test.only_b == sum(right_b)
    assert test.p == pytest.approx(reference_mcnemar(table, exact=True).pvalue, rel=1e-9)


def test_equal_answers_have_p_1_and_no_difference() -> None:
    assert mcnemar([True, False], [True, False]).p == 1.0
    assert mean_difference([0.0, 1.0], [0.0, 1.0]) == Estimate(0.0)
    a, b, difference = macro_f1_difference(["yes", "no"], ["yes", None], ["yes", None], LABELS)
    assert a == b
    assert difference == Estimate(0.0)


@pytest.mark.parametrize(
    "p_values",
    [[0.04], [0.01, 0.04, 0.03, 0.005], [0.02, 0.02, 0.9, 1.0], np.random.default_rng(0).random(30).tolist()],
)
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_of_no_p_values_is_empty() -> None:
    assert holm([]) == []


def test_the_difference_of_accuracies_agrees_with_scipys_paired_bootstrap() -> None:
    """A percentile limit of 1,000 resamples has a Monte Carlo error of 0.085 standard errors; 0.35 are allowed."""
    targets, a, b = _targets_and_answers(500, 0)
    right_a, right_b = (targets == a).astype(float), (targets == b).astype(float)

    def statistic(x: NDArray[np.float64], y: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.asarray(y.mean(axis=axis) - x.mean(axis=axis))

    reference = bootstrap(
        (right_a, right_b), statistic, paired=True, n_resamples=9_999, method="percentile", rng=np.random.default_rng(1)
    )
    difference = mean_difference(right_a.tolist(), right_b.tolist())
    assert difference.value == pytest.approx(right_b.mean() - right_a.mean())
    assert difference.stderr == pytest.approx(reference.standard_error, rel=0.05)
    interval = reference.confidence_interval
    tolerance = 0.35 * reference.standard_error
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high), abs=tolerance)
    assert difference.value > 0.05  # so that the test would notice a wrong sign
    unpaired_stderr = np.sqrt(right_a.var() / 500 + right_b.var() / 500)
    assert difference.stderr < 0.85 * unpaired_stderr


def test_the_difference_of_macro_f1_agrees_with_scipys_paired_bootstrap() -> None:
    targets, a, b = _targets_and_answers(300, 2)
    rows = np.arange(300)

    def statistic(drawn: NDArray[np.int64]) -> float:
        macro_f1 = partial(f1_score, targets[drawn], labels=LABELS, average="macro", zero_division=0)
        return float(macro_f1(b[drawn]) - macro_f1(a[drawn]))

    reference = bootstrap(
        (rows,), statistic, vectorized=False, n_resamples=500, method="percentile", rng=np.random.default_rng(3)
    )
    value_a, value_b, difference = macro_f1_difference(targets.tolist(), a.tolist(), b.tolist(), LABELS)
    assert difference.value == pytest.approx(statistic(rows))
    assert difference.value == pytest.approx(value_b - value_a)
    assert difference.stderr == pytest.approx(reference.standard_error, rel=0.1)
    interval = reference.confidence_interval
    tolerance = 0.5 * reference.standard_error  # larger than above, since the reference has only 500 resamples
    assert (difference.low, difference.high) == pytest.approx((interval.low, interval.high), abs=tolerance)


def test_macro_f1_equals_that_of_label_metrics() -> None:
    targets = ["yes"] * 4 + ["no"] * 2
    a: list[str | None] = ["yes", "no", None, "maybe", "no", "yes"]
    b: list[str | None] = ["yes", "yes", "yes", None, "no", None]
    value_a, value_b, _ = macro_f1_difference(targets, a, b, LABELS)
    assert value_a == pytest.approx(label_metrics(targets, a, LABELS)["macro_f1"].value)
    assert value_b == pytest.approx(label_metrics(targets, b, LABELS)["macro_f1"].value)


def test_one_record_has_a_difference_without_an_interval() -> None:
    assert mean_difference([0.0], [1.0]) == Estimate(1.0)
    assert macro_f1_difference(["yes"], ["no"], ["yes"], ["yes", "no"])[2] == Estimate(0.5)


def test_no_records_and_unequal_lengths_are_refused() -> None:
    for a, b in ([], []), ([True], [True, False]):
        with pytest.raises(ValueError, match="pairs"):
            mcnemar(a, b)
        with pytest.raises(ValueError, match="pairs"):
            mean_difference(a, b)
    with pytest.raises(ValueError, match="pairs"):
        macro_f1_difference(["yes"], ["yes"], ["yes", "no"], LABELS)
