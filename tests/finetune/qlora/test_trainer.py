"""finetune/qlora/trainer.py: early stopping, and weights independent of evaluations and prefix sharing."""

from pathlib import Path
from typing import Any

import pytest
from qlora_runs import TOLERANCE, distance, summary, train

from eval.tasks import NLITask


def test_training_stops_early_and_publishes_the_best_checkpoint(
    chat_base: Path, pair_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The accuracy before training, and after 3, 6, 9, 12 and 15 steps.
    accuracies = iter([0.3, 0.4, 0.6, 0.5, 0.5, 0.9])
    real_evaluate = NLITask.evaluate

    def evaluate(*args: Any, **kwargs: Any) -> Any:
        result = real_evaluate(*args, **kwargs)
        estimate = type(result.estimates["accuracy"])(next(accuracies))
        return type(result)(result.task, {**result.estimates, "accuracy": estimate}, result.samples)

    monkeypatch.setattr(NLITask, "evaluate", evaluate)
    output = train(chat_base, pair_folder, tmp_path, max_steps=18, patience=2, keep_checkpoints=None)
    figures = summary(output)
    assert (figures["step"], figures["steps"], figures["stopped_early"]) == (6, 12, True)
    assert distance(output, output / "checkpoint-6") == 0
    assert distance(output, output / "checkpoint-12") > 0


def test_evaluations_do_not_change_the_trained_weights(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    llm = {"quantization": "4bit"}
    each_step = train(chat_base, pair_folder, tmp_path / "each_step", llm=llm, every=1, max_steps=6, keep="last")
    once = train(chat_base, pair_folder, tmp_path / "once", llm=llm, every=6, max_steps=6, keep="last")
    assert distance(each_step, once) <= TOLERANCE


def test_share_start_does_not_change_the_trained_weights(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    settings = {"dropout": 0, "keep": "last", "max_steps": 4, "every": 4}
    shared = train(chat_base, pair_folder, tmp_path / "shared", **settings)
    unshared = train(chat_base, pair_folder, tmp_path / "unshared", share_start=False, **settings)
    assert distance(shared, unshared) < 1e-4
