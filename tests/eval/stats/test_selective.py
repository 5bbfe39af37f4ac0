import numpy as np
import pytest

from eval.stats.selective import COVERAGES, RiskPoint, risk_at, risk_metrics, risk_points

SCORES = [0.2, 0.9, 0.5, 0.8, 0.5]
RIGHT = [False, True, True, False, False]


def test_risk_points_are_sorted_by_falling_score_and_equal_scores_share_a_point() -> None:
    assert risk_points(SCORES, RIGHT) == [
        RiskPoint(0.2, 0.0, 0.9),
        RiskPoint(0.4, 0.5, 0.8),
        RiskPoint(0.8, 0.5, 0.5),
        RiskPoint(1.0, 0.6, 0.2),
    ]
    assert risk_points([1.0] * 3, [True, False, True]) == [RiskPoint(1.0, pytest.approx(1 / 3), 1.0)]


def test_risk_points_do_not_depend_on_the_order_of_the_answers() -> None:
    order = [3, 0, 4, 2, 1]
    shuffled = risk_points([SCORES[i] for i in order], [RIGHT[i] for i in order])
    assert shuffled == risk_points(SCORES, RIGHT)


# The points of SCORES and RIGHT have the coverages 0.2, 0.4, 0.8 and 1.
@pytest.mark.parametrize(
    ("coverage", "risk"), [(0.01, 0.0), (0.2, 0.0), (0.21, 0.5), (0.4, 0.5), (0.6, 0.5), (0.8, 0.5), (1, 0.6)]
)
def test_risk_at_is_the_risk_of_the_first_point_with_the_coverage(coverage: float, risk: float) -> None:
    assert risk_at(risk_points(SCORES, RIGHT), coverage) == pytest.approx(risk)


def test_risk_metrics_are_the_area_and_the_risks_at_each_coverage() -> None:
    metrics = risk_metrics(SCORES, RIGHT)
    assert set(metrics) == {"aurc", "risk@0.2", "risk@0.4", "risk@0.6", "risk@0.8"}
    assert metrics["aurc"].value == pytest.approx((0 + 0.5 + 0.5 + 0.5 + 0.6) / 5)
    points = risk_points(SCORES, RIGHT)
    for coverage in COVERAGES:
        assert metrics[f"risk@{coverage}"].value == risk_at(points, coverage)


def test_risk_is_right_at_coverages_that_floats_cannot_represent() -> None:
    scores = [float(-n) for n in range(10)]
    right = [n not in (2, 6) for n in range(10)]
    metrics = risk_metrics(scores, right)
    assert metrics["risk@0.2"].value == 0
    assert metrics["risk@0.6"].value == pytest.approx(1 / 6)


def test_aurc_is_low_for_perfect_scores_the_overall_risk_for_random_ones_and_high_for_reversed_ones() -> None:
    rng = np.random.default_rng(0)
    right = list(rng.random(400) < 0.8)
    risk = 1 - float(np.mean(right))
    ideal = [float(r) for r in right]  # scores 1 for right answers and 0 for wrong ones
    assert risk_metrics(ideal, right)["risk@0.8"].value <= risk
    assert risk_metrics([0.5] * 400, right)["aurc"].value == pytest.approx(risk)
    perfect = risk_metrics([score + u for score, u in zip(ideal, rng.random(400) / 2, strict=True)], right)["aurc"]
    random = risk_metrics(list(rng.random(400)), right)["aurc"]
    reversed_scores = risk_metrics([-score for score in ideal], right)["aurc"]
    assert perfect.value < risk / 4
    assert abs(random.value - risk) < 0.06
    assert reversed_scores.value > risk
    assert random.low is not None
    assert random.high is not None
    assert random.low < random.value < random.high
    assert random.high - random.low < 0.3


def test_a_single_answer_has_no_interval() -> None:
    metrics = risk_metrics([0.3], [False])
    assert (metrics["aurc"].value, metrics["aurc"].low, metrics["risk@0.2"].value) == (1.0, None, 1.0)


@pytest.mark.parametrize(("scores", "right"), [([], []), ([1.0], []), ([], [True])])
def test_no_answers_and_unequal_lengths_are_refused(scores: list[float], right: list[bool]) -> None:
    with pytest.raises(ValueError, match="answers"):
        risk_points(scores, right)
    with pytest.raises(ValueError, match="answers"):
        risk_metrics(scores, right)
