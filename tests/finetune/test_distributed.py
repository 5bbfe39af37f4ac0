"""finetune/distributed.py: the peak memory of this process, and training in two processes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import training_runs
from qlora_runs import TOLERANCE
from training_runs import summary

from common.errors import UserError
from finetune.distributed import peak_memory

STATUS = Path("/proc/self/status")


@pytest.mark.skipif(not STATUS.exists() or torch.cuda.is_available(), reason="needs Linux without a GPU")
def test_peak_memory_equals_the_peak_resident_set_of_the_kernel() -> None:
    peak = peak_memory()
    kibibytes = re.search(r"VmHWM:\s*(\d+) kB", STATUS.read_text())
    assert kibibytes is not None
    assert peak == pytest.approx(int(kibibytes[1]) * 1024, rel=0.02)


# Trains by a method of ``training_runs``; the process kills itself at step ``kill_step``.
SCRIPT = """
import json, os, signal, sys
from pathlib import Path
import training_runs
name, output, settings, kill_step, *bases = sys.argv[1:]
method = getattr(training_runs, name)(*map(Path, bases))
step = method.trainer.training_step
def step_or_kill(self, *args, **kwargs):
    if self.state.global_step == int(kill_step):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *args, **kwargs)
method.trainer.training_step = step_or_kill
method.train(Path(output), **json.loads(settings))
"""
HELPERS = Path(training_runs.__file__).parent


def train_in_two_processes(
    method: str, output: Path, *bases: Path, settings: dict[str, Any], kill_step: int = -1
) -> int:
    """Train with ``training_runs.METHOD(*bases)``; returns the exit status."""
    script = output.with_suffix(".py")
    script.write_text(SCRIPT)
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517")
    command = [sys.executable, *launcher, script, method, output, json.dumps(settings), kill_step, *bases]
    path = os.pathsep.join((str(HELPERS), str(HELPERS.parents[1])))
    process = subprocess.run(
        list(map(str, command)), env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert process.returncode == 0 or kill_step >= 0, process.stderr
    return process.returncode


@pytest.mark.slow
def test_two_processes_train_and_resume_as_one_process_with_twice_the_batch(
    chat_base: Path, pair_folder: Path, tmp_path: Path
) -> None:
    bases = (chat_base, pair_folder)
    settings = {"every": 2, "max_steps": 8, "dropout": 0, "keep": "last", "group_by_length": False}
    method = training_runs.qlora(*bases)
    two, killed = tmp_path / "two", tmp_path / "killed"
    train_in_two_processes("qlora", two, *bases, settings=settings)
    one = method.train(tmp_path / "one", batch_size=8, **settings)
    assert summary(two)["dev_accuracy"] == summary(one)["dev_accuracy"]
    assert method.distance(two, one) < 1e-4
    # step 5 is within the second epoch of three steps; torch.distributed.run reports the kill as 1
    assert train_in_two_processes("qlora", killed, *bases, settings=settings, kill_step=5) == 1
    train_in_two_processes("qlora", killed, *bases, settings=settings)
    assert summary(killed)["resumed"]
    assert method.distance(two, killed) <= TOLERANCE
    with pytest.raises(UserError, match="processes was 2 and is 1"):
        method.train(two, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "batch_size", "steps"),
    [
        ("encoder", 8, 3),  # 48 pairs
        ("embedder", 12, 2),  # five batches, of which the last would be for one process only
    ],
)
def test_the_learning_rate_of_two_processes_falls_to_the_end(
    name: str, batch_size: int, steps: int, encoder_base: Path, embedder_base: Path, tmp_path: Path
) -> None:
    base = {"encoder": encoder_base, "embedder": embedder_base}[name]
    settings = {"epochs": 1, "batch_size": batch_size, "every": 1, "warmup": 0}
    train_in_two_processes(name, tmp_path / "out", base, settings=settings)
    figures = summary(tmp_path / "out")
    rates = [entry["learning_rate"] for entry in figures["log"] if "learning_rate" in entry]
    assert figures["steps"] == steps
    assert rates == pytest.approx([3e-3 * (steps - step) / steps for step in range(steps)])
