import re
from pathlib import Path

import pytest

from corpus.config import PairFiles, PairsConfig
from corpus.inference.pairs import NLIPair
from finetune.leakage import find_leakage, leakage_warning


def pairs(*premises: str) -> list[NLIPair]:
    return [NLIPair(str(number), premise, "h", "neutral") for number, premise in enumerate(premises)]


def test_repeated_premises_of_dev_and_the_whole_test_split_are_found(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("sentence1,sentence2,gold_label\nNew,h,neutral\nA  FALL,h,neutral\n")
    config = PairsConfig(path=str(tmp_path), files=PairFiles(test="test.csv"), limit=1)
    leakage = find_leakage(pairs("A fall", "A rise"), pairs("A rise", "a rise", "Other"), config)
    assert leakage.repeated_premises == {"dev": ["A rise", "a rise"], "test": ["A  FALL"]}
    assert leakage.search_error is None
    assert leakage_warning(leakage.repeated_premises) == (
        "Premises of the training pairs are repeated in other splits (2 in dev, 1 in test), whose figures are too high."
    )


@pytest.mark.parametrize(
    ("test_rows", "reason"),
    [
        pytest.param("", r"test\.csv: is empty", id="empty"),
        pytest.param("New,h,unknown\n", "'unknown' is not a label", id="unknown label"),
        pytest.param(None, r"test\.csv: there is no such file .*pairs\.files\.test", id="absent"),
    ],
)
def test_a_test_split_that_cannot_be_read_is_reported_with_the_reason(
    tmp_path: Path, test_rows: str | None, reason: str
) -> None:
    if test_rows is not None:
        (tmp_path / "test.csv").write_text(test_rows and f"sentence1,sentence2,gold_label\n{test_rows}")
    leakage = find_leakage(
        pairs("A fall"), pairs("Other"), PairsConfig(path=str(tmp_path), files=PairFiles(test="test.csv"))
    )
    assert leakage.repeated_premises == {"dev": [], "test": None}
    assert leakage.search_error is not None
    assert re.search(rf"^The test split is not searched for premises .*{reason}", leakage.search_error)


def test_there_is_no_warning_if_no_premise_is_repeated() -> None:
    assert leakage_warning({"dev": [], "test": None}) is None
    assert leakage_warning({}) is None
