"""Tasks with given predictions, and results folders of such tasks."""

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

Labels = Sequence[str | None]


def label_task(task: str, targets: Sequence[str], predictions: Labels, **fields: Sequence[Any]) -> TaskResult:
    """A task with labels for the records "0", "1" ...; ``fields`` gives further fields, a value for each record."""
    samples = [
        {"id": str(number), "question": f"Question {number}?", "prediction": prediction, "target": target}
        | {name: values[number] for name, values in fields.items()}
        for number, (prediction, target) in enumerate(zip(predictions, targets, strict=True))
    ]
    estimates = label_metrics(targets, predictions, LABELS)
    return TaskResult(task_from_name(task), estimates, samples)


def verified_task(task: str, targets: Sequence[str], predictions: Labels, verdicts: Sequence[str | None]) -> TaskResult:
    """A task of verified answers; its only figure is the share of supported answers."""
    samples = label_task(task, targets, predictions, verdict=verdicts).samples
    share = proportion(list(verdicts).count("supported"), len(verdicts))
    return TaskResult(task_from_name(task), {"share_supported": share}, samples)


def retrieval_task(task: str, ranks: Sequence[int | None]) -> TaskResult:
    """A retrieval task of 12 hits a record; ``ranks`` gives the rank of each record's abstract, None if absent."""
    samples = []
    for number, rank in enumerate(ranks):
        hits = [f"other {place}" for place in range(12)]
        if rank is not None:
            hits[rank - 1] = str(number)
        samples.append(
            {
                "id": str(number),
                "question": f"Question {number}?",
                "prediction": hits[0],
                "target": str(number),
                "retrieved": [{"id": id, "score": 1.0} for id in hits],
            }
        )
    return TaskResult(task_from_name(task), ranking_metrics(ranks), samples)


def remove_task_fields(folder: Path) -> None:
    """Remove the tasks' fields from ``results.json``, which version 0.1.0 did not write."""
    path = folder / "results.json"
    payload = json.loads(path.read_text(encoding="utf-8"))
    del payload["tasks"]
    path.write_text(json.dumps(payload), encoding="utf-8")


def write_run(folder: Path, *tasks: TaskResult) -> Run:
    """Write the tasks to ``folder`` and read them back as a run."""
    write_results(folder, tasks, {})
    return read_run(folder)
