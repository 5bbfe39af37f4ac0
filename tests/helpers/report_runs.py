"""Tasks and results folders for tests of reports: given predictions for the first records of the sample."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from written_runs import PAIR_LABELS, Labels, label_scores, label_task, nli_task, retrieval_task

from corpus.config import DataConfig
from corpus.load import load_records
from corpus.records import QARecord
from eval.results import TaskResult, write_results
from eval.stats.estimate import Estimate
from eval.tasks import task_from_name

PREDICTIONS = (
    "yes",
    "no",
    "yes",
    "no",
    "maybe",
    "yes",
    None,
    "no",
)  # the predictions of qa_none and verified_gold in ``write_grid``


def records(n: int) -> list[QARecord]:
    """The first ``n`` records of the sample's test split."""
    return _sample()[:n]


@cache
def _sample() -> list[QARecord]:
    return load_records(DataConfig())


def settings(**sections: Mapping[str, Any]) -> dict[str, Any]:
    """The default settings as ``results.json`` stores them; ``sections`` overrides values by section."""
    from medground.settings import Settings

    tree = Settings().model_dump(mode="json")
    return {name: {**tree[name], **sections[name]} if name in sections else tree[name] for name in tree}


def ranking(ranks: Sequence[int | None], name: str = "dense") -> TaskResult:
    """A retrieval task of ten hits a question; ``ranks`` gives the rank of each question's abstract, None if absent."""
    questions = {record.id: record.question for record in records(len(ranks))}
    return retrieval_task(f"retrieval_{name}", ranks, questions, [record.id for record in records(40)[-10:]])


def answers(name: str, predictions: Labels, confidence: float | None = 0.8, **fields: Sequence[Any]) -> TaskResult:
    """A task of kind ``qa``.

    Args:
        confidence: probability of each prediction; None for answers that were generated, which have no probabilities.
        fields: further fields of the samples, with a value for each sample.
    """
    of_task = records(len(predictions))
    defaults: dict[str, Sequence[Any]] = {
        "id": [record.id for record in of_task],
        "question": [record.question for record in of_task],
        "prompt": ["the prompt, which no report shows"] * len(of_task),
        "output": [None if confidence else str(prediction) for prediction in predictions],
        "label_scores": [label_scores(prediction, confidence) if confidence else {} for prediction in predictions],
        "retrieved": [[] if name == "qa_none" else [{"id": record.id, "score": 0.7}] for record in of_task],
        "notes": [[]] * len(of_task),
    }
    targets = ["maybe" if name == "qa_wrong" else str(record.label) for record in of_task]
    return label_task(name, targets, predictions, **defaults | fields)


def verified(name: str, predictions: Labels, verdicts: Labels, support: Sequence[float]) -> TaskResult:
    """A task of verified answers; each verdict rests on the first sentence of the question's abstract.

    ``support`` gives each answer's probability of "supported"; the rest is that of "contradicted".
    """
    questions = records(len(predictions))
    task = answers(
        name.replace("verified", "qa", 1),
        predictions,
        verdict=verdicts,
        verdict_scores=[
            {"supported": value, "contradicted": 1 - value, "not enough evidence": 0.0} for value in support
        ],
        verified_against=[record.id for record in questions],
        statement=[f"{record.question} The answer is yes." for record in questions],
        sentence=[{"passage_id": record.id, "quote": record.context.split(".")[0] + "."} for record in questions],
    )
    accuracy = sum(sample["prediction"] == sample["target"] for sample in task.samples) / len(predictions)
    return replace(task, task=task_from_name(name), estimates={"accuracy": Estimate(accuracy)})


def write_grid(folder: Path, **sections: Mapping[str, Any]) -> Path:
    """Write the results of a grid: a run of two retrievers and a run of a model with five tasks, of 8 samples each."""
    retrieval_tasks, model_tasks = _grid_tasks()
    write_results(folder / "retrieval", retrieval_tasks, settings())
    write_results(folder / "tiny", model_tasks, settings(**sections))
    return folder


@cache
def _grid_tasks() -> tuple[list[TaskResult], list[TaskResult]]:
    """The tasks of the two runs; they are cached because their intervals take long to compute."""
    support = [0.9, 0.2, 0.8, 0.1, 0.7, 0.6, 0.3, 0.4]
    verdicts = ["supported" if value > 0.5 else "contradicted" for value in support]
    pair_predictions = [PAIR_LABELS[place % 3] for place in range(8)]
    model_tasks = [
        answers("qa_none", PREDICTIONS),
        answers("qa_gold", [record.label for record in records(8)]),
        answers("qa_wrong", ["maybe"] * 7 + ["yes"]),
        verified("verified_gold", PREDICTIONS, verdicts, support),
        nli_task(pair_predictions, [*pair_predictions[1:], "neutral"]),
    ]
    return [ranking([1, 2, None, 1, 1, 3, 1, 1]), ranking([1] * 8, "bm25")], model_tasks
