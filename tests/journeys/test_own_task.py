"""An evaluation task from a file outside the repository, run and reported by settings alone."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from task_contract import TaskContract

TASK = '''
"""Questions answered from their own abstract with its sentences in reverse order."""

from pydantic import Field

from eval.tasks import QATask, Scorer, Task
from eval.results import TaskResult


class Reversed(QATask):
    at_most: int = Field(default=100, ge=1)

    def inputs(self, records):
        inputs = super().inputs(records)
        return [{**one, "context": ". ".join(reversed(one["context"].split(". ")[: self.at_most]))} for one in inputs]


class Constant(Task):
    """The score of one answer to every question; it needs no model."""

    answer: str

    def run(self, resources):
        samples = [
            {"id": one.id, "question": one.question, "prediction": self.answer, "target": one.label, "retrieved": [],
             "label_scores": {}, "prompt": None, "output": None, "key": one.id}
            for one in resources.records()
        ]
        return TaskResult(self, self.metrics(samples, ("yes", "no", "maybe")), samples)

    @property
    def name(self):
        return f"constant_{self.answer}"
'''


SETTINGS = """
eval:
  tasks:
    - {kind: qa, context: gold}
    - {kind: my_tasks.Reversed, context: gold, at_most: 4}
    - {kind: my_tasks.Constant, answer: "no"}
"""


def test_it_runs_and_its_results_are_read_without_it(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_tasks.py").write_text(TASK)
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    done = command("eval", "tasks", "--config=settings.yaml", "--limit=6", "--output=run", "--quiet")
    assert done.status == 0, done.err
    rows = [line.split()[0] for line in done.out.splitlines() if "6" in line.split()[1:3]]
    assert rows == ["qa_gold", "Reversed_gold", "constant_no", "always"]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert list(results["results"]) == ["qa_gold", "Reversed_gold", "constant_no"]
    assert results["tasks"]["Reversed_gold"] == {
        "kind": "my_tasks.Reversed",
        "context": "gold",
        "retriever": None,
        "variant": None,
        "at_most": 4,
        "section": "qa",
        "scorer": "labels",
    }
    gold, reversed_gold = (
        [json.loads(line) for line in (tmp_path / "run" / f"samples_{name}.jsonl").read_text().splitlines()]
        for name in ("qa_gold", "Reversed_gold")
    )
    assert [one["id"] for one in reversed_gold] == [one["id"] for one in gold]
    assert all(one["prompt"] != other["prompt"] for one, other in zip(reversed_gold, gold, strict=True))

    (tmp_path / "my_tasks.py").unlink()
    monkeypatch.delitem(sys.modules, "my_tasks")
    compared = command("compare", "run:qa_gold", "run:Reversed_gold")
    assert (compared.status, "accuracy" in compared.out, "macro_f1" in compared.out) == (0, True, True)
    reported = command("report", "run", "--quiet")
    assert reported.status == 0, reported.err
    assert "Reversed_gold" in (tmp_path / "run" / "report.html").read_text()
    exported = command("export", "run", "--format=lm-eval", "--output=out")
    assert exported.status == 0, exported.err
    (written,) = (tmp_path / "out").glob("*/results_*.json")
    assert list(json.loads(written.read_text())["results"]) == ["qa_gold", "Reversed_gold", "constant_no"]


class TestMine(TaskContract):
    """Tasks of the user's keep the contract of every task."""

    @pytest.fixture(
        params=[
            {"kind": "my_tasks.Reversed", "context": "gold", "at_most": 4},
            {"kind": "my_tasks.Constant", "answer": "no"},
        ],
        ids=lambda stated: stated["kind"],
    )
    def stated(self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
        monkeypatch.delitem(sys.modules, "my_tasks", raising=False)
        (tmp_path / "my_tasks.py").write_text(TASK)
        return dict(request.param)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("[]", "eval.tasks names no task"),
        ("[{kind: qb}]", "there is no kind 'qb'"),
        ("[{context: gold}]", "eval.tasks.0.kind: this setting is required"),
        ("[{kind: qa}]", "kind qa: context: Field required"),
        ("[{kind: no_tasks.Mine}]", "there is no module no_tasks for no_tasks.Mine"),
        ("[{kind: broken_task.Mine}]", "importing broken_task failed: ZeroDivisionError"),
        ("[{kind: qa, context: gold}, {kind: qa, context: gold}]", "two tasks are called qa_gold"),
        ("[{kind: qa, context: retrieved, retriever: bm26}]", "There is no retriever 'bm26'"),
        ("[{kind: qa, context: gold, variant: newer}]", "has no variant 'newer'"),
        ("[{kind: verified, context: gold}]", "needs chain.verify"),
        ("[{kind: nli, tuned: true}]", "nli.adapter is not set"),
    ],
)
def test_a_task_that_cannot_run_is_a_users_mistake(
    command: Callable[..., Any], tmp_path: Path, tasks: str, message: str
) -> None:
    (tmp_path / "broken_task.py").write_text("1 / 0")
    outcome = command("eval", "tasks", "--set", f"eval.tasks={tasks}", "--limit=2", "--quiet", "--output=wrong")
    assert (outcome.status, message in outcome.err) == (1, True), outcome.err
