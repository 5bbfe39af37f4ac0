"""What every evaluation task promises, as tests: a subclass gives ``stated``, an entry of ``eval.tasks``.

Tasks of this project and of a user are held to the same tests, over the command line and the results folder.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.runs import read_run
from eval.tasks import SECTIONS, Task, make_task, recorded_tasks

Measured = Callable[[str], dict[str, Any]]


class TaskContract:
    """Each test runs ``medground eval tasks`` over a few records."""

    @pytest.fixture
    def task(self, stated: dict[str, Any]) -> Task:
        return make_task(stated["kind"], {key: value for key, value in stated.items() if key != "kind"})

    @pytest.fixture
    def measured(self, command: Callable[..., Any], stated: dict[str, Any]) -> Measured:
        """``results.json`` of a run with the task, into a folder of a name."""

        def measure(output: str) -> dict[str, Any]:
            given = (
                "--set",
                f"eval.tasks={json.dumps([stated])}",
                "--set",
                "retriever=bm25",
                "--set",
                "chain.verify=report",
            )
            done = command("eval", "tasks", *given, "--limit=6", f"--output={output}", "--quiet")
            assert done.status == 0, done.err
            results: dict[str, Any] = json.loads(Path(output, "results.json").read_text())
            return results

        return measure

    def test_it_has_a_name_for_files_and_a_section(self, task: Task) -> None:
        assert task.name
        assert "/" not in task.name
        assert task.section in SECTIONS
        assert task.title({})
        assert task == type(task).model_validate(task.model_dump())

    def test_its_results_are_figures_with_samples_of_each_record(self, task: Task, measured: Measured) -> None:
        results = measured("run")
        figures = results["results"][task.name]
        assert figures
        assert all(value is None or math.isfinite(value) for value in figures.values())
        assert {name for name in task.section.metrics if name in figures}
        lines = Path("run", f"samples_{task.name}.jsonl").read_text().splitlines()
        samples = [json.loads(line) for line in lines]
        assert samples
        assert len({(one["id"], one.get("key")) for one in samples}) == len(samples)
        assert all("target" in one for one in samples)

    def test_the_same_run_gives_the_same(self, task: Task, measured: Measured) -> None:
        first, second = measured("first"), measured("second")
        assert first["results"] == second["results"]
        names = [Path(run, f"samples_{task.name}.jsonl") for run in ("first", "second")]
        assert names[0].read_text() == names[1].read_text()

    def test_its_figures_follow_from_its_samples(self, task: Task, measured: Measured) -> None:
        stored = measured("run")
        samples = [json.loads(line) for line in Path("run", f"samples_{task.name}.jsonl").read_text().splitlines()]
        labels = tuple(dict.fromkeys(one for sample in samples for one in sample.get("label_scores") or {}))
        again = task.metrics(samples, labels or ("yes", "no", "maybe"))
        for name, estimate in again.items():
            assert stored["results"][task.name][name] == pytest.approx(estimate.value), name

    def test_a_report_reads_it_from_its_fields(self, task: Task, measured: Measured) -> None:
        fields = measured("run")["tasks"]
        (read,) = recorded_tasks([task.name], fields).values()
        assert (read.name, read.section, read.scorer.name) == (task.name, task.section, task.scorer.name)
        assert task.name in read_run(Path("run")).tasks
