"""The contract of evaluation tasks, for each kind of this project."""

from typing import Any

import pytest
from task_contract import TaskContract

from eval.tasks import KINDS

STATED: tuple[dict[str, Any], ...] = (
    {"kind": "retrieval", "retriever": "bm25"},
    {"kind": "qa", "context": "gold"},
    {"kind": "nli"},
    {"kind": "verified", "context": "gold"},
    {"kind": "answers", "context": "gold"},
    {"kind": "check", "context": "retrieved", "retriever": "bm25"},
)


def test_every_kind_is_here() -> None:
    assert {one["kind"] for one in STATED} == set(KINDS)


class TestKinds(TaskContract):
    @pytest.fixture(params=STATED, ids=lambda task_config: task_config["kind"])
    def task_config(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        return dict(request.param)
