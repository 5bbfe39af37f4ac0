"""``medground export``: files of lm-eval and PubMedQA, and error messages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from written_runs import config, qa_task, write_run

from eval.results import TaskResult
from eval.stats.metrics import ranking_metrics
from eval.tasks import task_from_name

GOLD_TASK = qa_task("qa_gold", ["yes", "no"], ["yes", "yes"])


def test_evaluation_is_exported_to_lm_eval_and_to_pubmedqa(command: Callable[..., Any], tmp_path: Path) -> None:
    assert command("eval", "qa", "--limit=2", "--set=retriever=bm25", "--output=run", "--quiet").status == 0
    exported = command("export", "run", "--format", "lm-eval", "--output", "out")
    assert (exported.status, exported.err) == (0, "")
    files = [Path(line) for line in exported.out.splitlines()]
    assert all((tmp_path / file).is_file() for file in files)
    results = json.loads((tmp_path / files[0]).read_text())
    assert files[0].parent == Path("out/medground-tiny")
    ours = json.loads((tmp_path / "run" / "results.json").read_text())["results"]
    assert {task: figures["acc,none"] for task, figures in results["results"].items()} == {
        task: figures.get("accuracy", figures.get("share_maybe")) for task, figures in ours.items()
    }
    exported = command("export", "run", "--format", "pubmedqa", "--output", "out")
    assert exported.out.strip() == "out/predictions_qa_retrieved_bm25.json"
    assert "the answers of qa_retrieved_bm25\nThese are the sample's ids" in exported.err


def test_all_runs_below_a_folder_are_exported_to_lm_eval(command: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / "grid" / name, GOLD_TASK, settings=config(name))
    assert command("export", "grid", "--format", "lm-eval", "--output", "out").status == 0
    assert sorted(folder.name for folder in (tmp_path / "out").iterdir()) == ["a", "b"]


def test_retrieval_task_is_left_out_with_a_message(command: Callable[..., Any], tmp_path: Path) -> None:
    samples = [{"id": "1", "prediction": "1", "target": "1"}]
    retrieval_task = TaskResult(task_from_name("retrieval_bm25"), ranking_metrics([1]), samples)
    write_run(tmp_path / "run", retrieval_task, GOLD_TASK)
    exported = command("export", "run", "--format", "lm-eval", "--output", "out")
    assert exported.err == "left out, because no model assigns labels in it: retrieval_bm25\n"


def test_invalid_arguments_are_reported(command: Callable[..., Any], tmp_path: Path) -> None:
    write_run(tmp_path / "run", GOLD_TASK)
    missing = command("export", "none", "--format", "lm-eval", "--output", "out")
    assert missing.status == 1
    assert missing.err.startswith("medground: none does not exist.")
    assert command("export", "run", "--format", "csv", "--output", "out").status == 2
    assert command("export", "run", "--format", "lm-eval", "--task", "qa_gold", "--output", "out").status == 2
    assert command("export", "run", "--format", "pubmedqa", "--task", "qa_gold", "--output", "out").status == 0
    (tmp_path / "file").write_text("")
    assert command("export", "run", "--format", "pubmedqa", "--output", "file").status == 1
    assert not (tmp_path / "out" / "org__model").exists()
