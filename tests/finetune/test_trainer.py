"""finetune/trainer.py: the training clock and the choice of the best step."""

import time

import pytest

from finetune.encoder.trainer import EncoderTrainer
from finetune.trainer import best_step, evaluations


def test_the_clock_stops_within_a_pause_and_pauses_nest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    trainer = EncoderTrainer.__new__(EncoderTrainer)  # without a model: the clock needs none
    trainer._seconds, trainer._started = 5.0, 100.0
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


def test_a_pause_counts_neither_before_training_nor_if_an_error_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    trainer = EncoderTrainer.__new__(EncoderTrainer)
    trainer._seconds, trainer._started = 5.0, None
    with trainer._pause():  # an evaluation before training
        now = 110.0
    assert (trainer.seconds, trainer._started) == (5, None)
    trainer._started = 110.0

    def diverge() -> None:
        nonlocal now
        now = 112.0
        with trainer._pause():
            now = 150.0
            raise FloatingPointError

    with pytest.raises(FloatingPointError):
        diverge()
    assert trainer.seconds == 7


def test_the_best_step_has_the_best_accuracy_and_in_a_tie_the_lowest_loss() -> None:
    log = [
        {"step": 0, "eval_accuracy": 0.9, "eval_loss": 0.1},  # before training
        {"step": 3, "eval_accuracy": 0.7, "eval_loss": 0.5},
        {"step": 3, "loss": 1.0},
        {"step": 6, "eval_accuracy": 0.7, "eval_loss": 0.4},
        {"step": 9, "eval_accuracy": 0.6, "eval_loss": 0.3},
    ]
    assert list(evaluations(log)) == [0, 3, 6, 9]
    assert best_step(log) == 6
    assert best_step(log[:1]) is None
