import math
import tracemalloc

import numpy as np
import pytest
from scipy.stats import sem

from eval.stats.estimate import Estimate, bootstrap, clustered_stderr, mean, proportion


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 500), (500, 500), (276, 500), (8, 10)])
def test_proportion_has_wilsons_interval(successes: int, n: int) -> None:
    estimate = proportion(successes, n)
    share, z = successes / n, 1.959963984540054  # the normal quantile of 0.975
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half_width = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert estimate.value == share
    assert (estimate.low, estimate.high) == pytest.approx((centre - half_width, centre + half_width))


@pytest.mark.parametrize(("successes", "n"), [(1, 2), (276, 500), (0, 5)])
def test_proportion_has_the_standard_error_of_the_mean(successes: int, n: int) -> None:
    assert proportion(successes, n).stderr == pytest.approx(sem([1.0] * successes + [0.0] * (n - successes)))


def test_one_record_has_no_standard_error() -> None:
    assert proportion(1, 1).stderr is None
    assert mean([0.5]) == Estimate(0.5)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_counts_are_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="trials"):
        proportion(successes, n)
    with pytest.raises(ValueError, match="no values"):
        mean([])


def test_mean_agrees_with_scipy_and_a_plain_bootstrap() -> None:
    generator = np.random.default_rng(3)
    values = generator.choice([0.0, 0.25, 0.5, 1.0], size=200).tolist()
    estimate = mean(values)
    assert estimate.value == pytest.approx(np.mean(values))
    assert estimate.stderr == pytest.approx(sem(values))
    resampled_means = [np.mean(generator.choice(values, size=200)) for _ in range(2_000)]
    expected = tuple(np.quantile(resampled_means, [0.025, 0.975]))
    assert (estimate.low, estimate.high) == pytest.approx(expected, abs=0.01)


def test_bootstrap_estimates_each_statistic_and_is_reproducible() -> None:
    counts = np.array([3, 0, 7])
    first, empty, last, total = estimates = bootstrap(counts, lambda drawn: np.column_stack([drawn, drawn.sum(axis=1)]))
    assert (first.value, last.value) == (3, 7)
    assert (empty, total) == (Estimate(0), Estimate(10))  # the same in each resample
    assert first.stderr == last.stderr == pytest.approx(math.sqrt(10 * 0.3 * 0.7), rel=0.1)
    assert estimates == bootstrap(counts, lambda drawn: np.column_stack([drawn, drawn.sum(axis=1)]))


def test_bootstrap_does_not_depend_on_the_size_of_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = list(range(100))
    at_once = mean(values)
    monkeypatch.setattr("eval.stats.estimate._BLOCK", 700)  # a block has 7 of the 1,000 resamples
    assert mean(values) == at_once


def test_bootstrap_of_many_different_values_takes_little_memory() -> None:
    values = np.random.default_rng(0).random(20_000).tolist()
    tracemalloc.start()
    mean(values)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6  # all resamples at once would take 160 MB


@pytest.mark.parametrize("value", [0.0, 1 / 3, 1.0])
def test_mean_of_equal_values_has_no_interval(value: float) -> None:
    assert mean([value] * 10) == Estimate(pytest.approx(value))
    assert mean([*[value] * 10, 0.5]).low is not None


def test_times_scales_value_error_and_interval() -> None:
    assert Estimate(0.5, 0.1, 0.25, 0.75).times(8) == Estimate(4.0, 0.8, 2.0, 6.0)
    assert Estimate(0.5).times(8) == Estimate(4.0)


def test_clustered_stderr_agrees_with_statsmodels() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(3)
    clusters = [f"p{number}" for number in rng.integers(0, 40, 150)]
    accuracy = {name: rng.random() for name in clusters}
    right = [float(rng.random() < accuracy[name]) for name in clusters]
    groups = np.unique(clusters, return_inverse=True)[1]
    fit = sm.OLS(right, np.ones(150)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert clustered_stderr(right, clusters) == pytest.approx(fit.bse[0])


def test_clustered_stderr_takes_long_texts_as_clusters() -> None:
    values, clusters = [1.0, 0.0, 0.0] * 100, [f"premise {number // 4}" for number in range(300)]
    expected = clustered_stderr(values, clusters)
    long_clusters = [cluster.replace("premise 7", "long " * 20_000) for cluster in clusters]
    tracemalloc.start()
    assert clustered_stderr(values, long_clusters) == pytest.approx(expected)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6  # an array of texts, in which each takes the space of the longest, would take 120 MB


def test_clustered_stderr_of_single_records_and_of_no_one_or_equal_clusters() -> None:
    assert clustered_stderr([1, 0, 0, 1, 1], list("abcde")) == pytest.approx(sem([1, 0, 0, 1, 1]))
    assert clustered_stderr([], []) is None
    assert clustered_stderr([1, 0], ["a", "a"]) is None
    assert clustered_stderr([1, 0, 0, 1], ["a", "a", "b", "b"]) is None
