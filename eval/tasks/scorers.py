"""Scorers: how the samples of a task become figures, and when a sample is right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.stats.calibration import calibration_metrics
from eval.stats.claims import evidence_metrics
from eval.stats.estimate import Estimate, proportion
from eval.stats.metrics import DEPTH, label_metrics, ranking_metrics, share, unparsed
from eval.stats.verification import verdict_metrics, verification_metrics

Sample = Mapping[str, Any]


@dataclass(frozen=True)
class Scorer:
    """Scores the samples of a task.

    Attributes:
        name: identifies the scorer in files.
        metrics: the figures of all samples, given the candidate labels.
        is_right: whether the sample's answer is right.
        is_success: what McNemar's test counts: of an answer with a verdict, whether the verdict is right.
        paired: by metric the value of one sample, for paired comparisons; the mean is the metric.
        answer: a sample's answer as tables of changed records show it.
        needs: the field that each sample must have.
    """

    name: str
    metrics: Callable[[Sequence[Sample], Sequence[str]], dict[str, Estimate]] = field(repr=False)
    is_right: Callable[[Sample], bool] = field(repr=False)
    is_success: Callable[[Sample], bool] = field(repr=False)
    paired: Mapping[str, Callable[[Sample], float]] = field(repr=False)
    answer: Callable[[Sample], str | None] = field(repr=False)
    needs: str = "prediction"


def shared_scorer(a: Scorer, b: Scorer) -> Scorer | None:
    """The scorer by which two tasks can be compared; None where they measure different things.

    Answers with verdicts are compared with answers without them as labels.
    """
    if a == b:
        return a
    return LABELS if {a.name, b.name} == {LABELS.name, VERDICTS.name} else None


def rank(sample: Sample) -> int | None:
    """The position, from 1, of the target among the retrieved passages; None where it is not among them."""
    ids = [found["id"] for found in sample["retrieved"]]
    return ids.index(sample["target"]) + 1 if sample["target"] in ids else None


def _reciprocal_rank(sample: Sample) -> float:
    place = rank(sample)
    return 1 / place if place is not None and place <= DEPTH else 0.0


def _predictions(samples: Sequence[Sample]) -> list[str | None]:
    return [sample["prediction"] for sample in samples]


def _is_right(sample: Sample) -> bool:
    return bool(sample["prediction"] == sample["target"])


def _is_supported(sample: Sample) -> bool:
    return bool(sample["verdict"] == "supported")


def _is_unsupported(sample: Sample) -> bool:
    return not _is_supported(sample)


def _is_verdict_right(sample: Sample) -> bool:
    return _is_supported(sample) == _is_right(sample)


def _prediction(sample: Sample) -> str | None:
    label: str | None = sample["prediction"]
    return label


def _with_verdict(sample: Sample) -> str:
    return f"{sample['prediction']}: {sample['verdict'] or 'unverified'}"


def _ranking(samples: Sequence[Sample], labels: Sequence[str]) -> dict[str, Estimate]:  # noqa: ARG001
    return ranking_metrics([rank(sample) for sample in samples])


def _labels(samples: Sequence[Sample], labels: Sequence[str]) -> dict[str, Estimate]:
    targets = [sample["target"] for sample in samples]
    return label_metrics(targets, _predictions(samples), labels) | calibration_metrics(samples)


def _checks(samples: Sequence[Sample], labels: Sequence[str]) -> dict[str, Estimate]:
    return _labels(samples, labels) | evidence_metrics(samples)


def _refusals(samples: Sequence[Sample], labels: Sequence[str]) -> dict[str, Estimate]:  # noqa: ARG001
    predictions = _predictions(samples)
    return {"share_maybe": share(predictions, "maybe"), "unparsed": unparsed(predictions)}


def _verdicts(samples: Sequence[Sample], labels: Sequence[str]) -> dict[str, Estimate]:  # noqa: ARG001
    accuracy = proportion(sum(map(_is_right, samples)), len(samples))
    return (
        verdict_metrics(samples) | {"accuracy": accuracy} | verification_metrics(samples) | calibration_metrics(samples)
    )


def _unsupportable(samples: Sequence[Sample], labels: Sequence[str]) -> dict[str, Estimate]:  # noqa: ARG001
    return verdict_metrics(samples)


RANKING = Scorer(
    name="ranking",
    metrics=_ranking,
    is_right=_is_right,
    is_success=_is_right,
    paired={"accuracy@1": _is_right, "mrr@10": _reciprocal_rank},
    answer=_prediction,
    needs="retrieved",
)
LABELS = Scorer(
    name="labels",
    metrics=_labels,
    is_right=_is_right,
    is_success=_is_right,
    paired={"accuracy": _is_right},
    answer=_prediction,
)
REFUSALS = Scorer(
    name="refusals",
    metrics=_refusals,
    is_right=_is_right,
    is_success=_is_right,
    paired={"share_maybe": _is_right},
    answer=_prediction,
)
VERDICTS = Scorer(
    name="verdicts",
    metrics=_verdicts,
    is_right=_is_right,
    is_success=_is_verdict_right,
    paired={"verdict_accuracy": _is_verdict_right, "share_supported": _is_supported, "accuracy": _is_right},
    answer=_with_verdict,
    needs="verdict",
)
UNSUPPORTABLE = Scorer(
    name="unsupportable",
    metrics=_unsupportable,
    is_right=_is_unsupported,
    is_success=_is_unsupported,
    paired={"share_supported": _is_supported},
    answer=_with_verdict,
    needs="verdict",
)
CHECKS = Scorer(
    name="checks",
    metrics=_checks,
    is_right=_is_right,
    is_success=_is_right,
    paired={"accuracy": _is_right},
    answer=_prediction,
)
LABELLING = (LABELS, CHECKS)  # scorers of labels that a model chose
SCORERS = (RANKING, LABELS, REFUSALS, VERDICTS, UNSUPPORTABLE, CHECKS)
