"""Premise-hypothesis pairs: MedNLI's and SNLI's files, any JSONL or CSV, SNLI on the hub, and the sample."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import DataError, UserError
from common.json_file import flaw, kind_of, shown
from corpus.config import PairsConfig, PairSplit
from corpus.rows import file_rows
from corpus.sample import DATA

NAMED = 10  # how many files of a folder are named
SNLI_ID = "stanfordnlp/snli"
_SNLI_COLUMNS = {"premise": "premise", "hypothesis": "hypothesis", "label": "label"}
_MISSING = frozenset({"", "nan", "NaN", "null", "None", "<NA>", "NA"})  # of pandas and R
_WHOLE_NUMBER = re.compile(r"([+-]?\d+)\.0+")
_SNLI_LABELS = ("entailment", "neutral", "contradiction")  # by the number that stands for each


@dataclass(frozen=True, slots=True)
class NLIPair:
    """One pair: does ``hypothesis`` follow from ``premise``? ``label`` is one of the data's label words."""

    id: str
    premise: str
    hypothesis: str
    label: str


@dataclass(frozen=True, slots=True)
class PairData:
    """The pairs of one split, the candidate labels, and how many rows without a label were left out."""

    pairs: tuple[NLIPair, ...]
    labels: tuple[str, ...]
    unlabelled: int = 0


def load_pairs(config: PairsConfig, split: PairSplit | None = None) -> PairData:
    """The pairs of one split, in the file's order, cut to ``config.limit``.

    Args:
        config: what to read.
        split: taken instead of ``config.split`` where given.

    Raises:
        UserError: the split is empty, or the hub cannot be reached.
        DataError: a file is missing or has a row that cannot be used; the line and the column are named.
    """
    split = split or config.split
    labels = tuple(dict.fromkeys(config.labels.values()))
    if config.path == "snli":
        where, rows, columns = f"{SNLI_ID} ({split})", _hub_rows(config, split), _SNLI_COLUMNS
    else:
        path = pair_file(config, split)
        _check_there(config, path, split)
        where, rows, columns = str(path), file_rows(path), config.columns.model_dump()
    pairs: list[NLIPair] = []
    ids: set[str] = set()
    unlabelled = 0
    for line, row in rows:
        pair = _pair(where, line, row, columns, config)
        if pair is None:
            unlabelled += 1
            continue
        if pair.id in ids:
            raise DataError(where, f"the id {shown(pair.id)!r} stands in the file twice.", record=f"line {line}")
        ids.add(pair.id)
        pairs.append(pair)
    if not pairs:
        without = f": all {unlabelled} rows are without a label" if unlabelled else ""
        raise UserError(f"{where}: there is no pair in the {split} split{without}. Name another file or split.")
    return PairData(tuple(pairs[: config.limit]), labels, unlabelled)


def pair_file(config: PairsConfig, split: PairSplit) -> Path:
    """The file of a split: as the settings name it, in the folder ``config.path``, or ``config.path`` itself."""
    place = DATA if config.path == "sample" else Path(config.path).expanduser()
    if place.is_dir():
        return place / str(getattr(config.files, split))
    return place


def _check_there(config: PairsConfig, path: Path, split: PairSplit) -> None:
    """Refuse a folder that has no file by the name of a split, telling what it has."""
    if path.exists() or config.path == "sample" or not (folder := Path(config.path).expanduser()).is_dir():
        return
    names = sorted(one.name for one in folder.iterdir() if not one.name.startswith("."))
    held = ", ".join(map(shown, names[:NAMED])) + (", ..." if len(names) > NAMED else "")
    has = f"which holds {held}" if names else "which is empty"
    advice = f"Set pairs.files.{split} to the name of the {split} split's file."
    raise DataError(path, f"there is no such file in the folder, {has}. {advice}")


def repeated_premises(train: Sequence[NLIPair], test: Sequence[NLIPair]) -> list[str]:
    """Premises that stand in both, in the order of ``test``: what a model has read in training is no test of it.

    White space and case are not looked at.
    """
    known = {_folded(pair.premise) for pair in train}
    return list(dict.fromkeys(pair.premise for pair in test if _folded(pair.premise) in known))


