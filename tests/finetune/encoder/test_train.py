import errno
import json
from pathlib import Path

import pytest
from classifiers import make_electra, make_encoder
from safetensors.torch import load_file
from transformers import TrainerCallback

from chains.encoder.classifier import classifier_chain, load_classifier
from common.errors import UserError
from corpus.config import DataConfig, PairsConfig
from corpus.load import load_records
from corpus.nli import load_pairs
from eval.nli import evaluate_nli
from eval.qa import evaluate_qa
from finetune.config import EncoderConfig
from finetune.encoder import train as module
from finetune.encoder.train import train_encoder
from finetune.encoder.trainer import EncoderTrainer

PAIRS = PairsConfig(limit=48)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("encoder"))


def config(encoder: Path, **settings: object) -> EncoderConfig:
    usual = {"model": str(encoder), "epochs": 2, "batch_size": 8, "max_length": 48, "every": 4, "report_to": ()}
    return EncoderConfig.model_validate({**usual, **settings})


@pytest.fixture(scope="module")
def trained(encoder: Path, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("run") / "out"
    return train_encoder(config(encoder, learning_rate=3e-3, keep_checkpoints=None), output, pairs=PAIRS, quiet=True)


def weights(folder: Path) -> dict:
    return load_file(folder / "model.safetensors")


def equal(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return all(first[name].allclose(second[name], atol=1e-6) for name in first)


def test_what_a_run_leaves(trained: Path, encoder: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    assert {one.name for one in trained.glob("checkpoint-*")} == {"checkpoint-4", "checkpoint-8", "checkpoint-12"}
    assert summary["steps"] == 12
    measured = {entry["step"]: entry for entry in summary["log"] if "eval_accuracy" in entry}
    assert set(measured) == {4, 8, 12}
    best = max(measured, key=lambda step: (measured[step]["eval_accuracy"], -measured[step]["eval_loss"]))
    assert summary["step"] == best
    assert summary["dev_accuracy"] == measured[best]["eval_accuracy"]
    assert equal(trained, trained / f"checkpoint-{best}")
    assert summary["labels"] == ["entailment", "neutral", "contradiction"]
    assert sum(summary["train_examples"].values()) == 48
    assert summary["dev_examples"] == 48
    card = (trained / "README.md").read_text()
    assert f"| dev accuracy, macro F1 | {summary['dev_accuracy']:.3f}, " in card
    assert str(encoder) in card
    assert not list(trained.glob("optimizer*"))


def test_every_checkpoint_is_a_classifier_with_the_figures_that_were_measured(trained: Path) -> None:
    pairs = load_pairs(PAIRS, "dev").pairs
    summary = json.loads((trained / "summary.json").read_text())
    for entry in (one for one in summary["log"] if "eval_accuracy" in one):
        model = load_classifier(str(trained / f"checkpoint-{entry['step']}"), dtype="float32")
        assert model.labels == tuple(summary["labels"])
        if summary["shortened"] == 0:
            figures = evaluate_nli(model, pairs, identity={}, quiet=True).metrics
            assert figures["accuracy"] == pytest.approx(entry["eval_accuracy"])
            assert figures["macro_f1"] == pytest.approx(entry["eval_macro_f1"])


def test_it_learns_what_the_texts_tell(encoder: Path, tmp_path: Path) -> None:
    labels = {"neutral": "It may be so.", "entailment": "It did reduce it.", "contradiction": "It did not."}
    for split, count in (("train", 48), ("dev", 12), ("test", 12)):
        rows = [
            {"sentence1": f"Patients {n} took aspirin.", "sentence2": labels[label], "gold_label": label}
            for n in range(count)
            for label in list(labels)[n % 3 : n % 3 + 1]
        ]
        (tmp_path / f"mli_{split}_v1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = PairsConfig(path=str(tmp_path))
    settings = config(encoder, learning_rate=3e-3, epochs=30, every=30)
    output = train_encoder(settings, tmp_path / "out", pairs=pairs, quiet=True)
    result = evaluate_nli(load_classifier(str(output)), load_pairs(pairs, "test").pairs, identity={}, quiet=True)
    assert result.metrics["accuracy"] == 1
    summary = json.loads((output / "summary.json").read_text())
    assert summary["dev_accuracy"] == 1
    losses = [entry["loss"] for entry in summary["log"] if "loss" in entry]
    assert losses[-1] < 0.5 * losses[0]


def test_a_stopped_run_ends_as_an_unbroken_one(encoder: Path, trained: Path, tmp_path: Path, monkeypatch) -> None:
    class Stop(TrainerCallback):
        def __init__(self, at: int) -> None:
            self.at = at

        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == self.at:
                raise KeyboardInterrupt

    settings = config(encoder, learning_rate=3e-3, keep_checkpoints=None)
    build = module._trainer
    for at in (6, 11):

        def stopping(*arguments, at=at):
            trainer = build(*arguments)
            trainer.add_callback(Stop(at))
            return trainer

        monkeypatch.setattr(module, "_trainer", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_encoder(settings, tmp_path, pairs=PAIRS, quiet=True)
        assert (tmp_path / "model.safetensors").is_file()
        assert not (tmp_path / "summary.json").exists()
    (tmp_path / "checkpoint-10").mkdir()
    (tmp_path / "checkpoint-10/model.safetensors").write_bytes(b"half")
    monkeypatch.setattr(module, "_trainer", build)
    train_encoder(settings, tmp_path, pairs=PAIRS, quiet=True)
    assert equal(tmp_path / "checkpoint-12", trained / "checkpoint-12")
    assert equal(tmp_path, trained)
    assert not (tmp_path / "checkpoint-10").exists()


def test_a_finished_run_is_left_as_it_is_and_another_recipe_refused(encoder: Path, trained: Path, capsys) -> None:
    settings = config(encoder, learning_rate=3e-3, keep_checkpoints=None)
    before = (trained / "summary.json").stat().st_mtime_ns
    train_encoder(settings, trained, pairs=PAIRS)
    assert "holds the result of this very run already" in " ".join(capsys.readouterr().err.split())
    assert (trained / "summary.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"another recipe: learning_rate was 0\.003 and is 0\.001"):
        train_encoder(settings.model_copy(update={"learning_rate": 1e-3}), trained, pairs=PAIRS)
    with pytest.raises(UserError, match="another recipe: training examples was"):
        train_encoder(settings, trained, pairs=PAIRS.model_copy(update={"limit": 47}))


def test_questions_of_the_sample(tmp_path: Path) -> None:
    data = DataConfig(limit=30)
    settings = config(
        make_electra(tmp_path / "m"), task="qa", keep_text="end", conclusions=1, teach_dev=True, layers=1,
        frozen_layers=1, class_weight=0.5, label_smoothing=0.1, epochs=1, max_length=160,
    )  # fmt: skip
    output = train_encoder(settings, tmp_path / "out", data=data, quiet=True)
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["dev_examples"], summary["dev_accuracy"]) == (0, None)
    assert summary["step"] == summary["steps"]
    assert summary["trainable_parameters"] < summary["parameters"]
    chain = classifier_chain(str(output))
    result = evaluate_qa("qa_gold", chain, load_records(data, "test"), identity={}, quiet=True)
    assert result.metrics["unparsed"] == 0
    assert all(sample["prompt"].partition("\n\n")[0] == sample["question"] for sample in result.samples)
    assert "classifier_chain(DIR)" in (output / "README.md").read_text()


def test_a_full_disk_keeps_what_was_trained(encoder: Path, tmp_path: Path, monkeypatch) -> None:
    save = EncoderTrainer._save_optimizer_and_scheduler

    def full(self, folder):
        if self.state.global_step == 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, folder)

    monkeypatch.setattr(EncoderTrainer, "_save_optimizer_and_scheduler", full)
    with pytest.raises(UserError, match=r"checkpoint-8 could not be saved \(No space left.*up to checkpoint-4 is kept"):
        train_encoder(config(encoder), tmp_path, pairs=PAIRS, quiet=True)
    assert not (tmp_path / "checkpoint-8").exists()
    assert equal(tmp_path, tmp_path / "checkpoint-4")
    load_classifier(str(tmp_path))
    monkeypatch.setattr(EncoderTrainer, "_save_optimizer_and_scheduler", save)
    train_encoder(config(encoder), tmp_path, pairs=PAIRS, quiet=True)
    assert (tmp_path / "summary.json").is_file()


def test_an_output_that_cannot_be_written_is_told_before_anything_is_read(encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="it is a file"):
        train_encoder(config(encoder), tmp_path / "file", pairs=PairsConfig(path="/absent"), quiet=True)


def test_no_such_place_to_report_to(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.encoder\.report_to is nowhere, and figures can be sent to"):
        train_encoder(config(encoder, report_to=("nowhere",)), tmp_path, pairs=PAIRS, quiet=True)
