"""``medground compare``: printed tables, ``compare.json`` and error messages."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from written_runs import label_task, retrieval_task, write_run


def test_comparison_of_two_tasks_is_printed_and_written(tmp_path: Path, command: Callable[..., Any]) -> None:
    write_run(tmp_path / "r", retrieval_task("retrieval_dense", [1, 1]), retrieval_task("retrieval_bm25", [1, 2]))
    names = ("r:retrieval_bm25", "r:retrieval_dense")
    outcome = command("compare", *names, "--output", "out")
    assert outcome.status == 0
    assert "0.500  1.000" in outcome.out  # accuracy@1 of each task
    assert "Changed sides" in outcome.out
    assert "comparison: out/compare.json" in outcome.out
    printed = command("compare", *names, "--json", "--output", "again")
    content = json.loads(printed.out)
    assert content["comparisons"][0]["figures"]["accuracy@1"]["difference"]["value"] == 0.5
    for folder in ("out", "again"):
        assert json.loads((tmp_path / folder / "compare.json").read_text()) == content


def test_tasks_of_one_run_only_are_listed_as_unmatched(tmp_path: Path, command: Callable[..., Any]) -> None:
    for name, retriever in (("a", "hybrid"), ("b", "bm25")):
        tasks = [label_task(task, ["yes"], ["yes"]) for task in ("qa_gold", f"qa_retrieved_{retriever}")]
        write_run(tmp_path / name, *tasks)
    outcome = command("compare", "a", "b", "--output", "out")
    assert outcome.err == (
        "Not compared, as one run alone has them: a:qa_retrieved_hybrid, b:qa_retrieved_bm25. To compare tasks of "
        "different names, write FOLDER:TASK FOLDER:TASK.\n"
    )
    printed = json.loads(command("compare", "a", "b", "--json").out)
    assert [one["task"] for one in printed["unmatched"]] == ["qa_retrieved_hybrid", "qa_retrieved_bm25"]
    assert json.loads((tmp_path / "out" / "compare.json").read_text()) == printed
    assert command("compare", "a:qa_retrieved_hybrid", "b:qa_retrieved_bm25").err == ""


def test_json_without_an_output_folder_writes_nothing(tmp_path: Path, command: Callable[..., Any]) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, label_task("qa_gold", ["yes"], ["yes"]))
    assert json.loads(command("compare", "a", "b", "--json").out)["comparisons"][0]["n"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_invalid_arguments_are_reported(tmp_path: Path, command: Callable[..., Any]) -> None:
    write_run(tmp_path / "a", label_task("qa_gold", ["yes"], ["yes"]))
    for names, message in {("a",): "a has no two tasks", ("a", "absent"): "absent does not exist"}.items():
        outcome = command("compare", *names)
        assert outcome.status == 1
        assert outcome.err.startswith(f"medground: {message}")
    assert command("compare").status == 2
