"""Premise-hypothesis pairs from public sets, JSON lines, tables or the sample."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import DataError, UserError
from common.json_file import escape, json_type
from corpus.config import PairFiles, PairsConfig
from corpus.inference.pair_sets import PAIR_SETS, PairSplit
from corpus.rows import (
    Rows,
    columns_of,
    file_rows,
    is_missing,
    record_name,
    row_id,
    text_of,
    value_text,
    with_column_names,
)
from corpus.sample import DATA

MAX_LISTED = 10  # files of a folder that a message lists
SNLI_ID = "stanfordnlp/snli"
_SNLI_COLUMNS = {"premise": "premise", "hypothesis": "hypothesis", "label": "label"}
_WHOLE_NUMBER = re.compile(r"\A([+-]?\d+)\.0+\Z")
_SNLI_LABELS: dict[object, str] = {0: "entailment", 1: "neutral", 2: "contradiction"}
_SPLIT_NAMES: dict[str, PairSplit] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "development", "validation", "valid", "val"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SPLIT_SHARES: dict[PairSplit, float] = {"train": 0.7, "dev": 0.1, "test": 0.2}  # if pairs.split_by divides a file


@dataclass(frozen=True, slots=True)
class NLIPair:
    """A premise, a hypothesis and their relation ``label``, which is a value of the setting ``pairs.labels``."""

    id: str
    premise: str
    hypothesis: str
    label: str


@dataclass(frozen=True, slots=True)
class PairData:
    """The pairs of a split, the candidate labels, and the number of skipped rows without a label."""

    pairs: tuple[NLIPair, ...]
    labels: tuple[str, ...]
    unlabelled: int = 0


def load_pairs(config: PairsConfig, split: PairSplit | None = None) -> PairData:
    """The pairs of a split in the file's order, at most ``config.limit``.

    Args:
        config: section ``pairs``.
        split: overrides ``config.split``.

    Raises:
        UserError: the split is empty, or the hub cannot be reached.
        DataError: a file is missing or has an invalid row; the message names the record and the column.
    """
    split = split or config.split
    labels = tuple(dict.fromkeys(config.labels.values()))
    where, rows, columns = _source(config, split)
    pairs: list[NLIPair] = []
    ids: set[str] = set()
    unlabelled = 0
    for number, row in rows:
        record = record_name(number)
        pair = _pair(where, record, str(number), row, columns, config)
        if pair is None:
            unlabelled += 1
            continue
        if pair.id in ids:
            problem = f"the id {escape(pair.id)!r} occurs twice. Set pairs.columns.id to null to number the rows."
            raise DataError(where, problem, record=record)
        ids.add(pair.id)
        pairs.append(pair)
    if not pairs:
        reason = f": all {unlabelled} rows are without a label" if unlabelled else ""
        source = f" {public.title}: {public.source}." if (public := PAIR_SETS.get(config.path)) else ""
        raise UserError(f"{where}: there is no pair in the {split} split{reason}. Name another file or split.{source}")
    return PairData(tuple(pairs[: config.limit]), labels, unlabelled)


def _source(config: PairsConfig, split: PairSplit) -> tuple[str, Rows, Mapping[str, str | None]]:
    """The source's name for messages, its rows and its columns."""
    if config.split_by is not None:
        path = _single_file(config)
        return f"{path} ({split})", _divided_rows(path, config, config.split_by, split), config.columns.model_dump()
    if config.path == "snli" and config.folder is None and not Path("snli").is_dir():
        return f"{SNLI_ID} ({split})", _hub_rows(config, split), _SNLI_COLUMNS
    path = pair_file(config, split)
    _check_exists(config, path, split)
    return str(path), _file_rows(config, path, split), config.columns.model_dump()


def _file_rows(config: PairsConfig, path: Path, split: PairSplit) -> Rows:
    """The rows of a file; if it is a public set's file with several splits, only the rows of ``split``."""
    public = PAIR_SETS.get(config.path)
    names = [*config.columns.model_dump().values(), config.split_by]
    rows = file_rows(path) if public is None else public.rows(path)
    for number, row in rows:
        if public is None or config.split_by or row.get("split", split) == split:
            yield number, with_column_names(row, names)


