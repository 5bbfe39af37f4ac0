"""The grid of the embedded default, killed at ten random moments, ends with the results of an unbroken run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from common.result_cache import CACHE_FILE

KILLS = 10
LIMIT = 120


def start(output: Path, store: Path) -> "subprocess.Popen[bytes]":
    # Batches of a few prompts, so that there are many moments to be killed at; float32, so that what goes through the
    # model together after a kill, and what did before it, give the same figures save for rounding.
    over = [f"store.path={store}", "llm.batch_tokens=1024", "llm.dtype=float32", "embedders.minilm.dtype=float32"]
    options = ["--limit", str(LIMIT), "--output", str(output), "--quiet", *(f"--set={one}" for one in over)]
    command = [sys.executable, "-m", "medground", "eval", "grid", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ))


def finished(process: "subprocess.Popen[bytes]") -> None:
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err.decode()


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def results(folder: Path) -> dict[str, Any]:
    files = sorted(folder.glob("*/results.json"))
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def samples(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        f"{file.parent.name}/{file.name}": [json.loads(line) for line in file.read_text().splitlines()]
        for file in sorted(folder.glob("*/samples_*.jsonl"))
    }


def scores(sample: dict[str, Any]) -> list[float]:
    """The scores of what was retrieved, taken out of the sample."""
    return [passage.pop("score") or 0.0 for passage in sample["retrieved"]]


@pytest.mark.slow
def test_killed_ten_times_it_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    store = tmp_path / "store"
    finished(start(tmp_path / "whole", store))
    output, rng = tmp_path / "killed", random.Random(11)
    cache = output / CACHE_FILE
    total = size(tmp_path / "whole" / CACHE_FILE)
    for number in range(KILLS):
        before = size(cache)
        process = start(output, store)
        enough = before + rng.random() * max(total - before, 0) / (KILLS - number)
        while size(cache) <= enough and process.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.05)
        assert process.poll() is None, f"it ended before kill {number + 1}"
        process.send_signal(signal.SIGKILL)
        process.communicate()
    lines = cache.read_text().splitlines()
    kept = [json.loads(line)["key"] for line in lines if line.startswith("{") and line.endswith("}")]
    finished(start(output, store))

    keys = []
    for line in cache.read_text().splitlines():
        try:
            keys.append(json.loads(line)["key"])
        except ValueError:  # the torn end of a kill
            continue
    assert len(keys) == len(set(keys))  # no finished record was computed again
    last = results(output)
    computed = sum(run["computed"] for run in last.values())
    reused = sum(run["reused"] for run in last.values())
    assert computed == len(keys) - len(kept)
    assert computed + reused == sum(len(part) for part in samples(output).values())
    ours, theirs = samples(output), samples(tmp_path / "whole")
    assert ours.keys() == theirs.keys()
    for name, part in ours.items():
        for a, b in zip(part, theirs[name], strict=True):
            assert a.pop("label_scores") == pytest.approx(b.pop("label_scores"), abs=1e-4)
            assert scores(a) == pytest.approx(scores(b), abs=1e-4)
            assert a == b
    whole = results(tmp_path / "whole")
    for name, run in last.items():
        for task, figures in run["results"].items():
            assert figures == pytest.approx(whole[name]["results"][task], abs=1e-4)
