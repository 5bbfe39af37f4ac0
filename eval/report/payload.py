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


class Payload:
    """Collects the data of the page; each text is stored once and referred to by its index.

    The keys of ``data``:

    - ``passages``: a list of ``[id, text]``; the text may be null.
    - ``records``: a list of ``[id, question]`` or ``[id, premise, hypothesis]``.
    - ``verdicts``: the names of the verdicts, in the order of their scores.
    - ``tasks``: name, run, title, heading, kind, section, labels and ``columns``, which hold a value per sample: index
      of the record, whether the answer is right, prediction, target, scores in the labels' order, passages as
      ``[index, score, index, score, ...]``, and fields of the task's kind. Columns without values are left out.
    - ``maps``: name and caption; per pair the indices of record and abstract and the label; and ``positions``, four
      numbers per pair (x and y of the question, then of the abstract).
    """

    def __init__(self) -> None:
        self._passages: dict[tuple[str, str | None], int] = {}
        self._records: dict[tuple[str, ...], int] = {}
        self._tasks: list[dict[str, Any]] = []
        self._maps: list[dict[str, Any]] = []

    def add_task(self, task: ReportTask, texts: Mapping[str, str]) -> None:
        """Add a task's samples; ``texts`` are passages by id."""
        rows = [self._row(task, sample, texts) for sample in task.samples]
        names = dict.fromkeys(name for row in rows for name in row)
        columns = {name: [row.get(name) for row in rows] for name in names}
        self._tasks.append(
            {
                "name": task.name,
                "run": task.run,
                "title": task.title,
                "heading": task.section.title,
                "kind": task.scorer.name,
                "section": task.section.id,
                "labels": task.labels,
                "columns": {name: column for name, column in columns.items() if any(map(_has_value, column))},
            }
        )

    def add_map(self, embedding_map: EmbeddingMap) -> None:
        """Add a map; it shares texts with the tasks."""
        self._maps.append(
            {
                "name": embedding_map.name,
                "caption": embedding_map.caption,
                "records": [self._record_index((pair.id, pair.question)) for pair in embedding_map.pairs],
                "passages": [self._passage_index(pair.id, pair.abstract) for pair in embedding_map.pairs],
                "labels": [pair.label for pair in embedding_map.pairs],
                "positions": [coordinate for position in embedding_map.positions for coordinate in position],
            }
        )

    @property
    def data(self) -> dict[str, Any]:
        """All added data in JSON types."""
        data: dict[str, Any] = to_jsonable(
            {
                "passages": list(self._passages),
                "records": list(self._records),
                "verdicts": VERDICTS,
                "tasks": self._tasks,
                "maps": self._maps,
            }
        )
        return data

    def _row(self, task: ReportTask, sample: Sample, texts: Mapping[str, str]) -> dict[str, Any]:
        passages: list[float | None] = []
        for hit in sample["retrieved"]:
            id = str(hit["id"])
            passages += [self._passage_index(id, texts.get(id)), _rounded(hit.get("score"))]
        row: dict[str, Any] = {
            "record": self._record_index(record_texts(sample)),
            "right": int(task.scorer.is_right(sample)),
            "prediction": sample["prediction"],
            "target": sample["target"],
            "passages": passages,
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
                "against": None if against is None else self._passage_index(str(against), texts.get(str(against))),
                "sentence": str(sentence["quote"]) if isinstance(sentence, Mapping) and "quote" in sentence else None,
            }
        if task.section == WRITTEN:
            row["sentences"] = [
                [each["text"], each["verdict"], int(each["attributed"]), each["citations"], each.get("evidence")]
                for each in sample.get("judged", ())
            ]
        return row

    def _record_index(self, texts: tuple[str, ...]) -> int:
        return self._records.setdefault(texts, len(self._records))

    def _passage_index(self, id: str, text: str | None) -> int:
        return self._passages.setdefault((id, text), len(self._passages))


def _scores(scores: Mapping[str, Any], labels: Sequence[str]) -> list[float | None] | None:
    return [_rounded(scores.get(label)) for label in labels] if scores else None


def _rounded(number: object) -> float | None:
    """The number rounded to four significant digits, which halves the size of the page; None for other types."""
    return float(f"{number:.4g}") if isinstance(number, int | float) else None


def _has_value(value: object) -> bool:
    return value is not None and value != []
