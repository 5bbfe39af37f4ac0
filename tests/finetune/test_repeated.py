from pathlib import Path

from corpus.config import PairFiles, PairsConfig
from corpus.nli import NLIPair
from finetune.repeated import repeated_by_split, warning


def pairs(*premises: str) -> list[NLIPair]:
    return [NLIPair(str(number), premise, "h", "neutral") for number, premise in enumerate(premises)]


def test_each_split_is_told_with_its_premises(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("sentence1,sentence2,gold_label\nNew,h,neutral\nA  FALL,h,neutral\n")
    config = PairsConfig(path=str(tmp_path), files=PairFiles(test="test.csv"), limit=1)
    repeated = repeated_by_split(pairs("A fall", "A rise"), pairs("A rise", "a rise", "Other"), config)
    assert repeated == {"dev": ["A rise", "a rise"], "test": ["A  FALL"]}
    assert warning(repeated) == (
        "Premises of the training pairs stand in other splits too: 2 of the dev split's and 1 of the test split's. "
        "Their figures flatter."
    )


def test_without_a_test_split_or_a_repetition_nothing_is_told(tmp_path: Path) -> None:
    repeated = repeated_by_split(pairs("A fall"), pairs("Other"), PairsConfig(path=str(tmp_path)))
    assert repeated == {"dev": [], "test": None}
    assert warning(repeated) is None
    assert warning({}) is None
