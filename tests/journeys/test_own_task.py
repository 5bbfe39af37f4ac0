"""Users' own evaluation tasks: classes in a file outside the repository that ``eval.tasks`` names."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from task_contract import TaskContract

USER_TASKS = '''
from pydantic import Field

from eval.tasks import QATask, Scorer, Task
from eval.results import TaskResult


class Reversed(QATask):
    """Questions answered from the first sentences of their abstract in reverse order."""

    sentences: int = Field(default=100, ge=1)

    def inputs(self, records):
        inputs = super().inputs(records)
        return [
            {**input, "context": ". ".join(reversed(input["context"].split(". ")[: self.sentences]))}
            for input in inputs
        ]


class Constant(Task):
    """The same answer to every question, without a model."""

    answer: str

    def run(self, resources):
        samples = [
            {"id": record.id, "question": record.question, "prediction": self.answer, "target": record.label,
             "retrieved": [], "label_scores": {}, "prompt": None, "output": None, "key": record.id}
            for record in resources.records()
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
    - {kind: user_tasks.Reversed, context: gold, sentences: 4}
    - {kind: user_tasks.Constant, answer: "no"}
"""


def test_results_of_user_tasks_are_compared_reported_and_exported_without_the_classes(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "user_tasks.py").write_text(USER_TASKS)
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    evaluated = command("eval", "tasks", "--config=settings.yaml", "--limit=6", "--output=run", "--quiet")
    assert evaluated.status == 0, evaluated.err
    rows = [line.split()[0] for line in evaluated.out.splitlines() if "6" in line.split()[1:3]]  # rows with n = 6
    assert rows == ["qa_gold", "Reversed_gold", "constant_no", "always"]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert list(results["results"]) == ["qa_gold", "Reversed_gold", "constant_no"]
    assert results["tasks"]["Reversed_gold"] == {
        "kind": "user_tasks.Reversed",
        "context": "gold",
        "retriever": None,
        "variant": None,
        "sentences": 4,
        "section": "qa",
        "scorer": "labels",
    }
    gold, reversed_gold = (
        [json.loads(line) for line in (tmp_path / "run" / f"samples_{name}.jsonl").read_text().splitlines()]
        for name in ("qa_gold", "Reversed_gold")
    )
    assert [sample["id"] for sample in reversed_gold] == [sample["id"] for sample in gold]
    assert all(sample["prompt"] != other["prompt"] for sample, other in zip(reversed_gold, gold, strict=True))

    (tmp_path / "user_tasks.py").unlink()
    monkeypatch.delitem(sys.modules, "user_tasks")
    compared = command("compare", "run:qa_gold", "run:Reversed_gold")
    assert (compared.status, "accuracy" in compared.out, "macro_f1" in compared.out) == (0, True, True)
    reported = command("report", "run", "--quiet")
    assert reported.status == 0, reported.err
    assert "Reversed_gold" in (tmp_path / "run" / "report.html").read_text()
    exported = command("export", "run", "--format=lm-eval", "--output=out")
    assert exported.status == 0, exported.err
    (export,) = (tmp_path / "out").glob("*/results_*.json")
    assert list(json.loads(export.read_text())["results"]) == ["qa_gold", "Reversed_gold", "constant_no"]


USER_TASK_CONFIGS = {
    "Reversed": {"kind": "user_tasks.Reversed", "context": "gold", "sentences": 4},
    "Constant": {"kind": "user_tasks.Constant", "answer": "no"},
}


class TestUserTasks(TaskContract):
    @pytest.fixture(params=USER_TASK_CONFIGS)
    def task_config(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> dict[str, Any]:
        monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
        monkeypatch.delitem(sys.modules, "user_tasks", raising=False)
        (tmp_path / "user_tasks.py").write_text(USER_TASKS)
        return USER_TASK_CONFIGS[request.param]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("[]", "eval.tasks names no task"),
        ("[{kind: qb}]", "there is no kind 'qb'"),
        ("[{context: gold}]", "eval.tasks.0.kind: this setting is required"),
        ("[{kind: qa}]", "kind qa: context: Field required"),
        ("[{kind: no_tasks.Task}]", "there is no module no_tasks for no_tasks.Task"),
        ("[{kind: broken_task.Task}]", "importing broken_task failed: ZeroDivisionError"),
        ("[{kind: qa, context: gold}, {kind: qa, context: gold}]", "two tasks are called qa_gold"),
        ("[{kind: qa, context: retrieved, retriever: bm26}]", "There is no retriever 'bm26'"),
        ("[{kind: qa, context: gold, variant: newer}]", "has no variant 'newer'"),
        ("[{kind: verified, context: gold}]", "needs chain.verify"),
        ("[{kind: nli, tuned: true}]", "nli.adapter is not set"),
    ],
)
def test_invalid_task_is_an_error(command: Callable[..., Any], tmp_path: Path, tasks: str, message: str) -> None:
    (tmp_path / "broken_task.py").write_text("1 / 0")
    outcome = command("eval", "tasks", "--set", f"eval.tasks={tasks}", "--limit=2", "--quiet", "--output=wrong")
    assert (outcome.status, message in outcome.err) == (1, True), outcome.err
