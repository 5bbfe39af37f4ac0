"""finetune/trainer.py: the clock, what is shown, and what becomes of a run that ends early."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from classifiers import make_encoder

from common.errors import UserError
from corpus.config import PairsConfig
from finetune.checkpoints import publish_best
from finetune.config import EncoderConfig
from finetune.encoder.train import train_encoder
from finetune.encoder.trainer import EncoderTrainer


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EncoderConfig:
    model = str(make_encoder(tmp_path_factory.mktemp("encoder")))
    return EncoderConfig(model=model, epochs=1, batch_size=8, max_length=48, every=2, report_to=())


def test_measuring_and_saving_stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    trainer = EncoderTrainer.__new__(EncoderTrainer)  # without a model: the clock needs none
    trainer._spent, trainer._started = 5.0, 100.0
    now = 110.0
    assert trainer.seconds == 15
    with trainer._pause():
        now = 150.0
        assert trainer.seconds == 15
        with trainer._pause():
            now = 160.0
        now = 170.0
        assert trainer.seconds == 15
    now = 173.0
    assert trainer.seconds == 18


def test_training_shows_nothing_of_the_libraries(
    config: EncoderConfig, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train_encoder(config, tmp_path, pairs=PairsConfig(limit=32), quiet=True)
    assert (tmp_path / "checkpoint-4" / "model.safetensors").is_file()
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_where_memory_does_not_suffice_the_last_checkpoint_is_the_result(
    config: EncoderConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = EncoderTrainer.training_step

    def full(self: EncoderTrainer, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 3:
            raise torch.OutOfMemoryError
        return step(self, *args, **kwargs)

    monkeypatch.setattr(EncoderTrainer, "training_step", full)
    with pytest.raises(UserError, match=r"memory does not suffice for batches of 8 texts of up to 48 tokens"):
        train_encoder(config, tmp_path, pairs=PairsConfig(limit=32), quiet=True)
    kept = tmp_path / "checkpoint-2" / "model.safetensors"
    assert (tmp_path / "model.safetensors").read_bytes() == kept.read_bytes()
    assert not (tmp_path / "summary.json").exists()


def test_the_best_checkpoint_is_published_or_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert publish_best(tmp_path, 3) is None
    for step in (3, 6):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "run.json").write_text("{}")
        (folder / "model").write_text(str(step))
    for step, taken in ((3, 3), (None, 6), (4, 6)):  # 4 was removed
        published = publish_best(tmp_path, step)
        assert published is not None
        assert published.step == taken
        assert (tmp_path / "model").read_text() == str(taken)

    def full(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("finetune.checkpoints.publish", full)
    assert publish_best(tmp_path, 3) is None
