"""Premise-hypothesis pairs: public sets by name, any JSONL or CSV, and the sample."""

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
from corpus.rows import Rows, columns_of, file_rows, text_of
from corpus.sample import DATA

NAMED = 10  # maximum number of files named in a message
SNLI_ID = "stanfordnlp/snli"
_SNLI_COLUMNS = {"premise": "premise", "hypothesis": "hypothesis", "label": "label"}
_MISSING = frozenset({"", "nan", "NaN", "null", "None", "<NA>", "NA"})  # missing values of pandas and R
_WHOLE_NUMBER = re.compile(r"([+-]?\d+)\.0+")
_SNLI_WORDS: dict[object, str] = {0: "entailment", 1: "neutral", 2: "contradiction"}
_SPLITS: tuple[PairSplit, ...] = ("train", "dev", "test")
_SPLIT_NAMES: dict[str, PairSplit] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "development", "validation", "valid", "val"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SHARES: dict[PairSplit, float] = {"train": 0.7, "dev": 0.1, "test": 0.2}  # of pairs.split_by


@dataclass(frozen=True, slots=True)
class NLIPair:
    """One pair: does ``hypothesis`` follow from ``premise``? ``label`` is one of the data's label words."""

    id: str
    premise: str
    hypothesis: str
    label: str


@dataclass(frozen=True, slots=True)
class PairData:
    """The pairs of one split, the candidate labels, and the number of omitted rows without a label."""

    pairs: tuple[NLIPair, ...]
    labels: tuple[str, ...]
    unlabelled: int = 0


def load_pairs(config: PairsConfig, split: PairSplit | None = None) -> PairData:
    """Read the pairs of one split, in the file's order, cut to ``config.limit``.

    Args:
        config: what to read.
        split: overrides ``config.split``.

    Raises:
        UserError: the split is empty, or the hub cannot be reached.
        DataError: a file is missing or has an invalid row; the message names the record and the column.
    """
    split = split or config.split
    labels = tuple(dict.fromkeys(config.labels.values()))
    where, rows, columns = _read(config, split)
    pairs: list[NLIPair] = []
    ids: set[str] = set()
    unlabelled = 0
    for number, row in rows:
        record = _record(number)
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
        without = f": all {unlabelled} rows are without a label" if unlabelled else ""
        source = f" {known.title}: {known.source}." if (known := PAIR_SETS.get(config.path)) else ""
        raise UserError(f"{where}: there is no pair in the {split} split{without}. Name another file or split.{source}")
    return PairData(tuple(pairs[: config.limit]), labels, unlabelled)


def _read(config: PairsConfig, split: PairSplit) -> tuple[str, Rows, Mapping[str, str | None]]:
    """The source's name for messages, its rows and its columns."""
    if config.split_by is not None:
        path = _single_file(config)
        return f"{path} ({split})", _divided(path, config, config.split_by, split), config.columns.model_dump()
    if _on_hub(config):
        return f"{SNLI_ID} ({split})", _hub_rows(config, split), _SNLI_COLUMNS
    path = pair_file(config, split)
    _check_there(config, path, split)
    return str(path), _rows(config, path, split), config.columns.model_dump()


def _record(number: int | str) -> str:
    """A row as error messages name it."""
    return number if isinstance(number, str) else f"line {number}"


def _on_hub(config: PairsConfig) -> bool:
    return config.path == "snli" and config.folder is None and not Path("snli").is_dir()


def _rows(config: PairsConfig, path: Path, split: PairSplit) -> Rows:
    known = PAIR_SETS.get(config.path)
    if known is None or config.split_by is not None:
        return file_rows(path) if known is None else known.rows(path)
    return ((number, row) for number, row in known.rows(path) if row.get("split", split) == split)


def pair_file(config: PairsConfig, split: PairSplit) -> Path:
    """The file of a split, whether or not it exists.

    It is ``config.path`` itself, a file of that folder, or a file of a public set in its folder or a folder in it.
    """
    known = PAIR_SETS.get(config.path)
    given = str(getattr(config.files, split))
    if known is None:
        place = DATA if config.path == "sample" else Path(config.path).expanduser()
        return place / given if place.is_dir() else place
    place = _set_folder(config)
    names = known.files[split] if given == getattr(PairFiles(), split) else (given,)
    folders = [place, *sorted(one for one in place.iterdir() if one.is_dir())] if place.is_dir() else []
    found = (folder / name for name in names for folder in folders if (folder / name).is_file())
    return next(found, place / names[0])


