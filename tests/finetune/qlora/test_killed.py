"""SIGKILL during a QLoRA run in 4 bits on a real model: the resumed run ends with the same adapter."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from qlora_runs import summary, write_pairs
from safetensors.torch import load_file

from chains.models.fetch import source_of
from chains.models.known import known_model
from common.errors import UserError

RUN = """
import json, os, signal, sys
from pathlib import Path
import torch
from chains.config import LLMConfig, PromptConfig
from corpus.config import PairsConfig
from finetune.config import QLoRAConfig
from finetune.qlora.train import train_qlora
from finetune.qlora.trainer import PairTrainer

torch.set_num_threads(1)
settings = json.loads(sys.argv[1])
llm, pairs, config = (settings[name] for name in ("llm", "pairs", "train"))
configs = LLMConfig(**llm), PromptConfig(), PairsConfig(**pairs), QLoRAConfig(**config)
step, save = PairTrainer.training_step, torch.save

def train(output, moment):
    def kill():
        os.kill(os.getpid(), signal.SIGKILL)

    def training_step(self, *args, **kwargs):
        if f"step {self.state.global_step}" == moment:
            kill()
        return step(self, *args, **kwargs)

    def half(content, path, *args, **kwargs):
        save(content, path, *args, **kwargs)
        if str(path).endswith(moment):
            os.truncate(path, os.path.getsize(path) // 2)
            kill()

    PairTrainer.training_step, torch.save = training_step, half
    train_qlora(*configs, Path(output))

for output, moment in settings["runs"]:  # each in a process of its own; the imports are shared
    if (child := os.fork()) == 0:
        train(output, moment)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = sorted(path.parent.name for path in Path(output).glob("checkpoint-*/run.json"))
    begun = sorted(path.name for path in Path(output).glob("checkpoint-*"))
    print(json.dumps({"status": status, "complete": left, "begun": begun}), flush=True)
"""
# Nine steps in two epochs, a checkpoint every three; dropout needs the random state of the checkpoint.
TRAIN = {"max_steps": 9, "every": 3, "batch_size": 2, "rank": 4, "dropout": 0.1, "dev_limit": 2, "report_to": []}
LAST = "checkpoint-9/adapter_model.safetensors"
MOMENTS = ("step 1", "checkpoint-6/optimizer.pt", "step 7", "never")
KILLED, ENDED = -signal.SIGKILL, 0


def killed_and_whole(settings: dict[str, Any], folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Run into ``folder/killed``, killed at each moment in turn, and into ``folder/whole`` without a kill.

    Returns:
        How each process ended with its checkpoints, and what they wrote on stderr.
    """
    runs = [(str(folder / "killed"), moment) for moment in MOMENTS] + [(str(folder / "whole"), "never")]
    command = [sys.executable, "-c", RUN, json.dumps({**settings, "train": TRAIN, "runs": runs})]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"status"')], done.stderr


@pytest.mark.slow
def test_a_run_killed_three_times_ends_with_the_same_adapter(tmp_path: Path) -> None:
    """The model is smollm2; where neither hub nor package index gives it, medground-tiny."""
    known = known_model("smollm2")
    assert known is not None
    try:
        model = source_of(known)
    except UserError:
        model = "embedded"
    for split, count in (("train", 10), ("dev", 4)):
        write_pairs(tmp_path / "pairs", split, count)
    settings = {
        "llm": {"model": model, "quantization": "4bit", "dtype": "float32", "device_map": "cpu"},
        "pairs": {"path": str(tmp_path / "pairs")},
    }
    ends, said = killed_and_whole(settings, tmp_path)
    three, six, nine = "checkpoint-3", "checkpoint-6", "checkpoint-9"
    assert ends == [
        {"status": KILLED, "complete": [], "begun": []},
        {"status": KILLED, "complete": [three], "begun": [three, six]},
        {"status": KILLED, "complete": [three, six], "begun": [three, six]},
        {"status": ENDED, "complete": [three, six, nine], "begun": [three, six, nine]},
        {"status": ENDED, "complete": [three, six, nine], "begun": [three, six, nine]},
    ]
    assert [line for line in said.splitlines() if "Resuming" in line] == [
        "Resuming from checkpoint-3.",
        "Resuming from checkpoint-6.",
    ]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    losses = [[entry["loss"] for entry in summary(one)["log"] if "loss" in entry] for one in (killed, whole)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3
    assert (killed / LAST).read_bytes() == (whole / LAST).read_bytes()
    moved = [value.abs().max().item() for name, value in load_file(whole / LAST).items() if "lora_B" in name]
    assert min(moved) > 0  # every layer was trained
