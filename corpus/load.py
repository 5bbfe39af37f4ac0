"""Question records by the settings of section ``data``."""

import hashlib
import random
from pathlib import Path

from common.errors import DataError, UserError
from corpus.config import DataConfig, Split
from corpus.pubmedqa import read_hub, read_records, read_split
from corpus.records import Label, QARecord

SPLIT_FILE = "test_ground_truth.json"
_DEV_SEED = 1
_DEV_SHARE = 10  # dev is one tenth of the records outside the test split


def load_records(config: DataConfig, split: Split | None = None) -> list[QARecord]:
    """The records of one split, in the data's order, at most ``config.limit``.

    Args:
        config: section ``data``.
        split: overrides ``config.split``.

    Raises:
        UserError: the test split is unknown, or the split is empty.
        DataError: a file cannot be used.
    """
    advice = ", or take every record with --split all (data.split)" if split is None else ""
    split = split or config.split
    local = _local_path(config)
    records = read_hub(config.subset, config.revision) if local is None else read_records(local)
    if split != "all":
        records = _in_split(records, _test_answers(config, local, records, advice), split)
        if not records:
            raise UserError(
                f"The {split} split of {config.path} has no record. Name another split file with --split-file or "
                f"--set data.split_file=FILE{advice}."
            )
    return records[: config.limit]


def corpus_name(config: DataConfig) -> str:
    """A name for the data set; files with different paths have different names."""
    match config.path:
        case "sample":
            return "sample"
        case "pubmedqa":
            return config.subset
        case path:
            file = Path(path).expanduser().resolve()
            return f"{file.stem}-{hashlib.sha256(bytes(file)).hexdigest()[:8]}"


def _local_path(config: DataConfig) -> Path | None:
    """The local file behind ``config.path``; None for the hub's data set."""
    match config.path:
        case "sample":
            from corpus.sample import sample_path

            return sample_path("ori_pqal")
        case "pubmedqa":
            return None
        case path:
            return Path(path).expanduser()


def _test_answers(config: DataConfig, local: Path | None, records: list[QARecord], advice: str) -> dict[str, Label]:
    """The answers of the test split by id, checked against the records; ``advice`` ends the error about no file."""
    if config.split_file is not None:
        path = Path(config.split_file).expanduser()
    elif local is not None and (local.parent / SPLIT_FILE).is_file():
        path = local.parent / SPLIT_FILE
    elif local is None and config.subset != "pqa_labeled":
        return {}  # all official test records are in pqa_labeled
    else:
        where = f"beside {local}" if local is not None else "on the hub"
        raise UserError(
            f"There is no {SPLIT_FILE} {where}, so the test split is unknown. Write one, a JSON object from test id to "
            f"answer, or name one with --split-file or --set data.split_file=FILE{advice}."
        )
    answers = read_split(path)
    by_id = {record.id: record for record in records}
    for key, answer in answers.items():
        if key not in by_id:
            raise DataError(path, f"is not among the {len(by_id)} records of {config.path}.", record=key)
        if by_id[key].label not in (None, answer):
            raise DataError(path, f'says "{answer}", but {config.path} says "{by_id[key].label}".', record=key)
    return answers


def _in_split(records: list[QARecord], test: dict[str, Label], split: Split) -> list[QARecord]:
    if split == "test":
        return [record for record in records if record.id in test]
    others = sorted(record.id for record in records if record.id not in test)
    dev = set(random.Random(_DEV_SEED).sample(others, len(others) // _DEV_SHARE))
    return [record for record in records if record.id not in test and (record.id in dev) == (split == "dev")]
