"""finetune/qlora/data.py: the pairs of a run, and data that it refuses."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from qlora_runs import QUICK, summary, train, write_pairs

from chains.config import LLMConfig, PromptConfig
from common.errors import UserError
from corpus.config import PairsConfig
from corpus.records import QARecord
from finetune.config import QLoRAConfig
from finetune.qlora.train import train_qlora


def train_on(pairs: PairsConfig, base: Path, output: Path, answers: Sequence[QARecord] = ()) -> Path:
    llm = LLMConfig(model=str(base), device_map="cpu", dtype="float32")
    config = QLoRAConfig(**QUICK, answer_pairs=bool(answers))
    return train_qlora(llm, PromptConfig(), pairs, config, output, answers=answers)


def test_answer_pairs_are_added_to_the_training_pairs(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    records = [QARecord(str(n), "Is it so?", (f"Text {n}.",), "yes") for n in range(4)]
    output = train_on(PairsConfig(path=str(pair_folder)), chat_base, tmp_path, records)
    assert summary(output)["answer_pairs"] == 10  # a yes and a no for each record, and 2 with unrelated abstracts
    assert summary(output)["train_pairs"] == 24 + 10
    with pytest.raises(UserError, match=r"train\.qlora\.answer_pairs is true, but no question"):
        train(chat_base, pair_folder, tmp_path / "none", answer_pairs=True)


def test_long_pairs_are_left_out_and_reported(
    chat_base: Path, pair_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"sentence1": "Aspirin. " * 200, "sentence2": "It was given.", "gold_label": "entailment"}
    for split in ("train", "dev"):
        text = (pair_folder / f"mli_{split}_v1.jsonl").read_text()
        (tmp_path / f"mli_{split}_v1.jsonl").write_text(text + json.dumps(row) + "\n")
    output = train_on(PairsConfig(path=str(tmp_path)), chat_base, tmp_path / "run")
    assert summary(output)["left_out"] == {"train": 1, "dev": 1}
    assert "1 training pairs are too long" in capsys.readouterr().err
    with pytest.raises(UserError, match="Every pair of the train split is longer"):
        train(chat_base, pair_folder, tmp_path / "short", max_length=20)


def test_repeated_premises_are_reported(chat_base: Path, tmp_path: Path) -> None:
    train_file = write_pairs(tmp_path, "train", 12)
    shutil.copy(train_file, tmp_path / "mli_test_v1.jsonl")
    # The dev file has the same pairs in reverse order, since an identical file is refused.
    reversed_lines = train_file.read_text().splitlines(keepends=True)[::-1]
    (tmp_path / "mli_dev_v1.jsonl").write_text("".join(reversed_lines))
    output = train(chat_base, tmp_path, tmp_path / "run", max_steps=3)
    repeated = summary(output)["repeated_premises"]
    assert len(repeated["dev"]) == len(repeated["test"]) == 12
    assert "repeated in other splits (12 in dev, 12 in test)" in (output / "README.md").read_text()


def test_training_pairs_of_one_label_are_refused(chat_base: Path, tmp_path: Path) -> None:
    write_pairs(tmp_path, "train", 6, ("neutral",))
    write_pairs(tmp_path, "dev", 6)
    with pytest.raises(UserError, match="All 6 training examples have the label neutral"):
        train(chat_base, tmp_path, tmp_path / "run")


def test_training_accepts_two_renamed_labels(chat_base: Path, tmp_path: Path) -> None:
    for split, count in (("train", 12), ("dev", 4)):
        write_pairs(tmp_path, split, count, ("follows", "refuted"))
    pairs = PairsConfig(path=str(tmp_path), labels={"follows": "yes", "refuted": "no"})
    output = train_on(pairs, chat_base, tmp_path / "run")
    assert summary(output)["labels"] == ["yes", "no"]
