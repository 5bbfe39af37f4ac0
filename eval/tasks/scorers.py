"""Scorers: the metrics of a task's samples, and whether a single sample is right."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from eval.stats.calibration import calibration_metrics
from eval.stats.citations import ANSWER_METRICS, REFERENCE_METRICS, citation_metrics
from eval.stats.claims import evidence_metrics
from eval.stats.estimate import Estimate, proportion
from eval.stats.metrics import DEPTH, label_metrics, ranking_metrics, unparsed
from eval.stats.verification import verdict_metrics, verification_metrics

Sample = Mapping[str, Any]


def _is_right(sample: Sample) -> bool:
    return bool(sample["prediction"] == sample["target"])


@dataclass(frozen=True)
class Scorer:
    """Scores the samples of a task.

    Attributes:
        name: the scorer's name in files.
        metrics: computes the metrics of all samples, given the candidate labels.
        paired: functions by metric that give a sample's value; the mean of these values is the metric. A comparison of
            runs leaves out records without a value on either side.
        is_right: whether the answer is right.
        is_success: the criterion of McNemar's test; for answers with verdicts, whether the verdict is right.
        answer: the text of the answer in tables of changed records.
        needs: the name of a field that each sample must have.
    """

    name: str
    metrics: Callable[[Sequence[Sample], Sequence[str]], dict[str, Estimate]] = field(repr=False)
    paired: Mapping[str, Callable[[Sample], float | None]] = field(repr=False)
    is_right: Callable[[Sample], bool] = field(default=_is_right, repr=False)
    is_success: Callable[[Sample], bool] = field(default=_is_right, repr=False)
    answer: Callable[[Sample], str | None] = field(default=lambda sample: sample["prediction"], repr=False)
    needs: str = "prediction"


def shared_scorer(a: Scorer, b: Scorer) -> Scorer | None:
    """The scorer by which two tasks can be compared; None if they have no metric in common.

    Answers with verdicts and answers without are compared by their labels.
    """
    if a == b:
        return a
    return LABELS if {a.name, b.name} == {LABELS.name, VERDICTS.name} else None


def rank(sample: Sample) -> int | None:
    """The rank of the target among the retrieved passages, from 1; None if it is missing."""
    ids = [hit["id"] for hit in sample["retrieved"]]
    return ids.index(sample["target"]) + 1 if sample["target"] in ids else None


def _reciprocal_rank(sample: Sample) -> float:
    position = rank(sample)
    return 1 / position if position is not None and position <= DEPTH else 0.0


def _predictions(samples: Sequence[Sample]) -> list[str | None]:
    return [sample["prediction"] for sample in samples]


def _is_supported(sample: Sample) -> bool:
    return bool(sample["verdict"] == "supported")


def _is_verdict_right(sample: Sample) -> bool:
    return _is_supported(sample) == _is_right(sample)


def _label_and_verdict(sample: Sample) -> str:
    return f"{sample['prediction']}: {sample['verdict'] or 'unverified'}"


def _ranking_metrics(samples: Sequence[Sample], labels: Sequence[str]) -> dict[str, Estimate]:  # noqa: ARG001
    return ranking_metrics([rank(sample) for sample in samples])


def _label_metrics(samples: Sequence[Sample], labels: Sequence[str]) -> dict[str, Estimate]:
    targets = [sample["target"] for sample in samples]
    return label_metrics(targets, _predictions(samples), labels) | calibration_metrics(samples)


def _check_metrics(samples: Sequence[Sample], labels: Sequence[str]) -> dict[str, Estimate]:
    return _label_metrics(samples, labels) | evidence_metrics(samples)


def _refusal_metrics(samples: Sequence[Sample], labels: Sequence[str]) -> dict[str, Estimate]:  # noqa: ARG001
    predictions = _predictions(samples)
    share = proportion(predictions.count("maybe"), len(predictions))
    return {"share_maybe": share, "unparsed": unparsed(predictions)}


def _verdict_metrics(samples: Sequence[Sample], labels: Sequence[str]) -> dict[str, Estimate]:  # noqa: ARG001
    accuracy = proportion(sum(map(_is_right, samples)), len(samples))
    return (
        verdict_metrics(samples) | {"accuracy": accuracy} | verification_metrics(samples) | calibration_metrics(samples)
    )


def _is_unsupported(sample: Sample) -> bool:
    return not _is_supported(sample)


def _are_citations_right(sample: Sample) -> bool:
    """Whether each sentence is supported by the passages that it cites."""
    return bool(sample["citation_recall"] == 1)


def _field_value(name: str) -> Callable[[Sample], float | None]:
    return lambda sample: None if sample[name] is None else float(sample[name])


RANKING = Scorer("ranking", _ranking_metrics, {"accuracy@1": _is_right, "mrr@10": _reciprocal_rank}, needs="retrieved")
LABELS = Scorer("labels", _label_metrics, {"accuracy": _is_right})
REFUSALS = Scorer("refusals", _refusal_metrics, {"share_maybe": _is_right})
VERDICTS = Scorer(
    "verdicts",
    _verdict_metrics,
    {"verdict_accuracy": _is_verdict_right, "share_supported": _is_supported, "accuracy": _is_right},
    is_success=_is_verdict_right,
    answer=_label_and_verdict,
    needs="verdict",
)
UNSUPPORTABLE = Scorer(
    "unsupportable",
    lambda samples, _: verdict_metrics(samples),
    {"share_supported": _is_supported},
    is_right=_is_unsupported,
    is_success=_is_unsupported,
    answer=_label_and_verdict,
    needs="verdict",
)
CITATIONS = Scorer(
    "citations",
    lambda samples, _: citation_metrics(samples),
    {name: _field_value(name) for name in (*ANSWER_METRICS, *REFERENCE_METRICS, "words")},
    is_right=_are_citations_right,
    is_success=_are_citations_right,
    answer=lambda sample: None if sample["citation_recall"] is None else f"recall {sample['citation_recall']:.2f}",
    needs="citation_recall",
)
CHECKS = Scorer("checks", _check_metrics, {"accuracy": _is_right})
LABELLING = (LABELS, CHECKS)  # scorers that compare predicted labels with targets
SCORERS = (RANKING, LABELS, REFUSALS, VERDICTS, UNSUPPORTABLE, CITATIONS, CHECKS)
