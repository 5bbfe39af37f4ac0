"""The contract tests of evaluation tasks, run for each kind."""

from pathlib import Path
from typing import Any

import pytest
from task_contract import TaskContract

from eval.report.tasks import read_tasks
from eval.tasks import KINDS
from medground.report_data import ReportData

ENTRIES: tuple[dict[str, Any], ...] = (
    {"kind": "retrieval", "retriever": "bm25"},
    {"kind": "qa", "context": "gold"},
    {"kind": "nli"},
    {"kind": "verified", "context": "gold"},
    {"kind": "answers", "context": "gold"},
    {"kind": "check", "context": "retrieved", "retriever": "bm25"},
)


def test_every_kind_is_tested() -> None:
    assert {entry["kind"] for entry in ENTRIES} == set(KINDS)


class TestKinds(TaskContract):
    @pytest.fixture(params=ENTRIES, ids=lambda task_config: task_config["kind"])
    def task_config(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        return dict(request.param)

    def test_report_shows_the_texts_of_unchanged_data(self, run: Path) -> None:
        (task,) = read_tasks([run]).tasks
        report_data = ReportData()
        assert bool(report_data.texts(task)) == any(sample["retrieved"] for sample in task.samples)
        assert report_data.gaps == []
