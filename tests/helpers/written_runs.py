"""Tasks with given predictions, results folders of such tasks, and printed tables."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from corpus.records import LABELS
from eval.results import TaskResult, write_results
from eval.runs import Run, read_run
from eval.stats.estimate import proportion
from eval.stats.metrics import ranking_metrics
from eval.tasks import task_from_name
from eval.tasks.scorers import LABELS as LABEL_SCORER
from eval.tasks.scorers import REFUSALS

DATE = datetime(2024, 5, 1, 12, 30, 15, tzinfo=UTC)
PAIR_LABELS = ("entailment", "neutral", "contradiction")
Labels = Sequence[str | None]


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


def write_run(
    folder: Path, *tasks: TaskResult, settings: Mapping[str, Any] | None = None, date: datetime = DATE
) -> Run:
    """Write the tasks to ``folder`` and read them back as a run; ``settings`` are those of ``config`` by default."""
    write_results(folder, tasks, config() if settings is None else settings, date=date)
    return read_run(folder)


def downgrade_results(folder: Path) -> None:
    """Remove from ``results.json`` the fields of the tasks, which version 0.1.0 did not write."""
    path = folder / "results.json"
    payload = json.loads(path.read_text(encoding="utf-8"))
    del payload["tasks"]
    path.write_text(json.dumps(payload), encoding="utf-8")


def label_task(
    name: str, targets: Sequence[str], predictions: Labels, labels: Sequence[str] = LABELS, **fields: Sequence[Any]
) -> TaskResult:
    """A task with labels for the records "0", "1" ...; ``fields`` gives fields of the samples, a value for each.

    Samples with a premise have no question.
    """
    if "premise" not in fields:
        fields = {"question": [f"Question {number}?" for number in range(len(targets))], **fields}
    samples = [
        {"id": str(number), "prediction": prediction, "target": target}
        | {field: values[number] for field, values in fields.items()}
        for number, (prediction, target) in enumerate(zip(predictions, targets, strict=True))
    ]
    task = task_from_name(name)
    scorer = REFUSALS if task.scorer == REFUSALS else LABEL_SCORER
    return TaskResult(task, scorer.metrics(samples, labels), samples)


def qa_task(name: str, predictions: Labels, targets: Sequence[str], *, generated: bool = False) -> TaskResult:
    """A question-answering task with prompts.

    A predicted label has the probability 0.8; if ``generated``, samples have an output in place of label scores.
    """
    numbers = range(len(targets))
    return label_task(
        name,
        targets,
        predictions,
        id=[f"{number + 100}" for number in numbers],
        question=[f"Does drug {number} help?\u2028" for number in numbers],
        prompt=[f"Text {number}. Does drug {number} help?" for number in numbers],
        output=[(prediction or "hm").capitalize() if generated else None for prediction in predictions],
        label_scores=[{} if generated else label_scores(prediction, 0.8) for prediction in predictions],
    )


def nli_task(predictions: Labels, targets: Sequence[str], name: str = "nli", confidence: float = 0.9) -> TaskResult:
    """An NLI task with the results of a sequence classifier, which has no prompt.

    ``confidence`` is the probability of each prediction.
    """
    numbers = range(len(targets))
    return label_task(
        name,
        targets,
        predictions,
        PAIR_LABELS,
        id=[f"pair{number}" for number in numbers],
        premise=[f"Pain fell by {number}." for number in numbers],
        hypothesis=[f"Pain changed by {number}." for number in numbers],
        prompt=[None] * len(targets),
        output=[None] * len(targets),
        label_scores=[label_scores(prediction, confidence, PAIR_LABELS) for prediction in predictions],
        retrieved=[[]] * len(targets),
    )


def label_scores(prediction: str | None, confidence: float, labels: Sequence[str] = LABELS) -> dict[str, float]:
    """Probabilities of the labels: ``confidence`` for the prediction, and equal ones for the others."""
    rest = round((1 - confidence) / (len(labels) - 1), 9)  # 0.1 for 0.8 and three labels
    return {label: confidence if label == prediction else rest for label in labels}


def verified_task(name: str, targets: Sequence[str], predictions: Labels, verdicts: Labels) -> TaskResult:
    """A task of verified answers; its only metric is the share of supported answers."""
    samples = label_task(name, targets, predictions, verdict=verdicts).samples
    share = proportion(list(verdicts).count("supported"), len(verdicts))
    return TaskResult(task_from_name(name), {"share_supported": share}, samples)


def retrieval_task(
    name: str,
    ranks: Sequence[int | None],
    questions: Mapping[str, str] | None = None,
    other_ids: Sequence[str] = tuple(f"other {number}" for number in range(12)),
) -> TaskResult:
    """A retrieval task; ``ranks`` gives the rank of each record's abstract, None if absent.

    ``questions`` are the records' questions by id, by default those of ``label_task``. ``other_ids`` are the ids of the
    other abstracts that a question finds; a question has as many hits as there are ids.
    """
    if questions is None:
        questions = {str(number): f"Question {number}?" for number in range(len(ranks))}
    samples = []
    for (id, question), rank in zip(questions.items(), ranks, strict=True):
        hits = list(other_ids)
        if rank is not None:
            hits[rank - 1] = id
        samples.append(
            {
                "id": id,
                "question": question,
                "prompt": None,
                "output": None,
                "label_scores": {},
                "prediction": hits[0],
                "target": id,
                "retrieved": [{"id": hit, "score": 1 - place / 20} for place, hit in enumerate(hits)],
            }
        )
    return TaskResult(task_from_name(name), ranking_metrics(ranks), samples)


def printed_lines(*tables: Table, width: int = 100) -> list[str]:
    """The lines of tables printed on a console of ``width`` columns, without empty lines and outer spaces."""
    output = StringIO()
    Console(file=output, width=width).print(*tables)
    return [line.strip() for line in output.getvalue().splitlines() if line.strip()]
