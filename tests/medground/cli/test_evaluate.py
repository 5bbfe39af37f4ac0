"""Writing of results by ``medground eval``; tests/journeys runs the commands."""

import json
import os
import sys
from pathlib import Path

import pytest
from rich.table import Table

from eval.results import TaskResult
from eval.stats.estimate import Estimate
from eval.tasks import task_from_name
from medground.cli.evaluate import Run, _calibration_advice, print_and_write
from medground.settings import load_settings


@pytest.mark.parametrize(("targets", "is_limit"), [(("entailment",) * 9, True), (("entailment", "neutral") * 5, False)])
def test_a_temperature_at_the_limit_of_the_search_is_not_advised(targets: tuple[str, ...], is_limit: bool) -> None:
    scores = {"entailment": 0.6, "neutral": 0.3, "contradiction": 0.1}
    samples = [{"label_scores": scores, "prediction": "entailment", "target": target} for target in targets]
    advice = _calibration_advice(TaskResult(task_from_name("nli"), {}, samples), 2.0)
    assert advice is not None
    assert ("nli.temperature 0.200 (the limit of the search" in advice) == is_limit


def test_results_are_written_if_stdout_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    task = TaskResult(
        task_from_name("qa_gold"), {"accuracy": Estimate(1.0)}, [{"id": "1", "prediction": "yes", "target": "yes"}]
    )
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", os.fdopen(writer, "w"))
        with pytest.raises((SystemExit, BrokenPipeError)):
            print_and_write(Run(load_settings(), tmp_path, None, False, False), [task], [Table("figures", title="x")])
    assert json.loads((tmp_path / "results.json").read_text())["results"]["qa_gold"]["accuracy"] == 1
