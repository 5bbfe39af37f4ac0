from pathlib import Path

from corpus.config import PairFiles, PairsConfig
from corpus.inference.pairs import NLIPair
from finetune.leakage import find_leakage, leakage_warning


def pairs(*premises: str) -> list[NLIPair]:
    return [NLIPair(str(number), premise, "h", "neutral") for number, premise in enumerate(premises)]


def test_repeated_premises_of_dev_and_the_whole_test_split_are_found(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("sentence1,sentence2,gold_label\nNew,h,neutral\nA  FALL,h,neutral\n")
    config = PairsConfig(path=str(tmp_path), files=PairFiles(test="test.csv"), limit=1)
    leakage = find_leakage(pairs("A fall", "A rise"), pairs("A rise", "a rise", "Other"), config)
    assert leakage == {"dev": ["A rise", "a rise"], "test": ["A  FALL"]}
    assert leakage_warning(leakage) == (
        "Premises of the training pairs are repeated in other splits (2 in dev, 1 in test), whose figures are too high."
    )


def test_no_warning_without_a_test_split_or_a_repetition(tmp_path: Path) -> None:
    leakage = find_leakage(pairs("A fall"), pairs("Other"), PairsConfig(path=str(tmp_path)))
    assert leakage == {"dev": [], "test": None}
    assert leakage_warning(leakage) is None
    assert leakage_warning({}) is None
