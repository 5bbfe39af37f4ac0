"""Results folders with given answers, written as an evaluation writes them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus.records import LABELS
from eval.results import TaskResult, write_results
from eval.runs import Run, read_run
from eval.stats.estimate import proportion
from eval.stats.metrics import label_metrics, ranking_metrics
from eval.tasks import task_from_name

Answers = Sequence[str | None]


def label_task(task: str, targets: Sequence[str], predictions: Answers, **more: Sequence[Any]) -> TaskResult:
    """A task of labels over the records "0", "1", ...; ``more`` are further fields, by record."""
    samples = [
        {"id": str(number), "question": f"Question {number}?", "prediction": prediction, "target": target}
        | {name: values[number] for name, values in more.items()}
        for number, (prediction, target) in enumerate(zip(predictions, targets, strict=True))
    ]
    estimates = label_metrics(targets, predictions, LABELS)
    return TaskResult(task_from_name(task), estimates, samples)


def verified_task(
    task: str, targets: Sequence[str], predictions: Answers, verdicts: Sequence[str | None]
) -> TaskResult:
    """A verified task; its figures are the share of supported answers alone."""
    whole = label_task(task, targets, predictions, verdict=verdicts)
    return TaskResult(
        task_from_name(task),
        {"share_supported": proportion(list(verdicts).count("supported"), len(verdicts))},
        whole.samples,
    )


def retrieval_task(task: str, ranks: Sequence[int | None]) -> TaskResult:
    """A retrieval task in which each record's own abstract came at the given rank, or not at all."""
    samples = []
    for number, rank in enumerate(ranks):
        found = [f"other {place}" for place in range(12)]
        if rank is not None:
            found[rank - 1] = str(number)
        samples.append(
            {
                "id": str(number),
                "question": f"Question {number}?",
                "prediction": found[0],
                "target": str(number),
                "retrieved": [{"id": id, "score": 1.0} for id in found],
            }
        )
    return TaskResult(task_from_name(task), ranking_metrics(ranks), samples)


def without_fields(folder: Path) -> None:
    """Take the tasks' fields out of ``results.json``, as version 0.1.0 wrote it."""
    path = folder / "results.json"
    payload = json.loads(path.read_text(encoding="utf-8"))
    del payload["tasks"]
    path.write_text(json.dumps(payload), encoding="utf-8")


def written(folder: Path, *tasks: TaskResult) -> Run:
    """The run that holds these tasks, written and read back."""
    write_results(folder, tasks, {})
    return read_run(folder)
