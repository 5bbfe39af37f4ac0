"""Results folders for tests of exports: tasks with given predictions, and with prompts, outputs and label scores."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from corpus.records import LABELS
from eval.results import TaskResult, write_results
from eval.runs import Run, read_run
from eval.stats.metrics import label_metrics, share, unparsed
from eval.tasks import task_from_name

DATE = datetime(2024, 5, 1, 12, 30, 15, tzinfo=UTC)
PAIR_LABELS = ("entailment", "neutral", "contradiction")


def config(model: str = "org/model", **sections: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in ``results.json`` that exports read; ``sections`` overrides values by section."""
    defaults: dict[str, dict[str, Any]] = {
        "llm": {"model": model, "dtype": "auto", "adapter": None, "quantization": "none", "system": None},
        "prompt": {"shots": 0},
        "nli": {"kind": "llm", "model": None, "adapter": None},
        "data": {"path": "ori_pqal.json", "split": "test", "limit": None},
        "pairs": {"path": "sample", "split": "test", "limit": 2, "labels": {name: name for name in PAIR_LABELS}},
    }
    return {name: {**section, **sections.get(name, {})} for name, section in defaults.items()}


def qa_task(
    name: str, predictions: Sequence[str | None], targets: Sequence[str], *, generated: bool = False
) -> TaskResult:
    """A question-answering task with the results of given predictions.

    A predicted label has the probability 0.8 and each other 0.1; if ``generated``, samples have an output in place of
    label scores.
    """
    samples = [
        {
            "id": f"{number + 100}",
            "question": f"Does drug {number} help?\u2028",
            "prompt": f"Text {number}. Does drug {number} help?",
            "output": (prediction or "hm").capitalize() if generated else None,
            "label_scores": {} if generated else {name: 0.8 if name == prediction else 0.1 for name in LABELS},
            "prediction": prediction,
            "target": target,
        }
        for number, (prediction, target) in enumerate(zip(predictions, targets, strict=True))
    ]
    if name == "qa_wrong":
        estimates = {"share_maybe": share(predictions, "maybe"), "unparsed": unparsed(predictions)}
    else:
        estimates = label_metrics(targets, predictions, LABELS)
    return TaskResult(task_from_name(name), estimates, samples)


def nli_task(predictions: Sequence[str], targets: Sequence[str], name: str = "nli") -> TaskResult:
    """An NLI task with the results of a sequence classifier, which has no prompt."""
    samples = [
        {
            "id": f"p{number}",
            "premise": f"Pain fell by {number}.",
            "hypothesis": "Pain fell.",
            "prompt": None,
            "output": None,
            "label_scores": {label: 1.0 if label == prediction else 0.0 for label in PAIR_LABELS},
            "prediction": prediction,
            "target": target,
        }
        for number, (prediction, target) in enumerate(zip(predictions, targets, strict=True))
    ]
    return TaskResult(task_from_name(name), label_metrics(targets, predictions, PAIR_LABELS), samples)


def write_run(
    folder: Path, tasks: Sequence[TaskResult], settings: Mapping[str, Any] | None = None, date: datetime = DATE
) -> Run:
    """Write the tasks to ``folder`` and read them back as a run."""
    write_results(folder, tasks, config() if settings is None else settings, date=date)
    return read_run(folder)
