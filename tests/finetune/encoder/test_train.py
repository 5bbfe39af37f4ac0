import json
import math
from itertools import cycle
from pathlib import Path
from statistics import mean

import pytest
from classifiers import make_electra
from training_runs import PAIRS, encoder_config

from chains.encoder.classifier import classifier_chain, load_classifier
from corpus.config import DataConfig, PairsConfig
from corpus.inference.pairs import load_pairs
from corpus.load import load_records
from eval.tasks import NLITask, task_from_name
from finetune.encoder.train import train_encoder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    settings = encoder_config(make_electra(folder / "base"), max_length=256, keep_checkpoints=None)
    return train_encoder(settings, folder / "out", pairs=PAIRS, quiet=True)


def test_summary_and_card_have_counts_and_dev_figures(trained: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    evaluations = {entry["step"]: entry for entry in summary["log"] if "eval_accuracy" in entry}
    assert list(evaluations) == [4, 8, 12]
    assert summary["dev_accuracy"] == evaluations[summary["step"]]["eval_accuracy"]
    assert summary["dev_macro_f1"] == evaluations[summary["step"]]["eval_macro_f1"]
    assert summary["labels"] == ["entailment", "neutral", "contradiction"]
    assert sum(summary["train_examples"].values()) == 48
    assert summary["dev_examples"] == 48
    card = (trained / "README.md").read_text()
    assert f"| dev accuracy, macro F1 | {summary['dev_accuracy']:.3f}, " in card
    assert summary["recipe"]["model"] in card


def test_eval_nli_of_each_checkpoint_gives_its_logged_dev_figures(trained: Path) -> None:
    pairs = load_pairs(PAIRS, "dev").pairs
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["shortened"] == 0  # in training, long premises are truncated; in use, classified in parts
    for entry in [entry for entry in summary["log"] if "eval_accuracy" in entry]:
        model = load_classifier(str(trained / f"checkpoint-{entry['step']}"), dtype="float32")
        assert model.labels == tuple(summary["labels"])
        result = NLITask().evaluate(model, pairs, identity={}, quiet=True)
        assert result.metrics["accuracy"] == pytest.approx(entry["eval_accuracy"])
        assert result.metrics["macro_f1"] == pytest.approx(entry["eval_macro_f1"])
        nats = [-math.log(sample["label_scores"][sample["target"]]) for sample in result.samples]
        assert mean(nats) == pytest.approx(entry["eval_loss"], rel=1e-4)


def test_training_learns_labels_that_the_hypothesis_determines(encoder_base: Path, tmp_path: Path) -> None:
    hypotheses = {"neutral": "It may be so.", "entailment": "It did reduce it.", "contradiction": "It did not."}
    for split, count in (("train", 48), ("dev", 12), ("test", 12)):
        rows = [
            {"sentence1": f"Patients {number} took aspirin.", "sentence2": hypothesis, "gold_label": label}
            for number, (label, hypothesis) in zip(range(count), cycle(hypotheses.items()), strict=False)
        ]
        (tmp_path / f"mli_{split}_v1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = PairsConfig(path=str(tmp_path))
    settings = encoder_config(encoder_base, epochs=30, every=30)
    output = train_encoder(settings, tmp_path / "out", pairs=pairs, quiet=True)
    result = NLITask().evaluate(load_classifier(str(output)), load_pairs(pairs, "test").pairs, identity={}, quiet=True)
    assert result.metrics["accuracy"] == 1
    summary = json.loads((output / "summary.json").read_text())
    assert summary["dev_accuracy"] == 1
    losses = [entry["loss"] for entry in summary["log"] if "loss" in entry]
    assert losses[-1] < 0.5 * losses[0]


def test_task_qa_trains_a_classifier_chain_for_questions(tmp_path: Path) -> None:
    data = DataConfig(limit=30)
    settings = encoder_config(
        make_electra(tmp_path / "base"), task="qa", keep_text="end", conclusions=1, teach_dev=True, layers=1,
        frozen_layers=1, class_weight=0.5, label_smoothing=0.1, epochs=1, max_length=160,
    )  # fmt: skip
    output = train_encoder(settings, tmp_path / "out", data=data, quiet=True)
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["dev_examples"], summary["dev_accuracy"]) == (0, None)
    assert summary["step"] == summary["steps"]
    assert summary["trainable_parameters"] < summary["parameters"]
    chain = classifier_chain(str(output))
    result = task_from_name("qa_gold").evaluate(chain, load_records(data, "test"), identity={}, quiet=True)
    assert result.metrics["unparsed"] == 0
    assert all(sample["prompt"].partition("\n\n")[0] == sample["question"] for sample in result.samples)
    assert "classifier_chain(DIR)" in (output / "README.md").read_text()
