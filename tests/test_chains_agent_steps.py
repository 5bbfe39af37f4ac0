import json
from pathlib import Path

import pytest

from chains.agent.steps import LimitReached, Run, Step, trace_to
from corpus.errors import UserError


def test_each_step_is_a_line_of_the_trace(tmp_path: Path) -> None:
    file = tmp_path / "traces" / "run.jsonl"
    run = Run(9, 9, 9, trace_to(file), clock=iter([0.0, 0.5, 1.25]).__next__)
    run.done("retrieve", found={"a": 0.5})
    run.done("grade", grades={})
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [Step.model_validate(line) for line in lines] == run.steps
    assert [(line["number"], line["kind"], line["seconds"]) for line in lines] == [
        (1, "retrieve", 0.5),
        (2, "grade", 1.25),
    ]
    assert lines[0]["detail"] == {"found": {"a": 0.5}}


def test_a_trace_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Set agent\.trace"):
        trace_to(tmp_path / "file" / "run.jsonl")
    with pytest.raises(UserError, match=r"Set agent\.trace"):
        Run(9, 9, 9, trace_to(tmp_path)).done("retrieve")


def test_limits_are_reached_and_not_passed() -> None:
    run = Run(2, 100, 9)
    run.begin()
    run.begin()
    with pytest.raises(LimitReached, match="stopped after 2 steps"):
        run.begin()
    run = Run(9, 100, 9)
    run.tokens = 99
    run.begin()
    run.tokens = 100
    with pytest.raises(LimitReached, match="after 100 tokens"):
        run.begin()
    run = Run(9, 100, 9, clock=iter([0.0, 8.9, 9.0]).__next__)
    run.begin()
    with pytest.raises(LimitReached, match="after 9 seconds"):
        run.begin()
