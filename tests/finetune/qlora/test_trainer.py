"""finetune/qlora/trainer.py: stopped runs, full disks, and what measuring must not change."""

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from qlora_runs import QUICK, TOLERANCE, distance, summary, train

from chains.config import LLMConfig
from chains.models.local import load_llm
from common.errors import UserError
from eval.nli import evaluate_nli
from finetune.qlora.trainer import PairTrainer


def test_the_best_checkpoint_is_taken_and_it_stops_early(
    chat_base: Path, pair_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = iter([0.3, 0.4, 0.6, 0.5, 0.5, 0.9])  # the first is before training

    def evaluate(*args: Any, **kwargs: Any) -> Any:
        result = evaluate_nli(*args, **kwargs)
        estimate = type(result.estimates["accuracy"])(next(accuracies))
        return type(result)(result.task, {**result.estimates, "accuracy": estimate}, result.samples)

    monkeypatch.setattr("finetune.qlora.build.evaluate_nli", evaluate)
    output = train(chat_base, pair_folder, tmp_path, max_steps=18, patience=2, keep_checkpoints=None)
    figures = summary(output)
    assert (figures["step"], figures["steps"], figures["stopped_early"]) == (6, 12, True)
    assert distance(output, output / "checkpoint-6") == 0
    assert distance(output, output / "checkpoint-12") > 0


def test_a_stopped_run_ends_as_an_unbroken_one(
    chat_base: Path, pair_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"max_steps": 14, "keep": "last", "llm": {"quantization": "4bit"}}
    train(chat_base, pair_folder, tmp_path / "unbroken", **settings)
    step = PairTrainer.training_step
    for stop in (4, 7, 11):  # in the first epoch, right after a checkpoint, in the second

        def training_step(self: PairTrainer, *args: Any, stop: int = stop, **kwargs: Any) -> Any:
            if self.state.global_step == stop:
                raise KeyboardInterrupt
            return step(self, *args, **kwargs)

        monkeypatch.setattr(PairTrainer, "training_step", training_step)
        with pytest.raises(KeyboardInterrupt):
            train(chat_base, pair_folder, tmp_path / "broken", **settings)
        assert (tmp_path / "broken" / "adapter_model.safetensors").is_file()  # what was trained is kept
        half = tmp_path / "broken" / f"checkpoint-{stop + 100}"
        half.mkdir()
        (half / "adapter_model.safetensors").write_text("half")
    monkeypatch.setattr(PairTrainer, "training_step", step)
    train(chat_base, pair_folder, tmp_path / "broken", **settings)
    assert summary(tmp_path / "broken")["resumed"]
    assert not half.exists()
    assert distance(tmp_path / "broken", tmp_path / "unbroken") <= TOLERANCE


def test_a_full_disk_keeps_the_checkpoint_before(
    chat_base: Path, pair_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = torch.save

    def full(content: Any, path: Any, *args: Any, **kwargs: Any) -> None:
        if "checkpoint-6" in str(path):
            Path(path).write_bytes(b"ha")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(content, path, *args, **kwargs)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match=r"No space left on device.*up to checkpoint-3 is kept.*goes on from there"):
        train(chat_base, pair_folder, tmp_path)
    assert not (tmp_path / "checkpoint-6").exists()
    assert load_llm(LLMConfig(model=str(chat_base), adapter=str(tmp_path)))
    monkeypatch.setattr(torch, "save", save)
    assert summary(train(chat_base, pair_folder, tmp_path))["resumed"]


def test_measuring_in_between_changes_nothing(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    llm = {"quantization": "4bit"}
    often = train(chat_base, pair_folder, tmp_path / "often", llm=llm, every=1, keep="last")
    once = train(chat_base, pair_folder, tmp_path / "once", llm=llm, every=9, keep="last")
    assert distance(often, once) <= TOLERANCE


def test_sharing_the_start_changes_nothing(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    shared = train(chat_base, pair_folder, tmp_path / "shared", dropout=0, keep="last")
    alone = train(chat_base, pair_folder, tmp_path / "alone", dropout=0, keep="last", share_start=False)
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
