"""finetune/qlora/trainer.py: evaluation and shared computation change nothing; killed runs resume."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from qlora_runs import QUICK, TOLERANCE, distance, summary, train

from eval.tasks import NLITask


def test_the_best_checkpoint_is_taken_and_it_stops_early(
    chat_base: Path, pair_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = iter([0.3, 0.4, 0.6, 0.5, 0.5, 0.9])  # the first is before training

    judged = NLITask.evaluate

    def evaluate(*args: Any, **kwargs: Any) -> Any:
        result = judged(*args, **kwargs)
        estimate = type(result.estimates["accuracy"])(next(accuracies))
        return type(result)(result.task, {**result.estimates, "accuracy": estimate}, result.samples)

    monkeypatch.setattr(NLITask, "evaluate", evaluate)
    output = train(chat_base, pair_folder, tmp_path, max_steps=18, patience=2, keep_checkpoints=None)
    figures = summary(output)
    assert (figures["step"], figures["steps"], figures["stopped_early"]) == (6, 12, True)
    assert distance(output, output / "checkpoint-6") == 0
    assert distance(output, output / "checkpoint-12") > 0


def test_evaluation_changes_nothing(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    llm = {"quantization": "4bit"}
    often = train(chat_base, pair_folder, tmp_path / "often", llm=llm, every=1, max_steps=6, keep="last")
    once = train(chat_base, pair_folder, tmp_path / "once", llm=llm, every=6, max_steps=6, keep="last")
    assert distance(often, once) <= TOLERANCE


def test_sharing_the_start_changes_nothing(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    short = {"dropout": 0, "keep": "last", "max_steps": 4, "every": 4}
    shared = train(chat_base, pair_folder, tmp_path / "shared", **short)
    alone = train(chat_base, pair_folder, tmp_path / "alone", share_start=False, **short)
    assert distance(shared, alone) < 1e-4


RUN = """
import os, sys
from pathlib import Path
from chains.config import LLMConfig, PromptConfig
from corpus.config import PairsConfig
from finetune.config import QLoRAConfig
from finetune.qlora.train import train_qlora
from finetune.qlora.trainer import PairTrainer
base, pairs, output, settings, kill, where = sys.argv[1:]
step = PairTrainer.training_step
def training_step(self, *args, **kwargs):
    if where == "step" and self.state.global_step == int(kill):
        os.kill(os.getpid(), 9)
    return step(self, *args, **kwargs)
PairTrainer.training_step = training_step
if where == "save":
    import torch
    save = torch.save
    def killed(content, path, *args, **kwargs):
        if f"checkpoint-{kill}" in str(path):
            os.kill(os.getpid(), 9)
        save(content, path, *args, **kwargs)
    torch.save = killed
train_qlora(
    LLMConfig(model=base, device_map="cpu", dtype="float32", quantization="4bit"), PromptConfig(),
    PairsConfig(path=pairs), QLoRAConfig.model_validate_json(settings), Path(output), quiet=True,
)
"""


def run(base: Path, pairs: Path, output: Path, settings: dict[str, Any], kill: int, where: str, *launch: str) -> int:
    script = output.parent / "run.py"
    script.write_text(RUN)
    command = [sys.executable, *launch, str(script), str(base), str(pairs), str(output), json.dumps(settings)]
    done = subprocess.run([*command, str(kill), where], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1 if launch and kill >= 0 else -9), done.stderr  # a launcher reports a kill as 1
    return done.returncode


@pytest.mark.slow
def test_killed_at_three_steps_and_resumed(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    settings = {**QUICK, "max_steps": 20, "keep": "last"}
    assert run(chat_base, pair_folder, tmp_path / "unbroken", settings, -1, "") == 0
    for kill, where in ((5, "step"), (12, "save"), (17, "step")):
        assert run(chat_base, pair_folder, tmp_path / "broken", settings, kill, where) == -9
    assert run(chat_base, pair_folder, tmp_path / "broken", settings, -1, "") == 0
    assert distance(tmp_path / "broken", tmp_path / "unbroken") <= TOLERANCE


LAUNCH = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517")
BOTH = {**QUICK, "every": 2, "max_steps": 8, "dropout": 0, "keep": "last", "group_by_length": False}


@pytest.mark.slow
def test_two_processes_share_the_work(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    assert run(chat_base, pair_folder, tmp_path / "two", BOTH, -1, "", *LAUNCH) == 0
    assert run(chat_base, pair_folder, tmp_path / "one", {**BOTH, "batch_size": 8}, -1, "") == 0
    figures = summary(tmp_path / "two")
    assert figures["recipe"]["processes"] == 2
    assert figures["dev_accuracy"] == summary(tmp_path / "one")["dev_accuracy"]
    assert distance(tmp_path / "two", tmp_path / "one") < 1e-4
    assert (
        run(chat_base, pair_folder, tmp_path / "broken", BOTH, 5, "step", *LAUNCH) == 1
    )  # within the second epoch of three steps
    assert run(chat_base, pair_folder, tmp_path / "broken", BOTH, -1, "", *LAUNCH) == 0
    assert summary(tmp_path / "broken")["resumed"]
    assert distance(tmp_path / "two", tmp_path / "broken") <= TOLERANCE
