import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from common.errors import DataError, UserError
from corpus.config import DataConfig
from corpus.load import corpus_name, load_records

PUBMEDQA = Path(os.environ.get("MEDGROUND_PUBMEDQA", Path(__file__).parents[3] / "shared" / "data" / "pubmedqa"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Data of forty records, of which the first twenty are the test split."""
    record = {"QUESTION": "a?", "CONTEXTS": ["b"], "final_decision": "yes"}
    (tmp_path / "ori_pqal.json").write_text(json.dumps({str(n): record for n in range(40)}))
    (tmp_path / "test_ground_truth.json").write_text(json.dumps({str(n): "yes" for n in range(20)}))
    return tmp_path


def record_ids(config: DataConfig) -> list[int]:
    return [int(record.id) for record in load_records(config)]


def test_splits_are_disjoint_and_complete(folder: Path) -> None:
    path = str(folder / "ori_pqal.json")
    test, dev, train = (record_ids(DataConfig(path=path, split=split)) for split in ("test", "dev", "train"))
    assert test == list(range(20))
    assert len(dev) == 2
    assert len(train) == 18
    assert sorted(test + dev + train) == record_ids(DataConfig(path=path, split="all"))
    assert dev == record_ids(DataConfig(path=path, split="dev")) == sorted(dev)


def test_limit_keeps_the_first_records(folder: Path) -> None:
    assert record_ids(DataConfig(path=str(folder / "ori_pqal.json"), limit=3)) == [0, 1, 2]


def test_split_file_setting_is_used(folder: Path) -> None:
    split_file = folder / "split.json"
    split_file.write_text('{"30": "yes"}')
    assert record_ids(DataConfig(path=str(folder / "ori_pqal.json"), split_file=str(split_file))) == [30]


def test_split_argument_overrides_the_setting(folder: Path) -> None:
    config = DataConfig(path=str(folder / "ori_pqal.json"), split="test")
    assert len(load_records(config, split="all")) == 40


def test_missing_split_file_is_an_error_except_for_split_all(folder: Path) -> None:
    (folder / "test_ground_truth.json").unlink()
    path = str(folder / "ori_pqal.json")
    with pytest.raises(UserError, match=r"--split-file or --set data\.split_file=FILE, or .*--split all \(data\.split"):
        load_records(DataConfig(path=path))
    # If the caller chose the split, the message does not advise --split all.
    with pytest.raises(UserError, match=r"--set data\.split_file=FILE\.$"):
        load_records(DataConfig(path=path), split="train")
    assert len(load_records(DataConfig(path=path, split="all"))) == 40


def test_split_file_must_match_the_records(folder: Path) -> None:
    config = DataConfig(path=str(folder / "ori_pqal.json"))
    (folder / "test_ground_truth.json").write_text('{"1": "yes", "99": "no"}')
    with pytest.raises(DataError, match="record 99: is not among the 40 records"):
        load_records(config)
    (folder / "test_ground_truth.json").write_text('{"1": "no"}')
    with pytest.raises(DataError, match='record 1: says "no"'):
        load_records(config)


def test_empty_split_is_an_error(folder: Path) -> None:
    (folder / "test_ground_truth.json").write_text(json.dumps({str(n): "yes" for n in range(40)}))
    with pytest.raises(UserError, match=r"dev split .*--set data\.split_file=FILE, or take every"):
        load_records(DataConfig(path=str(folder / "ori_pqal.json"), split="dev"))


@pytest.mark.parametrize("change", [{"limit": 0}, {"split": "val"}, {"subset": "x"}, {"limit": True}, {"paht": "x"}])
def test_invalid_setting_is_an_error(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DataConfig.model_validate(change)


def test_corpus_name_identifies_data_set_and_path() -> None:
    assert corpus_name(DataConfig()) == "sample"
    assert corpus_name(DataConfig(path="pubmedqa")) == "pqa_labeled"
    name = corpus_name(DataConfig(path="a/ori_pqal.json"))
    assert name.startswith("ori_pqal-")
    assert name == corpus_name(DataConfig(path="a/../a/ori_pqal.json")) != corpus_name(DataConfig(path="ori_pqal.json"))


@pytest.mark.skipif(
    not PUBMEDQA.is_dir(), reason="PubMedQA is not on this machine (set MEDGROUND_PUBMEDQA to its folder)"
)
def test_pubmedqa_has_the_published_counts() -> None:
    path = str(PUBMEDQA / "ori_pqal.json")
    assert len(load_records(DataConfig(path=path, split="all"))) == 1000
    assert len(load_records(DataConfig(path=path))) == 500
    labels = [record.label for record in load_records(DataConfig(path=path, split="all"))]
    assert [labels.count(label) for label in ("yes", "no", "maybe")] == [552, 338, 110]
