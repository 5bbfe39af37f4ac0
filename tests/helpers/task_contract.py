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

Measure = Callable[[Path], dict[str, Any]]


class TaskContract:
    """Tests over the results of ``medground eval tasks`` on a few records; one run of a task serves all but one."""

    @pytest.fixture
    def task(self, stated: dict[str, Any]) -> Task:
        return make_task(stated["kind"], {key: value for key, value in stated.items() if key != "kind"})

    @pytest.fixture
    def measure(self, command: Callable[..., Any], stated: dict[str, Any]) -> Measure:
        """Run the task into a folder; returns ``results.json``."""

        def measured(output: Path) -> dict[str, Any]:
            settings = (f"eval.tasks={json.dumps([stated])}", "retriever=bm25", "chain.verify=report")
            given = [word for setting in settings for word in ("--set", setting)]
            done = command("eval", "tasks", *given, "--limit=6", f"--output={output}", "--quiet")
            assert done.status == 0, done.err
            return results_of(output)

        return measured

    @pytest.fixture(scope="class")
    def folders(self) -> dict[str, Path]:
        """Results folders of the class, by their task."""
        return {}

    @pytest.fixture
    def run(
        self,
        stated: dict[str, Any],
        measure: Measure,
        folders: dict[str, Path],
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Path:
        """The results folder of the run that the tests of a task share; they only read it."""
        key = json.dumps(stated)
        if key not in folders:
            folder = tmp_path_factory.mktemp("run")
            measure(folder)
            folders[key] = folder
        return folders[key]

    def test_it_has_a_name_for_files_and_a_section(self, task: Task) -> None:
        assert task.name
        assert "/" not in task.name
        assert task.section in SECTIONS
        assert task.title({})
        assert task == type(task).model_validate(task.model_dump())

    def test_its_results_are_figures_with_samples_of_each_record(self, task: Task, run: Path) -> None:
        figures = results_of(run)["results"][task.name]
        assert figures
        assert all(value is None or math.isfinite(value) for value in figures.values())
        assert {name for name in task.section.metrics if name in figures}
        samples = samples_of(run, task)
        assert samples
        assert len({(one["id"], one.get("key")) for one in samples}) == len(samples)
        assert all("target" in one for one in samples)

    def test_the_same_run_gives_the_same(self, task: Task, run: Path, measure: Measure, tmp_path: Path) -> None:
        again = measure(tmp_path / "again")
        assert again["results"] == results_of(run)["results"]
        first, second = (folder / f"samples_{task.name}.jsonl" for folder in (run, tmp_path / "again"))
        assert first.read_text() == second.read_text()

    def test_its_figures_follow_from_its_samples(self, task: Task, run: Path) -> None:
        samples = samples_of(run, task)
        labels = tuple(dict.fromkeys(one for sample in samples for one in sample.get("label_scores") or {}))
        again = task.metrics(samples, labels or ("yes", "no", "maybe"))
        for name, estimate in again.items():
            assert results_of(run)["results"][task.name][name] == pytest.approx(estimate.value), name

    def test_a_report_reads_it_from_its_fields(self, task: Task, run: Path) -> None:
        (read,) = recorded_tasks([task.name], results_of(run)["tasks"]).values()
        assert (read.name, read.section, read.scorer.name) == (task.name, task.section, task.scorer.name)
        assert task.name in read_run(run).tasks


def results_of(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return results


def samples_of(folder: Path, task: Task) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"samples_{task.name}.jsonl").read_text().splitlines()]
