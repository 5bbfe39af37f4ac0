"""Data of the page's scripts, in compact form."""

from collections.abc import Mapping, Sequence
from typing import Any

from common.fingerprints import to_jsonable
from eval.report.projection import EmbeddingMap
from eval.report.tasks import ReportTask
from eval.stats.verification import VERDICTS
from eval.tasks import Sample
from eval.tasks.base import VERIFICATION, WRITTEN
from eval.tasks.scorers import RANKING, rank


class Payload:
    """Collects the data of the page; each text is stored once.

    ``data`` has four parts:

    - ``passages``: ``[id, text]``; the text may be null;
    - ``records``: ``[id, question]`` or ``[id, premise, hypothesis]``;
    - ``tasks``: name, run, title, heading, kind, labels, and ``columns``, with one entry per sample: index of the
      record, whether it is right, prediction, target, scores in the labels' order, passages as ``[index, score, ...]``,
      and fields of its kind. Columns without values are left out.
    - ``maps``: name, caption and, per pair, the indices of record and abstract, the label and the position.
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

    def add_map(self, shown: EmbeddingMap) -> None:
        """Add a map; its texts are shared with the tasks."""
        self._maps.append(
            {
                "name": shown.name,
                "caption": shown.caption,
                "records": [self._record((pair.id, pair.question)) for pair in shown.pairs],
                "passages": [self._passage(pair.id, pair.abstract) for pair in shown.pairs],
                "labels": [pair.label for pair in shown.pairs],
                "positions": [value for position in shown.positions for value in position],
            }
        )

    @property
    def data(self) -> dict[str, Any]:
        """All added data in JSON types."""
        whole: dict[str, Any] = to_jsonable(
            {
                "passages": list(self._passages),
                "records": list(self._records),
                "verdicts": VERDICTS,
                "tasks": self._tasks,
                "maps": self._maps,
            }
        )
        return whole

    def _row(self, task: ReportTask, sample: Sample, texts: Mapping[str, str]) -> dict[str, Any]:
        row: dict[str, Any] = {
            "record": self._record(_texts_of(sample)),
            "right": int(task.scorer.is_right(sample)),
            "prediction": sample["prediction"],
            "target": sample["target"],
            "passages": [
                part
                for found in sample["retrieved"]
                for part in (self._passage(str(found["id"]), texts.get(str(found["id"]))), _short(found.get("score")))
            ],
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
                "against": None if against is None else self._passage(str(against), texts.get(str(against))),
                "sentence": str(sentence["quote"]) if isinstance(sentence, Mapping) and "quote" in sentence else None,
            }
        if task.section == WRITTEN:
            row["sentences"] = [
                [one["text"], one["verdict"], int(one["attributed"]), one["citations"], one.get("evidence")]
                for one in sample["judged"]
            ]
        return row

    def _record(self, texts: tuple[str, ...]) -> int:
        return self._records.setdefault(texts, len(self._records))

    def _passage(self, id: str, text: str | None) -> int:
        return self._passages.setdefault((id, text), len(self._passages))


def _texts_of(sample: Sample) -> tuple[str, ...]:
    names = ("premise", "hypothesis") if "premise" in sample else ("question",)
    return (str(sample["id"]), *(str(sample.get(name) or "") for name in names))


def _scores(scores: Mapping[str, Any], labels: Sequence[str]) -> list[float | None] | None:
    return [_short(scores.get(label)) for label in labels] if scores else None


def _short(number: object) -> float | None:
    """The number with four significant digits, which halves the size of the page."""
    return float(f"{number:.4g}") if isinstance(number, int | float) else None


def _has_value(value: object) -> bool:
    return value is not None and value != []
