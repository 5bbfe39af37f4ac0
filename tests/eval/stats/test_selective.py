import numpy as np
import pytest

from eval.stats.selective import COVERAGES, RiskPoint, risk_at, risk_metrics, risk_points

SCORES = [0.2, 0.9, 0.5, 0.8, 0.5]
RIGHT = [False, True, True, False, False]


def test_points_go_from_the_surest_to_all_and_keep_equals_together() -> None:
    assert risk_points(SCORES, RIGHT) == [
        RiskPoint(0.2, 0.0, 0.9),
        RiskPoint(0.4, 0.5, 0.8),
        RiskPoint(0.8, 0.5, 0.5),
        RiskPoint(1.0, 0.6, 0.2),
    ]
    assert risk_points([1.0] * 3, [True, False, True]) == [RiskPoint(1.0, pytest.approx(1 / 3), 1.0)]


def test_order_of_the_answers_does_not_matter() -> None:
    order = [3, 0, 4, 2, 1]
    shuffled = risk_points([SCORES[i] for i in order], [RIGHT[i] for i in order])
    assert shuffled == risk_points(SCORES, RIGHT)


@pytest.mark.parametrize(
    ("coverage", "risk"), [(0.01, 0.0), (0.2, 0.0), (0.21, 0.5), (0.4, 0.5), (0.6, 0.5), (0.8, 0.5), (1, 0.6)]
)
def test_risk_at_a_coverage_is_that_of_the_fewest_that_make_it(coverage: float, risk: float) -> None:
    assert risk_at(risk_points(SCORES, RIGHT), coverage) == pytest.approx(risk)


def test_figures() -> None:
    metrics = risk_metrics(SCORES, RIGHT)
    assert set(metrics) == {"aurc", "risk@0.2", "risk@0.4", "risk@0.6", "risk@0.8"}
    assert metrics["aurc"].value == pytest.approx((0 + 0.5 + 0.5 + 0.5 + 0.6) / 5)
    points = risk_points(SCORES, RIGHT)
    for coverage in COVERAGES:
        assert metrics[f"risk@{coverage}"].value == risk_at(points, coverage)


def test_coverages_that_are_no_round_binary_numbers() -> None:
    scores = [float(-n) for n in range(10)]
    right = [n not in (2, 6) for n in range(10)]
    metrics = risk_metrics(scores, right)
    assert metrics["risk@0.2"].value == 0
    assert metrics["risk@0.6"].value == pytest.approx(1 / 6)


def test_a_perfect_an_empty_and_a_reversed_order() -> None:
    rng = np.random.default_rng(0)
    right = list(rng.random(400) < 0.8)
    risk = 1 - float(np.mean(right))
    sure = [float(r) for r in right]
    assert risk_metrics(sure, right)["risk@0.8"].value <= risk
    assert risk_metrics([0.5] * 400, right)["aurc"].value == pytest.approx(risk)
    perfect = risk_metrics([r + u for r, u in zip(sure, rng.random(400) / 2, strict=True)], right)["aurc"]
    nothing = risk_metrics(list(rng.random(400)), right)["aurc"]
    worst = risk_metrics([-r for r in sure], right)["aurc"]
    assert perfect.value < risk / 4
    assert abs(nothing.value - risk) < 0.06
    assert worst.value > risk
    assert nothing.low is not None
    assert nothing.high is not None
    assert nothing.low < nothing.value < nothing.high
    assert nothing.high - nothing.low < 0.3


def test_a_single_answer_has_no_interval() -> None:
    metrics = risk_metrics([0.3], [False])
    assert (metrics["aurc"].value, metrics["aurc"].low, metrics["risk@0.2"].value) == (1.0, None, 1.0)


@pytest.mark.parametrize(("scores", "right"), [([], []), ([1.0], []), ([], [True])])
def test_what_does_not_match_is_refused(scores: list[float], right: list[bool]) -> None:
    with pytest.raises(ValueError, match="answers"):
        risk_points(scores, right)
    with pytest.raises(ValueError, match="answers"):
        risk_metrics(scores, right)
