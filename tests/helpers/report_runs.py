"""Runs over the sample's first records, of answers that a test states, for reports."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from corpus.config import DataConfig
from corpus.load import load_records
from corpus.records import LABELS, QARecord
from eval.results import TaskResult, write_results
from eval.stats.calibration import calibration_metrics
from eval.stats.estimate import Estimate
from eval.stats.metrics import label_metrics, ranking_metrics, share, unparsed
from eval.tasks import task_from_name

PAIR_LABELS = ("entailment", "neutral", "contradiction")


def records(n: int) -> list[QARecord]:
    """The first ``n`` of the sample's test split."""
    return _sample()[:n]


@cache
def _sample() -> list[QARecord]:
    return load_records(DataConfig())


def settings(**sections: Mapping[str, Any]) -> dict[str, Any]:
    """The default settings as a run keeps them; ``sections`` change some."""
    from medground.settings import Settings

    tree = Settings().model_dump(mode="json")
    return {name: {**tree[name], **sections[name]} if name in sections else tree[name] for name in tree}


def ranking(ranks: Sequence[int | None], name: str = "dense") -> TaskResult:
    """A retrieval task whose own abstracts stand at ``ranks`` among the first ten."""
    asked = records(len(ranks))
    ids = [record.id for record in records(40)]
    samples = []
    for record, rank in zip(asked, ranks, strict=True):
        found = [id for id in ids if id != record.id][:10]
        if rank is not None:
            found.insert(rank - 1, record.id)
        samples.append(
            {
                "id": record.id,
                "question": record.question,
                "prompt": None,
                "output": None,
                "label_scores": {},
                "prediction": found[0],
                "target": record.id,
                "retrieved": [{"id": id, "score": 1 - place / 20} for place, id in enumerate(found[:10])],
            }
        )
    return TaskResult(task_from_name(f"retrieval_{name}"), ranking_metrics(ranks), samples)


def answers(
    name: str, predictions: Sequence[str | None], confidence: float | None = 0.8, **more: Sequence[Any]
) -> TaskResult:
    """A task of yes, no and maybe; ``more`` changes fields of the samples, a value each."""
    asked = records(len(predictions))
    scores = dict.fromkeys(LABELS, 0.0)
    samples = [
        {
            "id": record.id,
            "question": record.question,
            "prompt": "the prompt, which no report shows",
            "output": None if confidence else str(prediction),
            "label_scores": _scores(prediction, confidence, scores),
            "prediction": prediction,
            "target": "maybe" if name == "qa_wrong" else record.label,
            "retrieved": [] if name == "qa_none" else [{"id": record.id, "score": 0.7}],
            "notes": [],
            **{field: values[place] for field, values in more.items()},
        }
        for place, (record, prediction) in enumerate(zip(asked, predictions, strict=True))
    ]
    targets = [str(sample["target"]) for sample in samples]
    if name == "qa_wrong":
        estimates = {"share_maybe": share(predictions, "maybe"), "unparsed": unparsed(predictions)}
    else:
        estimates = label_metrics(targets, predictions, LABELS) | calibration_metrics(samples)
    return TaskResult(task_from_name(name), estimates, samples)


def verified(
    name: str, predictions: Sequence[str | None], verdicts: Sequence[str | None], support: Sequence[float]
) -> TaskResult:
    """Answers with verdicts; the first sentence of the own abstract decides."""
    asked = records(len(predictions))
    sentences = [{"passage_id": record.id, "quote": record.context.split(".")[0] + "."} for record in asked]
    task = answers(
        name.replace("verified", "qa", 1),
        predictions,
        verdict=verdicts,
        verdict_scores=[
            {"supported": value, "contradicted": 1 - value, "not enough evidence": 0.0} for value in support
        ],
        verified_against=[record.id for record in asked],
        statement=[f"{record.question} The answer is yes." for record in asked],
        sentence=sentences,
    )
    right = sum(sample["prediction"] == sample["target"] for sample in task.samples) / len(predictions)
    return replace(task, task=task_from_name(name), estimates={"accuracy": Estimate(right)})


def pairs(predictions: Sequence[str | None], targets: Sequence[str], name: str = "nli") -> TaskResult:
    """A task on pairs."""
    scores = dict.fromkeys(PAIR_LABELS, 0.0)
    samples = [
        {
            "id": f"pair{place}",
            "premise": f"Pain fell by {place}.",
            "hypothesis": f"Pain changed by {place}.",
            "prompt": None,
            "output": None,
            "label_scores": _scores(prediction, 0.9, scores),
            "prediction": prediction,
            "target": target,
            "retrieved": [],
        }
        for place, (prediction, target) in enumerate(zip(predictions, targets, strict=True))
    ]
    return TaskResult(task_from_name(name), label_metrics(targets, predictions, PAIR_LABELS), samples)


def full(folder: Path, **sections: Mapping[str, Any]) -> Path:
    """A folder with a run of retrievers and one of a model, eight records each, as a grid has them."""
    rankings, tasks = _full_tasks()
    write_results(folder / "retrieval", rankings, settings())
    write_results(folder / "tiny", tasks, settings(**sections))
    return folder


@cache
def _full_tasks() -> tuple[list[TaskResult], list[TaskResult]]:
    """The tasks of ``full``, whose intervals are computed once."""
    given: list[str | None] = ["yes", "no", "yes", "no", "maybe", "yes", None, "no"]
    support = [0.9, 0.2, 0.8, 0.1, 0.7, 0.6, 0.3, 0.4]
    verdicts = ["supported" if value > 0.5 else "contradicted" for value in support]
    none, gold = answers("qa_none", given), answers("qa_gold", [record.label for record in records(8)])
    judged = [PAIR_LABELS[place % 3] for place in range(8)]
    tasks = [
        none,
        gold,
        answers("qa_wrong", ["maybe"] * 7 + ["yes"]),
        verified("verified_gold", given, verdicts, support),
        pairs(judged, [*judged[1:], "neutral"]),
    ]
    return [ranking([1, 2, None, 1, 1, 3, 1, 1]), ranking([1] * 8, "bm25")], tasks


def _scores(prediction: str | None, confidence: float | None, scores: Mapping[str, float]) -> dict[str, float]:
    if confidence is None:
        return {}
    rest = (1 - confidence) / (len(scores) - 1)
    return {label: confidence if label == prediction else rest for label in scores}
