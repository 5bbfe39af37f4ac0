"""Contract tests of evaluation tasks, for this project's and users', by the command line and the results folder.

A subclass provides the fixture ``task_config``, an entry of the setting ``eval.tasks``.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval.runs import read_run
from eval.tasks import SECTIONS, Task, make_task, recorded_tasks

Evaluate = Callable[[Path], dict[str, Any]]


class TaskContract:
    """Tests of the results of ``medground eval tasks`` on six records."""

    @pytest.fixture
    def task(self, task_config: dict[str, Any]) -> Task:
        return make_task(task_config["kind"], {key: value for key, value in task_config.items() if key != "kind"})

    @pytest.fixture
    def evaluate(self, command: Callable[..., Any], task_config: dict[str, Any]) -> Evaluate:
        """Run the task into a results folder; returns ``results.json``."""

        def run_command(output: Path) -> dict[str, Any]:
            settings = (f"eval.tasks={json.dumps([task_config])}", "retriever=bm25", "chain.verify=report")
            overrides = [word for setting in settings for word in ("--set", setting)]
            outcome = command("eval", "tasks", *overrides, "--limit=6", f"--output={output}", "--quiet")
            assert outcome.status == 0, outcome.err
            return results_of(output)

        return run_command

    @pytest.fixture(scope="class")
    def folders(self) -> dict[str, Path]:
        """Results folders by task, shared by the tests of a class."""
        return {}

    @pytest.fixture
    def run(
        self,
        task_config: dict[str, Any],
        evaluate: Evaluate,
        folders: dict[str, Path],
        tmp_path_factory: pytest.TempPathFactory,
    ) -> Path:
        """The results folder of the task's first run, which the tests share and do not change."""
        key = json.dumps(task_config)
        if key not in folders:
            folder = tmp_path_factory.mktemp("run")
            evaluate(folder)
            folders[key] = folder
        return folders[key]

    def test_task_has_a_file_name_a_section_and_a_title(self, task: Task) -> None:
        assert task.name
        assert "/" not in task.name
        assert task.section in SECTIONS
        assert task.title({})
        assert task == type(task).model_validate(task.model_dump())

    def test_results_are_finite_and_samples_unique(self, task: Task, run: Path) -> None:
        figures = results_of(run)["results"][task.name]
        assert figures
        assert all(value is None or math.isfinite(value) for value in figures.values())
        assert set(task.section.metrics) & set(figures)
        samples = samples_of(run, task)
        assert samples
        assert len({(sample["id"], sample.get("key")) for sample in samples}) == len(samples)
        assert all("target" in sample for sample in samples)

    def test_evaluation_is_deterministic(self, task: Task, run: Path, evaluate: Evaluate, tmp_path: Path) -> None:
        repeated = evaluate(tmp_path / "repeated")
        assert repeated["results"] == results_of(run)["results"]
        first, second = (folder / f"samples_{task.name}.jsonl" for folder in (run, tmp_path / "repeated"))
        assert first.read_text() == second.read_text()

    def test_figures_can_be_recomputed_from_samples(self, task: Task, run: Path) -> None:
        samples = samples_of(run, task)
        labels = tuple(dict.fromkeys(label for sample in samples for label in sample.get("label_scores") or {}))
        estimates = task.metrics(samples, labels or ("yes", "no", "maybe"))
        for name, estimate in estimates.items():
            assert results_of(run)["results"][task.name][name] == pytest.approx(estimate.value), name

    def test_task_can_be_restored_from_the_results(self, task: Task, run: Path) -> None:
        (restored,) = recorded_tasks([task.name], results_of(run)["tasks"]).values()
        assert (restored.name, restored.section, restored.scorer.name) == (task.name, task.section, task.scorer.name)
        assert task.name in read_run(run).tasks


def results_of(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return results


def samples_of(folder: Path, task: Task) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"samples_{task.name}.jsonl").read_text().splitlines()]
