"""The report page's data for its scripts, in compact JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from common.fingerprints import to_jsonable
from eval.report.projection import EmbeddingMap
from eval.report.tasks import ReportTask, record_texts
from eval.stats.verification import VERDICTS
from eval.tasks import Sample
from eval.tasks.base import VERIFICATION, WRITTEN
from eval.tasks.scorers import RANKING, rank


def page_data(
    tasks: Sequence[ReportTask], texts: Sequence[Mapping[str, str]] = (), maps: Sequence[EmbeddingMap] = ()
) -> dict[str, Any]:
    """The data of the page in JSON types; each text is stored once and referred to by its index.

    ``texts`` are the passages by id, one mapping per task. The keys of the data:

    - ``passages``: a list of ``[id, text]``; the text may be null.
    - ``records``: a list of ``[id, question]`` or ``[id, premise, hypothesis]``.
    - ``verdicts``: the names of the verdicts, in the order of their scores.
    - ``tasks``: name, run, title, heading, kind, section, labels and ``columns``. Each column holds a value per sample:
      index of the record, whether the answer is right, prediction, target, scores in the labels' order, passages as
      ``[index, score, index, score, ...]``, and fields of the task's kind. Columns without values are left out.
    - ``maps``: name and caption; index of the record, index of the abstract, and label of each pair; ``positions``,
      four numbers per pair (x and y of the question, then of the abstract).
    """
    passages, records = _Indices(), _Indices()
    data: dict[str, Any] = to_jsonable(
        {
            "tasks": [
                _task_data(task, texts[index] if texts else {}, records, passages) for index, task in enumerate(tasks)
            ],
            "maps": [
                {
                    "name": embedding_map.name,
                    "caption": embedding_map.caption,
                    "records": [records[pair.id, pair.question] for pair in embedding_map.pairs],
                    "passages": [passages[pair.id, pair.abstract] for pair in embedding_map.pairs],
                    "labels": [pair.label for pair in embedding_map.pairs],
                    "positions": [coordinate for position in embedding_map.positions for coordinate in position],
                }
                for embedding_map in maps
            ],
            "passages": list(passages),
            "records": list(records),
            "verdicts": VERDICTS,
        }
    )
    return data


class _Indices(dict[tuple[str | None, ...], int]):
    """The index of each item, in the order of the first look-ups."""

    def __missing__(self, item: tuple[str | None, ...]) -> int:
        return self.setdefault(item, len(self))


def _task_data(task: ReportTask, texts: Mapping[str, str], records: _Indices, passages: _Indices) -> dict[str, Any]:
    rows = [_row(task, sample, texts, records, passages) for sample in task.samples]
    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
    return {
        "name": task.name,
        "run": task.run,
        "title": task.title,
        "heading": task.section.title,
        "kind": task.scorer.name,
        "section": task.section.id,
        "labels": task.labels,
        "columns": {
            name: column for name, column in columns.items() if any(value not in (None, []) for value in column)
        },
    }


def _row(
    task: ReportTask, sample: Sample, texts: Mapping[str, str], records: _Indices, passages: _Indices
) -> dict[str, Any]:
    """The values of a sample by column."""
    hits = [(str(hit["id"]), hit.get("score")) for hit in sample["retrieved"]]
    row: dict[str, Any] = {
        "record": records[record_texts(sample)],
        "right": int(task.scorer.is_right(sample)),
        "prediction": sample["prediction"],
        "target": sample["target"],
        "passages": [value for id, score in hits for value in (passages[id, texts.get(id)], _rounded(score))],
        "scores": _scores(sample["label_scores"], task.labels),
        "output": sample.get("output"),
        "notes": [str(note) for note in sample["notes"]],
    }
    if task.scorer == RANKING:
        row["rank"] = rank(sample)
    if task.section == VERIFICATION:
        against, sentence = sample.get("verified_against"), sample.get("sentence")
        row |= {
            "verdict": sample["verdict"],
            "verdict_scores": _scores(sample["verdict_scores"], VERDICTS),
            "statement": sample.get("statement"),
            "against": None if against is None else passages[str(against), texts.get(str(against))],
            "sentence": str(sentence["quote"]) if isinstance(sentence, Mapping) and "quote" in sentence else None,
        }
    if task.section == WRITTEN:
        row["sentences"] = [
            [each["text"], each["verdict"], int(each["attributed"]), each["citations"], each.get("evidence")]
            for each in sample.get("judged", ())
        ]
    return row


def _scores(scores: Mapping[str, Any], labels: Sequence[str]) -> list[float | None] | None:
    return [_rounded(scores.get(label)) for label in labels] if scores else None


def _rounded(number: object) -> float | None:
    """The number rounded to four significant digits, which halves the size of the page; None for other types."""
    return float(f"{number:.4g}") if isinstance(number, int | float) else None