def apart_from(asked: Sequence[NLIPair], pairs: Sequence[NLIPair]) -> list[NLIPair]:
    """Those of ``pairs`` whose premise is none of ``asked``, in order; white space and case are not looked at."""
    known = {_folded(pair.premise) for pair in asked}
    return [pair for pair in pairs if _folded(pair.premise) not in known]


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def _pair(
    where: str, line: int, row: Mapping[str, Any], columns: Mapping[str, str | None], config: PairsConfig
) -> NLIPair | None:
    """A row as a pair; None where it has no label."""
    record = f"line {line}"
    for part in ("premise", "hypothesis", "label"):
        _column(where, record, row, str(columns[part]))
    label = _label(where, record, row, str(columns["label"]), config)
    if label is None:
        return None
    texts = {}
    for part in ("premise", "hypothesis"):
        name = str(columns[part])
        value = _column(where, record, row, name)
        if not isinstance(value, str):
            raise DataError(where, f"must be a text, not {kind_of(value)}.", record=record, field=name)
        if problem := flaw(value):
            raise DataError(where, problem, record=record, field=name)
        if not value.strip():
            raise DataError(where, "is empty.", record=record, field=name)
        texts[part] = value.strip()
    id_column = columns.get("id")
    key = row.get(id_column) if id_column else None
    return NLIPair(str(line) if _is_missing(key) else _written(key), **texts, label=label)


def _label(where: str, record: str, row: Mapping[str, Any], name: str, config: PairsConfig) -> str | None:
    """The model's word for a row's label; None where the row has no label.

    A data frame with a missing label writes the numbers of the others as 1.0, and the missing one as null, NaN or an
    empty cell.
    """
    value = _column(where, record, row, name)
    if isinstance(value, bool | list | dict):
        raise DataError(where, f"must be a label, not {kind_of(value)}.", record=record, field=name)
    given = _written(value)
    spellings = (given, whole[1]) if (whole := _WHOLE_NUMBER.fullmatch(given)) else (given,)
    for spelling in spellings:
        if spelling in config.labels:
            return config.labels[spelling]
    if _is_missing(value) or any(spelling in config.unlabelled for spelling in spellings):
        return None
    known = ", ".join(config.labels)
    raise DataError(
        where,
        f"{shown(given)!r} is no label of pairs.labels ({known}). Add it there, or to pairs.unlabelled.",
        record=record,
        field=name,
    )


def _written(value: object) -> str:
    """A label or an id as text; a whole number has no decimals, whether it is an integer or not."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _is_missing(value: object) -> bool:
    """Whether a value stands for none: null, NaN, or their forms in a table."""
    return value is None or value != value or (isinstance(value, str) and value.strip() in _MISSING)


def _column(where: str, record: str, row: Mapping[str, Any], name: str) -> Any:
    if name not in row:
        there = ", ".join(shown(str(key)) for key in row) or "none"
        raise DataError(
            where,
            f"is missing (columns here: {there}). Name the right one in pairs.columns.",
            record=record,
            field=name,
        )
    return row[name]


def _hub_rows(config: PairsConfig, split: PairSplit) -> Iterable[tuple[int, Mapping[str, Any]]]:
    """SNLI's rows with label words for its numbers; -1 is "no label"."""
    from datasets import load_dataset

    from common.hub import hub_errors

    with hub_errors("Data set", SNLI_ID, repo_type="dataset"):
        rows = load_dataset(SNLI_ID, revision=config.revision, split="validation" if split == "dev" else split)
    return snli_rows(rows)


def snli_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The hub's rows, whose labels are numbers, as those of SNLI's own files, counted from 1."""
    for number, row in enumerate(rows, start=1):
        label = row.get("label")
        named = isinstance(label, int) and 0 <= label < len(_SNLI_LABELS)
        yield number, {**row, "label": _SNLI_LABELS[label] if named and label is not None else label}
