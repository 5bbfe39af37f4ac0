"""Names and fields of tasks, the registry, and results folders of version 0.1.0."""

import ast
import subprocess
from pathlib import Path
from typing import Any

import pytest
from written_runs import downgrade_results, label_task, write_run

from common.errors import UserError
from eval.runs import read_run
from eval.tasks import (
    KINDS,
    CheckTask,
    NLITask,
    QATask,
    RetrievalTask,
    Task,
    VerificationTask,
    make_task,
    recorded_tasks,
    task_from_name,
)

ROOT = Path(__file__).parents[3]
TASKS: dict[str, Task] = {
    "retrieval_dense": RetrievalTask(retriever="dense"),
    "retrieval_my_bm25": RetrievalTask(retriever="my_bm25"),
    "qa_none": QATask(context="none"),
    "qa_gold": QATask(context="gold"),
    "qa_gold_newnames": QATask(context="gold", variant="newnames"),
    "qa_retrieved_my_bm25": QATask(context="retrieved", retriever="my_bm25"),
    "qa_wrong": QATask(context="wrong"),
    "nli": NLITask(),
    "nli_3shot": NLITask(shots=3, tuned=False),
    "nli_tuned": NLITask(tuned=True),
    "nli_before": NLITask(tag="before"),
    "verified_gold": VerificationTask(context="gold"),
    "verified_retrieved_dense": VerificationTask(context="retrieved", retriever="dense"),
    "verified_wrong": VerificationTask(context="wrong"),
    "check_given": CheckTask(),
    "verified_swapped": VerificationTask(context="swapped"),
}


@pytest.mark.parametrize(("name", "task"), TASKS.items())
def test_tasks_are_recreated_from_their_names_and_fields(name: str, task: Task) -> None:
    assert task.name == name
    assert task_from_name(name) == task
    assert recorded_tasks([name], {name: task.fields()}) == {name: task}
    fields = task.fields()
    assert make_task(fields.pop("kind"), fields) == task


def test_every_kind_is_registered_under_its_name() -> None:
    assert {kind: task.kind for kind, task in KINDS.items()} == {kind: kind for kind in KINDS}
    # The kind answers is not in TASKS, since its tasks cannot be recreated from their names.
    assert {*(task.kind for task in TASKS.values()), "answers"} == set(KINDS)


@pytest.mark.parametrize(
    ("name", "section", "title"),
    [("qa_golden", "qa", "qa_golden"), ("verified", "verified", "verified"), ("mine", "nli", "mine")],
)
def test_a_name_of_unknown_form_gives_a_task_that_scores_labels(name: str, section: str, title: str) -> None:
    task = task_from_name(name)
    assert (task.name, task.section.id, task.scorer.name, task.title({})) == (name, section, "labels", title)


@pytest.mark.parametrize("name", ["a/b", "retrieval_a/b", "qa_retrieved_a/b", "qa_retrieved_..%2f", "x" * 101])
def test_a_name_that_cannot_be_a_file_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="file name"):
        task_from_name(name)


@pytest.mark.parametrize(
    "fields", [None, 3, {}, {"kind": 3}, {"kind": "qa"}, {"kind": "qa", "context": "none"}, {"kind": "qa", "shots": 3}]
)
def test_invalid_or_mismatched_fields_are_ignored(fields: Any) -> None:
    assert recorded_tasks(["qa_gold"], {"qa_gold": fields}) == {"qa_gold": TASKS["qa_gold"]}


def test_a_class_named_in_a_results_folder_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "foreign.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    fields = {"kind": "foreign.Mine", "context": "gold", "size": 3, "section": "verified", "scorer": "verdicts"}
    task = recorded_tasks(["Mine_gold"], {"Mine_gold": fields})["Mine_gold"]
    assert (task.name, task.context, task.section.id, task.scorer.name) == ("Mine_gold", "gold", "verified", "verdicts")
    assert task.command == "tasks"
    with pytest.raises(UserError, match="To measure it, set"):
        task.run(None)  # type: ignore[arg-type]


def test_results_of_version_0_1_0_without_fields_are_read(tmp_path: Path) -> None:
    write_run(tmp_path, *(label_task(name, ["yes"], ["yes"]) for name in ("qa_gold", "nli", "nli_tuned")))
    assert read_run(tmp_path).tasks["nli"] == NLITask()
    downgrade_results(tmp_path)
    run = read_run(tmp_path)
    assert run.tasks == {
        "qa_gold": TASKS["qa_gold"],
        "nli": NLITask(shots=0, tuned=False),
        "nli_tuned": NLITask(tuned=True),
    }
    write_run(tmp_path, label_task("qa_none", ["yes"], ["yes"]))  # only this task has fields
    assert list(read_run(tmp_path).tasks) == ["qa_gold", "nli", "nli_tuned", "qa_none"]


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        ("qb", {}, "there is no kind 'qb'; it must be retrieval, qa, nli, verified, answers, check or a class such as"),
        ("qa", {}, "eval.tasks, kind qa: context: Field required"),
        ("qa", {"context": "gold", "shot": 1}, "eval.tasks, kind qa: shot: Extra inputs"),
        ("retrieval", {"retriever": "a/b"}, "file name"),
        ("no_such_module.Mine", {}, "there is no module no_such_module for no_such_module.Mine. Put its file"),
        ("json.NoTask", {}, "the module json has no class NoTask"),
        ("json.JSONDecoder", {}, "json.JSONDecoder is not a subclass of eval.tasks.base.Task"),
        ("eval.tasks.base.Task", {}, "eval.tasks, kind eval.tasks.base.Task: Can't instantiate abstract class"),
    ],
)
def test_make_task_reports_invalid_kinds_and_fields(kind: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_task(kind, fields)


_STRING_METHODS = {
    *("startswith", "endswith", "removeprefix", "removesuffix", "split", "rsplit", "partition", "rpartition"),
    *("replace", "strip", "lstrip", "rstrip", "fullmatch", "match", "search", "find", "index"),
}
_TASK_NAME_EXPRESSIONS = {
    *("task", "task.name", "task.task", "result.task", "result.name", "self.task", "self.task.name", "side.task"),
}
_PREFIXES = ("retrieval_", "qa_", "nli_", "verified_")


def _parses_task_name(call: ast.Call) -> bool:
    """Whether the call is a string method or a pattern, applied to a task's name or to a prefix of task names."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr in _STRING_METHODS):
        return False
    values = [call.func.value, *call.args]
    if any(ast.unparse(value) in _TASK_NAME_EXPRESSIONS for value in values):
        return True
    texts = [node.value for value in values for node in ast.walk(value) if isinstance(node, ast.Constant)]
    return any(isinstance(text, str) and text.startswith(_PREFIXES) for text in texts)


def test_no_source_file_outside_eval_tasks_parses_task_names() -> None:
    files = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    calls = []
    for name in files.splitlines():
        if name.startswith(("tests/", "eval/tasks/")):
            continue
        for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _parses_task_name(node):
                calls.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
    assert calls == []


@pytest.mark.parametrize(
    "line",
    [
        "task.startswith('qa_')",
        "task.task.removeprefix(prefix)",
        "result.task.partition('_')[2]",
        "name.removeprefix('qa_gold_')",
        "pattern.fullmatch(task)",
        "re.match('nli_', name)",
        "task.name.replace('verified', 'qa', 1)",
    ],
)
def test_parsing_of_task_names_is_detected(line: str) -> None:
    assert any(isinstance(node, ast.Call) and _parses_task_name(node) for node in ast.walk(ast.parse(line)))
