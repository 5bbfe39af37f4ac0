import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from embedders import save_tiny_embedder
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

from common.errors import UserError
from corpus.records import QARecord, documents
from finetune.config import TaughtEmbedderConfig
from finetune.embedder import train as module
from finetune.embedder.examples import make_lesson
from finetune.embedder.model import _encoded, load_untaught, measure, prompts_of
from finetune.embedder.train import train_embedder
from finetune.embedder.trainer import EmbedderTrainer
from retrievers import make_retriever
from retrievers.config import EmbedderConfig, StoreConfig
from retrievers.embedders.sentence import SentenceEmbedder
from retrievers.kinds.dense import DenseConfig

WORDS = ["aspirin", "statin", "vaccine", "placebo", "surgery", "stroke"]
WORDS += ["mortality", "pressure", "diabetes", "children", "adults", "pain"]


def records(first: int, count: int) -> list[QARecord]:
    """Each about a pair of words, named in the question by other words, so that there is something to learn."""
    made = []
    for number in range(first, first + count):
        one, two = WORDS[number % 12], WORDS[(number * 5 + number // 12 + 1) % 12]
        text = f"{one} {two} was in the treated group."
        made.append(QARecord(str(number), f"does {one} lower {two}?", (text,), None, conclusion=f"{one} fell {two}"))
    return made


TRAIN, DEV = records(0, 24), records(24, 8)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_embedder(tmp_path_factory.mktemp("base"))


def config(base: Path, **settings: Any) -> TaughtEmbedderConfig:
    usual = {"model": str(base), "epochs": 2, "batch_size": 8, "max_length": 16, "every": 4, "report_to": ()}
    return TaughtEmbedderConfig.model_validate({**usual, "learning_rate": 3e-3, "keep_checkpoints": None, **settings})


@pytest.fixture(scope="module")
def trained(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_embedder(config(base), tmp_path_factory.mktemp("run") / "out", train=TRAIN, dev=DEV, quiet=True)


def equal(one: Path, other: Path) -> bool:
    first, second = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return all(first[name].allclose(second[name], atol=1e-6) for name in first)


def test_what_a_run_leaves(trained: Path, base: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    steps = summary["steps"]
    measured = {entry["step"]: entry for entry in summary["log"] if "eval_accuracy" in entry}
    assert set(measured) == {*range(4, steps, 4), steps}
    best = max(measured, key=lambda step: (measured[step]["eval_accuracy"], -measured[step]["eval_loss"]))
    assert summary["step"] == best
    assert summary["dev_accuracy@1"] == measured[best]["eval_accuracy"]
    assert equal(trained, trained / f"checkpoint-{best}")
    assert (summary["train_pairs"], summary["dev_questions"], summary["negatives"]) == (48, 8, 0)
    card = (trained / "README.md").read_text()
    assert f"| dev accuracy@1 | {summary['dev_accuracy@1']:.3f} |" in card
    assert str(base) in card
    assert not any(one.question in card for one in TRAIN)
    assert not list(trained.glob("optimizer*"))


def test_no_checkpoint_quotes_training_texts(trained: Path) -> None:
    for path in trained.rglob("*"):
        if path.suffix in (".md", ".json") and path.name != "tokenizer.json":
            assert "does aspirin lower" not in path.read_text(), path


def test_result_and_checkpoints_are_embedders_with_the_figures_that_were_measured(
    trained: Path, tmp_path: Path
) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    last = trained / f"checkpoint-{summary['steps']}"
    figures = {entry["step"]: entry["eval_accuracy"] for entry in summary["log"] if "eval_accuracy" in entry}
    for folder, want in ((trained, summary["dev_accuracy@1"]), (last, figures[summary["steps"]])):
        retriever = make_retriever(
            DenseConfig(embedder="taught"),
            documents([*TRAIN, *DEV]),
            corpus=folder.name,
            embedders={"taught": EmbedderConfig(model=str(folder), dtype="float32")},
            store=StoreConfig(path=str(tmp_path / "store")),
            quiet=True,
        )
        found = retriever.search([one.question for one in DEV], 1)
        right = [best[0].page_content == one.context for best, one in zip(found, DEV, strict=True)]
        assert sum(right) / len(right) == pytest.approx(want)


def test_it_learns(base: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = SentenceTransformer(str(base), device="cpu")
    for weights in model.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.1)  # the helper's are too large to learn from
    model.save(str(tmp_path / "small"), create_model_card=False)
    settings = config(tmp_path / "small", epochs=20, every=1000, negatives=1, warmup=0.0)
    lesson = make_lesson(settings, TRAIN, TRAIN)
    before = measure(load_untaught(settings), lesson.dev, lesson.abstracts, 20.0)
    output = train_embedder(settings, tmp_path / "out", train=TRAIN, dev=TRAIN, quiet=True)
    summary = json.loads((output / "summary.json").read_text())
    assert summary["dev_accuracy@1"] > before["accuracy"] + 0.2
    assert summary["dev_loss"] < 0.5 * before["loss"]
    assert summary["negatives"] == 1


def test_the_model_reads_as_much_as_before_and_keeps_its_modules(base: Path, tmp_path: Path) -> None:
    output = train_embedder(config(base, max_length=8, epochs=1), tmp_path / "out", train=TRAIN, dev=(), quiet=True)
    assert SentenceEmbedder(str(output), dtype="float32").model.max_seq_length == 16
    assert (output / "1_Pooling" / "config.json").is_file()
    assert json.loads((output / "summary.json").read_text())["dev_accuracy@1"] is None
    assert "| dev accuracy@1 | not measured |" in (output / "README.md").read_text()


def test_teach_dev_teaches_both(base: Path, tmp_path: Path) -> None:
    output = train_embedder(config(base, teach_dev=True, epochs=1), tmp_path / "out", train=TRAIN, dev=DEV, quiet=True)
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["train_pairs"], summary["dev_questions"]) == (64, 0)


def test_prompts_are_those_of_use(tmp_path: Path) -> None:
    folder = save_tiny_embedder(tmp_path, prompts={"query": "query: ", "passage": "passage: "})
    model = load_untaught(config(folder))
    assert (prompts_of(model).query, prompts_of(model).passage) == ("query: ", "passage: ")
    embedder = SentenceEmbedder(str(folder), dtype="float32")
    lesson_text = TRAIN[0].context
    want = torch.nn.functional.normalize(torch.tensor(embedder.embed_documents([lesson_text])), dim=1).numpy()
    assert np.allclose(_encoded(model, [lesson_text], prompts_of(model).passage), want, atol=1e-5)


def test_a_stopped_run_ends_as_an_unbroken_one(
    base: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(TrainerCallback):
        def __init__(self, at: int) -> None:
            self.at = at

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == self.at:
                raise KeyboardInterrupt

    build = module._trainer
    for at in (5, 10):

        def stopping(*arguments: Any, at: int = at) -> EmbedderTrainer:
            trainer = build(*arguments)
            trainer.add_callback(Stop(at))
            return trainer

        monkeypatch.setattr(module, "_trainer", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_embedder(config(base), tmp_path, train=TRAIN, dev=DEV, quiet=True)
        SentenceEmbedder(str(tmp_path), dtype="float32")
        assert not (tmp_path / "summary.json").exists()
    monkeypatch.setattr(module, "_trainer", build)
    train_embedder(config(base), tmp_path, train=TRAIN, dev=DEV, quiet=True)
    steps = json.loads((trained / "summary.json").read_text())["steps"]
    assert equal(tmp_path / f"checkpoint-{steps}", trained / f"checkpoint-{steps}")
    assert equal(tmp_path, trained)


def test_a_finished_run_is_left_as_it_is_and_another_recipe_refused(
    base: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "summary.json").stat().st_mtime_ns
    train_embedder(config(base), trained, train=TRAIN, dev=DEV)
    assert "holds the result of this very run already" in " ".join(capsys.readouterr().err.split())
    assert (trained / "summary.json").stat().st_mtime_ns == before
    with pytest.raises(UserError, match="another recipe: epochs was 2 and is 3"):
        train_embedder(config(base, epochs=3), trained, train=TRAIN, dev=DEV, quiet=True)
    with pytest.raises(UserError, match="another recipe: training examples was"):
        train_embedder(config(base), trained, train=TRAIN[:-1], dev=DEV, quiet=True)


def test_a_full_disk_keeps_what_was_trained(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = EmbedderTrainer._save_optimizer_and_scheduler

    def full(self: EmbedderTrainer, folder: str) -> None:
        if self.state.global_step == 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, folder)

    monkeypatch.setattr(EmbedderTrainer, "_save_optimizer_and_scheduler", full)
    with pytest.raises(UserError, match=r"checkpoint-8 could not be saved \(No space left.*up to checkpoint-4 is kept"):
        train_embedder(config(base), tmp_path, train=TRAIN, dev=DEV, quiet=True)
    assert equal(tmp_path, tmp_path / "checkpoint-4")
    SentenceEmbedder(str(tmp_path), dtype="float32")


def test_a_window_that_the_model_lacks(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"max_length is 64, and .* reads 16 tokens"):
        train_embedder(config(base, max_length=64), tmp_path, train=TRAIN, quiet=True)


def test_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        train_embedder(config(tmp_path / "nowhere"), tmp_path / "out", train=TRAIN, quiet=True)


def test_no_such_place_to_report_to(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.embedder\.report_to is nowhere, and figures can be sent to"):
        train_embedder(config(base, report_to=("nowhere",)), tmp_path, train=TRAIN, quiet=True)