def pair_file(config: PairsConfig, split: PairSplit) -> Path:
    """The path of a split's file, which need not exist.

    The path is ``config.path`` if that is a file, or a file in that folder. For a public set it is a file in the set's
    folder or in a direct subfolder.
    """
    public, folder = PAIR_SETS.get(config.path), _folder(config)
    name = str(getattr(config.files, split))
    if public is None:
        return folder / name if folder.is_dir() else folder
    names = public.files[split] if name == getattr(PairFiles(), split) else (name,)
    folders = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())] if folder.is_dir() else []
    files = (parent / name for name in names for parent in folders if (parent / name).is_file())
    return next(files, folder / names[0])


def _folder(config: PairsConfig) -> Path:
    """The folder with the files of all splits, or the path of the only file."""
    if config.path == "sample":
        return DATA
    return Path((config.folder if config.path in PAIR_SETS else None) or config.path).expanduser()


def _single_file(config: PairsConfig) -> Path:
    """The file that ``pairs.split_by`` divides."""
    files = list(dict.fromkeys(pair_file(config, split) for split in _SPLIT_SHARES))
    existing = [file for file in files if file.exists()]
    if len(existing) > 1:
        names = ", ".join(file.name for file in existing)
        raise UserError(
            f"pairs.split_by divides one file, and {existing[0].parent} has {names}. Set pairs.split_by to null to use "
            "these splits, or move the file that you want into a folder of its own."
        )
    path = (existing or files)[0]
    _check_exists(config, path, "train")
    return path


def _divided_rows(path: Path, config: PairsConfig, column: str, split: PairSplit) -> Rows:
    """The rows of ``split``, after the file's rows are divided so that equal values of ``column`` are in one split.

    If all values are names of splits, such as train, validation and test, the values determine the splits. If only some
    values are, and they name two or more splits, any other value is an error.

    Otherwise the values are assigned to splits one by one. Values with more rows come first; values with equally many
    rows are sorted by SHA-256. Each value goes to the split for which the rows of each label come nearest to 70 %, 10 %
    and 20 %. The division does not depend on the order of the rows. White space and case of the values are ignored.
    """
    rows = list(_file_rows(config, path, split))
    values, labels = (
        [_folded(str(_column(str(path), record_name(number), row, name, setting))) for number, row in rows]
        for name, setting in ((column, "pairs.split_by"), (config.columns.label, "pairs.columns.label"))
    )
    names = [value in _SPLIT_NAMES for value in values]
    if all(names):
        splits = _SPLIT_NAMES
    elif len({_SPLIT_NAMES[value] for value in values if value in _SPLIT_NAMES}) > 1:
        number, row = rows[names.index(False)]
        problem = f"{escape(str(row[column]))!r} is no split, and other rows name splits. Write train, dev or test "
        problem += "there, or name another column in pairs.split_by."
        raise DataError(path, problem, record=record_name(number), field=column)
    else:
        splits = _balanced_splits(values, labels)
    return (row for row, value in zip(rows, values, strict=True) if splits[value] == split)


def _balanced_splits(values: Sequence[str], labels: Sequence[str]) -> dict[str, PairSplit]:
    """The split of each value, chosen so that each split has its share of the rows of each label."""
    sizes: dict[str, Counter[str]] = {value: Counter() for value in values}
    for value, label in zip(values, labels, strict=True):
        sizes[value][label] += 1
    target = {
        name: {label: share * size for label, size in sum(sizes.values(), Counter()).items()}
        for name, share in _SPLIT_SHARES.items()
    }
    assigned: dict[PairSplit, Counter[str]] = {name: Counter() for name in _SPLIT_SHARES}
    splits: dict[str, PairSplit] = {}

    def gain(name: PairSplit, size: Counter[str]) -> float:
        """How much nearer a split comes to its target, in squared relative differences, with a value's rows added."""
        return sum(
            ((assigned[name][label] - goal) ** 2 - (assigned[name][label] + size[label] - goal) ** 2) / goal
            for label, goal in target[name].items()
        )

    def order(value: str) -> tuple[int, bytes]:
        return -sizes[value].total(), hashlib.sha256(value.encode(errors="replace")).digest()

    for value in sorted(sizes, key=order):
        splits[value] = max(_SPLIT_SHARES, key=lambda name: gain(name, sizes[value]))
        assigned[splits[value]] += sizes[value]
    return splits