def holds_all_splits(config: PairsConfig) -> bool:
    """Whether train and dev are the same file, so that a model would be trained on its dev pairs."""
    divided = config.split_by is not None or config.path in PAIR_SETS
    return not divided and pair_file(config, "train") == pair_file(config, "dev")


def _set_folder(config: PairsConfig) -> Path:
    return Path(config.folder or config.path).expanduser()


def _single_file(config: PairsConfig) -> Path:
    """The file that ``pairs.split_by`` divides."""
    files = list(dict.fromkeys(pair_file(config, split) for split in _SPLITS))
    there = [file for file in files if file.exists()]
    if len(there) > 1:
        names = ", ".join(file.name for file in there)
        raise UserError(
            f"pairs.split_by divides one file, and {there[0].parent} has {names}. Set pairs.split_by to null to use "
            "these splits, or move the file that you want into a folder of its own."
        )
    if not there:
        _check_there(config, files[0], "train")
    return (there or files)[0]


def _divided(path: Path, config: PairsConfig, column: str, split: PairSplit) -> Rows:
    """The rows of a split; all rows with the same value of ``column`` are in one split.

    If all values are names of splits, such as train, validation and test, they are the splits.

    Otherwise each value is assigned to the split that brings the numbers of rows of each label nearest to 70 %, 10 %
    and 20 %, from the value with most rows to that with fewest, ties by SHA-256. The division depends on the file
    alone. White space and case of the values are ignored.
    """
    rows = list(_rows(config, path, split))
    sizes: dict[str, Counter[str]] = {}
    for number, row in rows:
        values = [
            _folded(str(_column(str(path), _record(number), row, name, setting)))
            for name, setting in ((column, "pairs.split_by"), (config.columns.label, "pairs.columns.label"))
        ]
        sizes.setdefault(values[0], Counter())[values[1]] += 1
    if named := _named_splits(sizes):
        return ((number, row) for number, row in rows if named[_folded(str(row[column]))] == split)
    wanted = {
        name: {label: share * size for label, size in sum(sizes.values(), Counter()).items()}
        for name, share in _SHARES.items()
    }
    dealt: dict[PairSplit, Counter[str]] = {name: Counter() for name in _SHARES}
    splits: dict[str, PairSplit] = {}

    def gain(name: PairSplit, size: Counter[str]) -> float:
        """The decrease of the sum of squared relative differences if a split gets a value's rows."""
        return sum(
            ((dealt[name][label] - goal) ** 2 - (dealt[name][label] + size[label] - goal) ** 2) / goal
            for label, goal in wanted[name].items()
        )

    for value in sorted(
        sizes, key=lambda one: (-sizes[one].total(), hashlib.sha256(one.encode(errors="replace")).digest())
    ):
        splits[value] = max(_SHARES, key=lambda name: gain(name, sizes[value]))
        dealt[splits[value]] += sizes[value]
    return ((number, row) for number, row in rows if splits[_folded(str(row[column]))] == split)


def _named_splits(values: Iterable[str]) -> dict[str, PairSplit] | None:
    """The split of each value; None if a value is not a name of a split."""
    return {value: _SPLIT_NAMES[value] for value in values} if set(values) <= set(_SPLIT_NAMES) else None


def _check_there(config: PairsConfig, path: Path, split: PairSplit) -> None:
    """Check that a folder has the file of a split; the message lists its files, or the source of a public set."""
    if path.exists() or config.path == "sample":
        return
    known = PAIR_SETS.get(config.path)
    folder = Path(config.path).expanduser() if known is None else _set_folder(config)
    if known is None and not folder.is_dir():
        return
    names = sorted(one.name for one in folder.iterdir() if not one.name.startswith(".")) if folder.is_dir() else []
    held = ", ".join(map(escape, names[:NAMED])) + (", ..." if len(names) > NAMED else "")
    has = f"which holds {held}" if names else "which is empty" if folder.is_dir() else "which does not exist"
    advice = f"Set pairs.files.{split} to the name of the {split} split's file."
    if known is not None:
        advice = (
            f"{known.title} is available at {known.source}. Download it and set pairs.folder to the folder of its "
            f"files, or pairs.files.{split} to another name."
        )
    raise DataError(path, f"there is no such file in the folder, {has}. {advice}")


