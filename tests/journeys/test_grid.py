"""``medground eval grid``, killed ten times at random moments and resumed, gives the results of one whole run."""

import json
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from common.result_cache import CACHE_FILE

KILLS = 10
RECORDS = 120


def start_grid(output: Path, store: Path) -> "subprocess.Popen[bytes]":
    # A kill can fall between any two batches, so small batches give many moments. The records of a batch differ between
    # the runs; in float32, the scores of a record hardly depend on the other records of its batch.
    overrides = [f"store.path={store}", "llm.batch_tokens=1024", "llm.dtype=float32", "embedders.minilm.dtype=float32"]
    options = ["--limit", str(RECORDS), "--output", str(output), "--quiet", *(f"--set={item}" for item in overrides)]
    command = [sys.executable, "-m", "medground", "eval", "grid", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_success(process: "subprocess.Popen[bytes]") -> None:
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err.decode()


def file_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def read_results(folder: Path) -> dict[str, Any]:
    files = sorted(folder.glob("*/results.json"))
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def read_samples(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        f"{file.parent.name}/{file.name}": [json.loads(line) for line in file.read_text().splitlines()]
        for file in sorted(folder.glob("*/samples_*.jsonl"))
    }


def pop_scores(sample: dict[str, Any]) -> list[float]:
    """Remove the scores of passages from the sample and return them."""
    return [passage.pop("score") or 0.0 for passage in sample["retrieved"]]


def cached_keys(cache: Path) -> list[str]:
    keys = []
    for line in cache.read_text().splitlines():
        with suppress(ValueError):  # a line that a kill cut off
            keys.append(json.loads(line)["key"])
    return keys


@pytest.mark.slow
def test_grid_killed_ten_times_ends_with_the_results_of_a_whole_run(tmp_path: Path) -> None:
    store, whole, killed = (tmp_path / name for name in ("store", "whole", "killed"))
    wait_for_success(start_grid(whole, store))
    rng, cache = random.Random(11), killed / CACHE_FILE
    total = file_size(whole / CACHE_FILE)
    for number in range(KILLS):
        size_before = file_size(cache)
        process = start_grid(killed, store)
        size_at_kill = size_before + rng.random() * max(total - size_before, 0) / (KILLS - number)
        while file_size(cache) <= size_at_kill and process.poll() is None:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.05)
        assert process.poll() is None, f"the grid ended before kill {number + 1}"
        process.send_signal(signal.SIGKILL)
        process.communicate()
    cached_before = cached_keys(cache)
    wait_for_success(start_grid(killed, store))

    keys = cached_keys(cache)
    assert len(keys) == len(set(keys))  # no finished record was computed again
    runs = read_results(killed)
    computed = sum(run["computed"] for run in runs.values())
    reused = sum(run["reused"] for run in runs.values())
    assert computed == len(keys) - len(cached_before)
    killed_samples, whole_samples = read_samples(killed), read_samples(whole)
    assert computed + reused == sum(map(len, killed_samples.values()))
    assert killed_samples.keys() == whole_samples.keys()
    for name, task_samples in killed_samples.items():
        for sample, expected in zip(task_samples, whole_samples[name], strict=True):
            assert sample.pop("label_scores") == pytest.approx(expected.pop("label_scores"), abs=1e-4)
            assert pop_scores(sample) == pytest.approx(pop_scores(expected), abs=1e-4)
            assert sample == expected
    whole_runs = read_results(whole)
    for name, run in runs.items():
        for task, figures in run["results"].items():
            assert figures == pytest.approx(whole_runs[name]["results"][task], abs=1e-4)
