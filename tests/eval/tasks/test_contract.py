"""The contract tests of evaluation tasks, run for each kind."""

from typing import Any

import pytest
from task_contract import TaskContract

from eval.tasks import KINDS

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
    @pytest.fixture(params=ENTRIES, ids=lambda stated: stated["kind"])
    def stated(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        return dict(request.param)
