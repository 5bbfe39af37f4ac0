"""finetune/qlora/trainer.py: early stopping, weights independent of evaluations and prefix sharing, two processes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from qlora_runs import QUICK, TOLERANCE, distance, summary, train

from eval.tasks import NLITask


def test_training_stops_early_and_publishes_the_best_checkpoint(
    chat_base: Path, pair_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = iter([0.3, 0.4, 0.6, 0.5, 0.5, 0.9])  # before training, then after 3, 6, 9, 12 and 15 steps
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


# Trains in 4 bits; the process kills itself at step ``kill_step``.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from chains.config import LLMConfig, PromptConfig
from corpus.config import PairsConfig
from finetune.config import QLoRAConfig
from finetune.qlora.train import train_qlora
from finetune.qlora.trainer import PairTrainer
base, pairs, output, settings, kill_step = sys.argv[1:]
step = PairTrainer.training_step
def step_or_kill(self, *args, **kwargs):
    if self.state.global_step == int(kill_step):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *args, **kwargs)
PairTrainer.training_step = step_or_kill
train_qlora(
    LLMConfig(model=base, device_map="cpu", dtype="float32", quantization="4bit"), PromptConfig(),
    PairsConfig(path=pairs), QLoRAConfig.model_validate_json(settings), Path(output), quiet=True,
)
"""
TWO_PROCESSES = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517")


@pytest.mark.slow
def test_two_processes_train_and_resume_as_one_process_with_twice_the_batch(
    chat_base: Path, pair_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)

    def run(output: Path, *launcher: str, batch_size: int = 4, kill_step: int = -1) -> int:
        settings = {**QUICK, "every": 2, "max_steps": 8, "dropout": 0, "keep": "last", "group_by_length": False}
        arguments = (chat_base, pair_folder, output, json.dumps({**settings, "batch_size": batch_size}), kill_step)
        command = [sys.executable, *launcher, tmp_path / "script.py", *arguments]
        process = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
        assert process.returncode == 0 or kill_step >= 0, process.stderr
        return process.returncode

    two, one, killed = (tmp_path / name for name in ("two", "one", "killed"))
    run(two, *TWO_PROCESSES)
    run(one, batch_size=8)
    assert summary(two)["recipe"]["processes"] == 2
    assert summary(two)["dev_accuracy"] == summary(one)["dev_accuracy"]
    assert distance(two, one) < 1e-4
    # step 5 is within the second epoch of three steps; torch.distributed.run reports the kill as 1
    assert run(killed, *TWO_PROCESSES, kill_step=5) == 1
    run(killed, *TWO_PROCESSES)
    assert summary(killed)["resumed"]
    assert distance(two, killed) <= TOLERANCE
