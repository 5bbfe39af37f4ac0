import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from classifiers import make_wordpiece

from chains.encoder.pair_texts import PairTexts
from common.errors import UserError
from corpus.config import DataConfig, PairsConfig
from corpus.inference.pairs import load_pairs
from corpus.load import load_records
from finetune.config import EncoderConfig
from finetune.encoder.data import LabelledTexts, encode_texts, read_texts

NLI, QA = EncoderConfig(task="nli"), EncoderConfig(task="qa")


def write_pairs(folder: Path, train: list[str], dev: list[str]) -> PairsConfig:
    """Write a pair for each label in MedNLI's format; the premises exceed 32 tokens."""
    for name, labels in (("train", train), ("dev", dev)):
        rows = [
            {"sentence1": f"Patients {n}. " * 30, "sentence2": f"It did {n}.", "gold_label": label, "pairID": str(n)}
            for n, label in enumerate(labels)
        ]
        (folder / f"mli_{name}_v1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return PairsConfig(path=str(folder))


def write_records(folder: Path, labels: list[str | None], test: Sequence[str] = ("0",)) -> DataConfig:
    """Write a record for each label in PubMedQA's format, with ids from 0; ``test`` are the ids of the test split."""
    records = {
        str(n): {
            "QUESTION": f"Did it {n}?",
            "CONTEXTS": [f"Patients {n}.", "It did."],
            "LABELS": ["A", "B"],
            "LONG_ANSWER": f"So {n}." if n % 2 else "",
            **({"final_decision": label} if label else {}),
        }
        for n, label in enumerate(labels)
    }
    (folder / "ori_pqal.json").write_text(json.dumps(records))
    answers = {key: labels[int(key)] or "yes" for key in test}
    (folder / "test_ground_truth.json").write_text(json.dumps(answers))
    return DataConfig(path=str(folder / "ori_pqal.json"))


def triples(texts: Sequence[LabelledTexts]) -> list[tuple[str, str, str]]:
    return [(text.first, text.second, text.label) for text in texts]


def test_task_nli_reads_premises_and_hypotheses() -> None:
    config = PairsConfig(limit=40)
    texts = read_texts(NLI, config, None)
    train, dev = load_pairs(config, "train").pairs, load_pairs(config, "dev").pairs
    assert texts.labels == ("entailment", "neutral", "contradiction")
    assert triples(texts.train) == [(pair.premise, pair.hypothesis, pair.label) for pair in train]
    assert [text.first for text in texts.dev] == [pair.premise for pair in dev]
    assert texts.side == 0


def test_task_qa_reads_questions_with_contexts_and_with_conclusions() -> None:
    config = DataConfig(limit=30)
    train = load_records(config, "train")
    texts = read_texts(QA, None, config)
    assert texts.labels == ("yes", "no", "maybe")
    contexts = [(record.question, record.context, record.label) for record in train]
    assert triples(texts.train) == contexts
    assert texts.side == 1
    both = read_texts(EncoderConfig(task="qa", conclusions=1), None, config)
    conclusions = [(record.question, record.conclusion, record.label) for record in train if record.conclusion]
    assert conclusions
    assert triples(both.train) == contexts + conclusions
    assert both.dev == texts.dev


def test_the_test_split_is_left_out(tmp_path: Path) -> None:
    data = write_records(tmp_path, ["yes", "no"] * 15, test=["0", "3", "7"])
    for config in (QA, EncoderConfig(task="qa", conclusions=1, teach_dev=True)):
        texts = read_texts(config, None, data)
        questions = {text.first for text in (*texts.train, *texts.dev)}
        assert questions == {f"Did it {n}?" for n in range(30)} - {"Did it 0?", "Did it 3?", "Did it 7?"}


def test_teach_dev_moves_the_dev_texts_into_training() -> None:
    config = DataConfig(limit=30)
    split = read_texts(QA, None, config)
    joined = read_texts(EncoderConfig(task="qa", teach_dev=True), None, config)
    assert joined.train == split.train + split.dev
    assert joined.dev == ()
    with_conclusions = read_texts(EncoderConfig(task="qa", teach_dev=True, conclusions=1), None, config)
    assert len(with_conclusions.train) == 2 * len(joined.train)


def test_answer_pairs_are_appended_to_the_training_pairs() -> None:
    pairs = PairsConfig(limit=20)
    texts = read_texts(NLI, pairs, None)
    extended = read_texts(EncoderConfig(answer_pairs=True), pairs, DataConfig(limit=20))
    assert extended.train[: len(texts.train)] == texts.train
    # Each of the 20 records adds pairs for yes and no; half of them add a pair with an unrelated abstract.
    assert len(extended.train) == len(texts.train) + 2 * 20 + 20 // 2
    assert extended.dev == texts.dev


def test_unusable_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"All 5 training examples have the label neutral\. Check the training"):
        read_texts(NLI, write_pairs(tmp_path, ["neutral"] * 5, ["neutral", "entailment"]), None)
    with pytest.raises(UserError, match=r"20 of 20 records have no label \(the first is \d+\)"):
        read_texts(QA, None, write_records(tmp_path, [None] * 21))
    pairs = write_pairs(tmp_path, ["neutral", "entailment"], ["neutral"])
    with pytest.raises(UserError, match=r"train\.encoder\.answer_pairs is true, but no question"):
        read_texts(EncoderConfig(answer_pairs=True), pairs, write_records(tmp_path, [None] * 21))
    with pytest.raises(UserError, match="the same pairs for train and dev"):
        read_texts(NLI, PairsConfig(path=str(tmp_path / "mli_train_v1.jsonl")), None)


def test_labels_may_be_two_renamed_words(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, ["neutral", "entailment"], ["neutral"])
    pairs = pairs.model_copy(update={"labels": {"neutral": "no", "entailment": "yes"}})
    assert read_texts(NLI, pairs, None).labels == ("no", "yes")


def test_training_inputs_are_encoded_and_truncated_as_in_use(tmp_path: Path) -> None:
    encoder = PairTexts(make_wordpiece(32), 32)
    texts = read_texts(NLI, write_pairs(tmp_path, ["neutral", "entailment"], ["contradiction"]), None)
    data = encode_texts(texts, encoder)
    assert [example.label for example in data.train] == [1, 0]
    assert [example.label for example in data.dev] == [2]
    assert (data.shortened, data.left_out) == (2, 0)
    for example, text in zip(data.train, texts.train, strict=True):
        start, end = encoder.fit((text.first.strip(), text.second), 0)
        assert example.inputs == encoder.encode([(text.first[start:end], text.second)])[0]
        assert len(example.inputs["input_ids"]) <= 32


def test_texts_beyond_the_window_are_left_out_and_counted(tmp_path: Path) -> None:
    texts = read_texts(QA, None, write_records(tmp_path, ["yes", "no"] * 15))
    long = replace(texts.train[0], first="Did it " * 40)  # only the second text of task qa is truncated
    data = encode_texts(replace(texts, train=(long, *texts.train[1:])), PairTexts(make_wordpiece(64), 64))
    assert (len(data.train), len(data.dev)) == (len(texts.train) - 1, len(texts.dev))
    assert (data.left_out, data.shortened) == (1, 0)
    with pytest.raises(UserError, match="No text of the training split fits into 5 tokens"):
        encode_texts(texts, PairTexts(make_wordpiece(5), 5))
