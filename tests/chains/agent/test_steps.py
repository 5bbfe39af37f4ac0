import json
import threading
import time
from pathlib import Path

import pytest

from chains.agent.steps import LimitReached, Run, Step, trace_to
from common.errors import UserError

LIMITS = (9, 9, 9)  # steps, tokens and seconds; no run reaches them


def test_trace_has_a_json_line_per_step(tmp_path: Path) -> None:
    file = tmp_path / "traces" / "run.jsonl"
    run = Run(*LIMITS, trace_to(file), clock=iter([0.0, 0.5, 1.25]).__next__)
    run.done("retrieve", found={"a": 0.5})
    run.done("grade", grades={})
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [Step.model_validate(line) for line in lines] == run.steps
    assert [(line["number"], line["kind"], line["seconds"]) for line in lines] == [
        (1, "retrieve", 0.5),
        (2, "grade", 1.25),
    ]
    assert lines[0]["detail"] == {"found": {"a": 0.5}}


def test_unwritable_trace_raises_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Set agent\.trace"):
        trace_to(tmp_path / "file" / "run.jsonl")
    with pytest.raises(UserError, match=r"Set agent\.trace"):
        Run(*LIMITS, trace_to(tmp_path)).done("retrieve")


def test_begin_raises_at_each_limit() -> None:
    run = Run(max_steps=2, max_tokens=100, max_seconds=9)
    run.begin()
    run.begin()
    with pytest.raises(LimitReached, match="stopped after 2 steps"):
        run.begin()
    run = Run(max_steps=9, max_tokens=100, max_seconds=9)
    run.tokens = 99
    run.begin()
    run.tokens = 100
    with pytest.raises(LimitReached, match="after 100 tokens"):
        run.begin()
    run = Run(max_steps=9, max_tokens=100, max_seconds=9, clock=iter([0.0, 8.9, 9.0]).__next__)
    run.begin()
    with pytest.raises(LimitReached, match="after 9 seconds"):
        run.begin()


def test_threads_share_the_step_limit_and_the_trace(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    run = Run(max_steps=50, max_tokens=9, max_seconds=9, on_step=trace_to(file), clock=slow_clock)
    refused: list[LimitReached] = []

    def take_steps() -> None:
        for _ in range(20):
            try:
                run.begin()
            except LimitReached as limit:
                refused.append(limit)
            else:
                run.done("tool", result="x" * 20_000)

    threads = [threading.Thread(target=take_steps) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(run.steps), len(refused)) == (50, 8 * 20 - 50)
    assert [json.loads(line)["number"] for line in file.read_text().splitlines()] == list(range(1, 51))


def slow_clock() -> float:
    time.sleep(0.0002)  # lets another thread run
    return 1.0


def test_only_the_owner_can_read_a_trace(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    Run(*LIMITS, trace_to(file)).done("tool", result="half of a character: \ud800")
    assert (file.stat().st_mode & 0o777) == 0o600
    assert "half of a character" in file.read_text()