def _check_exists(config: PairsConfig, path: Path, split: PairSplit) -> None:
    """Check that the file of a split exists in the folder.

    The error lists the folder's files. For a public set it also says where to get the set.
    """
    public, folder = PAIR_SETS.get(config.path), _folder(config)
    if path.exists() or (public is None and not folder.is_dir()):
        return
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
    listed = ", ".join(map(escape, names[:MAX_LISTED])) + (", ..." if len(names) > MAX_LISTED else "")
    contents = f"which holds {listed}" if names else "which is empty" if folder.is_dir() else "which does not exist"
    advice = f"Set pairs.files.{split} to the name of the {split} split's file."
    if public is not None:
        advice = (
            f"{public.title} is available at {public.source}. Download it and set pairs.folder to the folder of its "
            f"files, or pairs.files.{split} to another name."
        )
    raise DataError(path, f"there is no such file in the folder, {contents}. {advice}")


def repeated_premises(train: Sequence[NLIPair], test: Sequence[NLIPair]) -> list[str]:
    """Premises of ``test`` that also occur in ``train`` (leakage), in order; white space and case are ignored."""
    premises = {_folded(pair.premise) for pair in train}
    return list(dict.fromkeys(pair.premise for pair in test if _folded(pair.premise) in premises))


def without_premises_of(excluded: Sequence[NLIPair], pairs: Sequence[NLIPair]) -> list[NLIPair]:
    """The ``pairs`` whose premise is not in ``excluded``, in order; white space and case are ignored."""
    premises = {_folded(pair.premise) for pair in excluded}
    return [pair for pair in pairs if _folded(pair.premise) not in premises]


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def _pair(
    where: str, record: str, number: str, row: Mapping[str, Any], columns: Mapping[str, str | None], config: PairsConfig
) -> NLIPair | None:
    """A row as a pair; None if the row has no label. If the row has no id, the pair's id is ``number``."""
    for field in ("premise", "hypothesis", "label"):
        _column(where, record, row, str(columns[field]))
    label = _label(where, record, row, str(columns["label"]), config)
    if label is None:
        return None
    premise, hypothesis = (text_of(where, record, row, str(columns[field])) for field in ("premise", "hypothesis"))
    return NLIPair(row_id(row, filter(None, [columns.get("id")]), number), premise, hypothesis, label)


def _label(where: str, record: str, row: Mapping[str, Any], name: str, config: PairsConfig) -> str | None:
    """The value in ``pairs.labels`` of a row's label; None if the row has no label.

    Data frames write a missing label as null, NaN or an empty cell. If a label is missing, they write the label 1 as
    1.0.
    """
    value = _column(where, record, row, name)
    if isinstance(value, list | dict):
        raise DataError(where, f"must be a label, not {json_type(value)}.", record=record, field=name)
    label = value_text(value)
    spellings = [label, *_WHOLE_NUMBER.findall(label)]
    if label.lower() in ("true", "false"):  # JSON, data frames and YAML spell them differently
        spellings += [label.lower(), label.capitalize(), label.upper()]
    for spelling in spellings:
        if spelling in config.labels:
            return config.labels[spelling]
    if is_missing(value) or any(spelling in config.unlabelled for spelling in spellings):
        return None
    known = ", ".join(config.labels)
    problem = f"{escape(label)!r} is not a label of pairs.labels ({known}). Add it there, or to pairs.unlabelled."
    raise DataError(where, problem, record=record, field=name)


def _column(where: str, record: str, row: Mapping[str, Any], name: str, setting: str = "pairs.columns") -> Any:
    if name not in row:
        problem = f"is missing (columns here: {columns_of(row)}). Name the right one in {setting}."
        raise DataError(where, problem, record=record, field=name)
    return row[name]


def _hub_rows(config: PairsConfig, split: PairSplit) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """SNLI's rows on the hub; the label -1 means "no label"."""
    from datasets import load_dataset

    from common.hub import hub_errors

    with hub_errors("Data set", SNLI_ID):
        rows = load_dataset(SNLI_ID, revision=config.revision, split="validation" if split == "dev" else split)
    return snli_rows(rows)


def snli_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The hub's rows, numbered from 1, with their labels as words; other label numbers stay."""
    for number, row in enumerate(rows, start=1):
        label = row.get("label")
        yield number, {**row, "label": _SNLI_LABELS.get(label, label)}
