"""Tasks of two runs compared: differences with their intervals, a test, and the records that changed sides."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from common.atomic_write import write_whole
from common.errors import UserError
from common.fingerprints import plain
from eval.estimate import CONFIDENCE, RESAMPLES, Estimate
from eval.metrics import DEPTH
from eval.paired import McNemar, holm, macro_f1_difference, mcnemar, mean_difference
from eval.pairing import Kind, Paired, Sample, Side, pair
from eval.results import check_output

COMPARE_FILE = "compare.json"


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of both sides over the records they share, and B's minus A's."""

    a: float
    b: float
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Changed:
    """A record that one side got right and the other wrong; ``right`` says which did."""

    id: str
    target: str
    a: str | None
    b: str | None
    right: str


@dataclass(frozen=True)
class Comparison:
    """Two tasks held against each other, record by record.

    Attributes:
        pairs: the sides, A being the baseline, and their records.
        figures: by metric; the first is the share of records that are right.
        test: McNemar's exact test on the records that are right.
        p_holm: its p-value corrected for all tests of the call.
        changed: the records that changed sides.
    """

    pairs: Paired = field(repr=False)
    figures: Mapping[str, Difference]
    test: McNemar
    p_holm: float
    changed: Sequence[Changed] = field(repr=False)


@dataclass(frozen=True)
class _Measure:
    """What a record counts for."""

    right: Callable[[Sample], bool]
    figures: Mapping[str, Callable[[Sample], float]]
    shown: Callable[[Sample], str | None]


def compare(pairs: Sequence[tuple[Side, Side]]) -> list[Comparison]:
    """Compare each pair of a baseline A and another B.

    The figures and what is right, by the kind of the tasks:

    - retrieval: ``accuracy@1`` and ``mrr@10``; right is the record's own abstract in the first place;
    - labels: ``accuracy``, and ``macro_f1`` where both report F1 for the same labels;
    - ``qa_wrong``: ``share_maybe``;
    - verdicts: ``verdict_accuracy``, where a verdict is right that supports a right answer or does not support a wrong
      one, ``share_supported``, and ``accuracy`` of the answers. Against a task of labels they count as labels;
    - ``verified_wrong`` and ``verified_swapped``, where no answer should be supported: ``share_supported``, and right
      is the answer that is not.

    Raises:
        UserError: as ``eval.pairing.pair`` does.
    """
    comparisons = [_compared(pair(a, b)) for a, b in pairs]
    corrected = holm([comparison.test.p for comparison in comparisons])
    return [replace(one, p_holm=p) for one, p in zip(comparisons, corrected, strict=True)]


def as_json(comparisons: Sequence[Comparison], unmatched: Sequence[Side] = ()) -> dict[str, Any]:
    """The comparisons in JSON's types: ``confidence, resamples, comparisons, unmatched``, with all the classes hold."""
    return {
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "comparisons": [
            {
                "a": _side(one.pairs.a),
                "b": _side(one.pairs.b),
                "n": len(one.pairs.samples),
                "only_in_a": one.pairs.only_in_a,
                "only_in_b": one.pairs.only_in_b,
                "figures": {
                    name: {"a": figure.a, "b": figure.b, "difference": asdict(figure.difference)}
                    for name, figure in one.figures.items()
                },
                "mcnemar": {**asdict(one.test), "p_holm": one.p_holm},
                "changed": [asdict(record) for record in one.changed],
            }
            for one in comparisons
        ],
        "unmatched": [_side(side) for side in unmatched],
    }


def write_comparison(folder: Path, comparisons: Sequence[Comparison], unmatched: Sequence[Side] = ()) -> Path:
    """Write ``compare.json``, whole or not at all, and return its path.

    Raises:
        UserError: the folder cannot be written to.
    """
    check_output(folder)
    path = folder / COMPARE_FILE
    try:
        write_whole(path, json.dumps(plain(as_json(comparisons, unmatched)), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}. Name another --output folder, or make room there."
        ) from error
    return path


def _compared(pairs: Paired) -> Comparison:
    kinds = {pairs.a.kind, pairs.b.kind}
    kind: Kind = pairs.a.kind if len(kinds) == 1 else "labels"
    measure = _MEASURES[kind]
    figures: dict[str, Difference] = {}
    for name, value in measure.figures.items():
        a, b = ([value(sample) for sample in samples] for samples in zip(*pairs.samples, strict=True))
        figures[name] = Difference(sum(a) / len(a), sum(b) / len(b), mean_difference(a, b))
    if kind == "labels" and (labels := _shared_labels(pairs)):
        targets = [str(sample["target"]) for sample, _ in pairs.samples]
        labels_a, labels_b = ([_label(sample) for sample in samples] for samples in zip(*pairs.samples, strict=True))
        figures["macro_f1"] = Difference(*macro_f1_difference(targets, labels_a, labels_b, labels))
    right = [(measure.right(a), measure.right(b)) for a, b in pairs.samples]
    changed = [
        Changed(a["id"], a["target"], measure.shown(a), measure.shown(b), "a" if right_a else "b")
        for (a, b), (right_a, right_b) in zip(pairs.samples, right, strict=True)
        if right_a != right_b
    ]
    test = mcnemar([right_a for right_a, _ in right], [right_b for _, right_b in right])
    return Comparison(pairs, figures, test, test.p, changed)


def _shared_labels(pairs: Paired) -> list[str]:
    """The candidate labels, where both tasks report F1 for the same ones; else none."""
    a, b = (
        sorted(
            name.removeprefix("f1_")
            for name in side.run.results[side.task]
            if name.startswith("f1_") and not name.endswith("_stderr")
        )
        for side in (pairs.a, pairs.b)
    )
    return a if a == b else []


def _side(side: Side) -> dict[str, str]:
    return {"run": str(side.run.folder), "task": side.task}


def _right(sample: Sample) -> bool:
    return bool(sample["prediction"] == sample["target"])


def _supported(sample: Sample) -> bool:
    return bool(sample["verdict"] == "supported")


def _reciprocal_rank(sample: Sample) -> float:
    ids = [passage["id"] for passage in sample["retrieved"][:DEPTH]]
    return 1 / (1 + ids.index(sample["target"])) if sample["target"] in ids else 0.0


def _label(sample: Sample) -> str | None:
    label: str | None = sample["prediction"]
    return label


def _with_verdict(sample: Sample) -> str:
    return f"{sample['prediction']}: {sample['verdict'] or 'unverified'}"


def _verdict_right(sample: Sample) -> bool:
    return _supported(sample) == _right(sample)


_MEASURES: dict[Kind, _Measure] = {
    "ranking": _Measure(_right, {"accuracy@1": _right, "mrr@10": _reciprocal_rank}, _label),
    "labels": _Measure(_right, {"accuracy": _right}, _label),
    "refusals": _Measure(_right, {"share_maybe": _right}, _label),
    "verdicts": _Measure(
        _verdict_right,
        {"verdict_accuracy": _verdict_right, "share_supported": _supported, "accuracy": _right},
        _with_verdict,
    ),
    "unsupportable": _Measure(lambda sample: not _supported(sample), {"share_supported": _supported}, _with_verdict),
}