def repeated_premises(train: Sequence[NLIPair], test: Sequence[NLIPair]) -> list[str]:
    """Premises of ``test`` that also occur in ``train`` (leakage), in order; white space and case are ignored."""
    known = {_folded(pair.premise) for pair in train}
    return list(dict.fromkeys(pair.premise for pair in test if _folded(pair.premise) in known))


def apart_from(asked: Sequence[NLIPair], pairs: Sequence[NLIPair]) -> list[NLIPair]:
    """Those of ``pairs`` whose premise is not in ``asked``, in order; white space and case are ignored."""
    known = {_folded(pair.premise) for pair in asked}
    return [pair for pair in pairs if _folded(pair.premise) not in known]


def _folded(text: str) -> str:
    return " ".join(text.lower().split())


def _pair(
    where: str,
    record: str,
    number: str,
    row: Mapping[str, Any],
    columns: Mapping[str, str | None],
    config: PairsConfig,
) -> NLIPair | None:
    """A row as a pair with its own id or else ``number``; None if it has no label."""
    for part in ("premise", "hypothesis", "label"):
        _column(where, record, row, str(columns[part]))
    label = _label(where, record, row, str(columns["label"]), config)
    if label is None:
        return None
    premise, hypothesis = (text_of(where, record, row, str(columns[part])) for part in ("premise", "hypothesis"))
    id_column = columns.get("id")
    key = row.get(id_column) if id_column else None
    return NLIPair(number if _is_missing(key) else _written(key), premise, hypothesis, label)


def _label(where: str, record: str, row: Mapping[str, Any], name: str, config: PairsConfig) -> str | None:
    """The model's word for a row's label; None if the row has no label.

    Data frames with a missing label write numbers as 1.0, and the missing one as null, NaN or an empty cell.
    """
    value = _column(where, record, row, name)
    if isinstance(value, list | dict):
        raise DataError(where, f"must be a label, not {json_type(value)}.", record=record, field=name)
    given = _written(value)
    spellings: tuple[str, ...] = (given, whole[1]) if (whole := _WHOLE_NUMBER.fullmatch(given)) else (given,)
    if given.lower() in ("true", "false"):  # JSON's spelling, and that of data frames and YAML
        spellings = (given, given.lower(), given.capitalize(), given.upper())
    for spelling in spellings:
        if spelling in config.labels:
            return config.labels[spelling]
    if _is_missing(value) or any(spelling in config.unlabelled for spelling in spellings):
        return None
    known = ", ".join(config.labels)
    problem = f"{escape(given)!r} is not a label of pairs.labels ({known}). Add it there, or to pairs.unlabelled."
    raise DataError(where, problem, record=record, field=name)


def _written(value: object) -> str:
    """A label or an id as text; whole numbers have no decimals."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _is_missing(value: object) -> bool:
    """Whether a value is null, NaN, or their form in a table."""
    return value is None or value != value or (isinstance(value, str) and value.strip() in _MISSING)


def _column(where: str, record: str, row: Mapping[str, Any], name: str, setting: str = "pairs.columns") -> Any:
    if name not in row:
        problem = f"is missing (columns here: {columns_of(row)}). Name the right one in {setting}."
        raise DataError(where, problem, record=record, field=name)
    return row[name]


def _hub_rows(config: PairsConfig, split: PairSplit) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """SNLI's rows on the hub; the label -1 means "no label"."""
    from datasets import load_dataset

    from common.hub import hub_errors

    with hub_errors("Data set", SNLI_ID, repo_type="dataset"):
        rows = load_dataset(SNLI_ID, revision=config.revision, split="validation" if split == "dev" else split)
    return snli_rows(rows)


def snli_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The hub's rows, numbered from 1, with words instead of numbers as labels."""
    for number, row in enumerate(rows, start=1):
        label = row.get("label")
        yield number, {**row, "label": _SNLI_WORDS.get(label, label)}
