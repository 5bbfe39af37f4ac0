import json
from pathlib import Path
from typing import Any

import pytest
from written_runs import label_task

from common.errors import DataError, UserError
from eval.results import TaskResult, write_results
from eval.runs import find_runs, read_run
from eval.stats.estimate import proportion
from eval.tasks import task_from_name


def _gold_task() -> TaskResult:
    return label_task("qa_gold", ["yes", "yes", "no"], ["yes", "no", None], question=["Does\u2028it?"] * 3)


def test_a_written_run_is_read_back(tmp_path: Path) -> None:
    gold = _gold_task()
    write_results(tmp_path, [gold, label_task("qa_none", ["yes"], ["no"])], {"llm": {"model": "m"}})
    run = read_run(tmp_path)
    assert run.folder == tmp_path
    assert list(run.tasks) == ["qa_gold", "qa_none"]
    assert run.results["qa_gold"]["accuracy"] == gold.metrics["accuracy"]
    assert run.results["qa_none"]["accuracy_stderr"] is None
    assert run.samples("qa_gold") == gold.samples
    assert len(run.samples("qa_none")) == 1
    assert run.config_of("qa_gold") == {"llm": {"model": "m"}}
    assert run.payload["n"] == 3


def test_a_line_separator_in_a_text_does_not_end_the_line(tmp_path: Path) -> None:
    gold = _gold_task()
    write_results(tmp_path, [gold], {})
    path = tmp_path / "samples_qa_gold.jsonl"
    path.write_text(path.read_text().replace("\\u2028", "\u2028"), encoding="utf-8")
    assert "Does\u2028it?" in path.read_text(encoding="utf-8")
    assert read_run(tmp_path).samples("qa_gold") == gold.samples


def test_each_task_has_the_settings_and_samples_of_its_own_run(tmp_path: Path) -> None:
    write_results(tmp_path, [_gold_task()], {"run": 1})
    write_results(tmp_path, [label_task("qa_none", ["yes"], ["no"])], {"run": 2})
    run = read_run(tmp_path)
    assert run.config_of("qa_gold") == {"run": 1}
    assert run.config_of("qa_none") == {"run": 2}
    assert len(run.samples("qa_gold")) == 3  # although n of the last run is 1


def test_runs_below_a_folder_are_sorted_by_path(tmp_path: Path) -> None:
    for name in ("b", "a/deeper", "."):
        write_results(tmp_path / name, [_gold_task()], {"name": name})
    (tmp_path / "empty").mkdir()
    assert [run.payload["config"]["name"] for run in find_runs(tmp_path)] == ["a/deeper", "b", "."]
    assert [run.folder for run in find_runs(tmp_path / "b")] == [tmp_path / "b"]


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for read in (read_run, find_runs):
        with pytest.raises(UserError, match=r"absent does not exist\. Name a folder that medground eval wrote"):
            read(tmp_path / "absent")
        with pytest.raises(UserError, match=r"file is a file; name the folder"):
            read(tmp_path / "file")
        with pytest.raises(UserError, match=r"holds no results\.json"):
            read(tmp_path)


def test_truncated_results_are_refused(tmp_path: Path) -> None:
    path = write_results(tmp_path, [_gold_task()], {})
    path.write_text(path.read_text()[: path.stat().st_size // 2])
    for read in (read_run, find_runs):
        with pytest.raises(DataError, match=r"results\.json: is truncated or damaged: .*line \d+.*measure again"):
            read(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"results": 3, "config": {}},
        {"results": {"qa_gold": 3}, "config": {}},
        {"results": {"qa_gold": {"accuracy": "high"}}, "config": {}},
        {"results": {"qa_gold": {"accuracy": float("nan")}}, "config": {}},
        {"results": {"qa_gold": {"accuracy": 10**400}}, "config": {}},
        {"results": {}},
        {"results": {}, "config": {}, "earlier": {"qa_gold": 3}},
        {"results": {}, "config": {}, "earlier": []},
    ],
)
def test_results_of_another_program_are_refused(tmp_path: Path, content: Any) -> None:
    (tmp_path / "results.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="not a results file of medground"):
        read_run(tmp_path)


def test_a_task_name_with_a_path_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"results": {"../x": {}}, "config": {}}))
    with pytest.raises(UserError, match="file name"):
        read_run(tmp_path)


def test_error_of_a_missing_task_lists_the_tasks(tmp_path: Path) -> None:
    write_results(tmp_path, [_gold_task()], {})
    with pytest.raises(UserError, match="has no task nli; it has qa_gold"):
        read_run(tmp_path).samples("nli")


@pytest.mark.parametrize(
    ("task", "command"),
    [("retrieval_dense", "retrieval"), ("qa_gold", "qa"), ("verified_gold", "qa"), ("nli_before", "nli")],
)
def test_error_of_missing_samples_names_file_and_command(tmp_path: Path, task: str, command: str) -> None:
    write_results(tmp_path, [label_task(task, ["yes"], ["yes"])], {})
    (tmp_path / f"samples_{task}.jsonl").unlink()
    with pytest.raises(DataError, match=rf"samples_{task}\.jsonl.*medground eval {command} --output {tmp_path}"):
        read_run(tmp_path).samples(task)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "2", "predic', "line 3 is not JSON"),
        ('["2"]', "line 3 holds a list"),
        ('{"id": 2, "prediction": null, "target": "no"}', "line 3 has no text in its field id"),
        ('{"id": "2", "target": "no"}', "line 3 has no text in its field prediction"),
        ('{"id": "2", "prediction": null, "target": null}', "line 3 has no text in its field target"),
    ],
)
def test_error_of_an_invalid_line_names_file_line_and_field(tmp_path: Path, line: str, message: str) -> None:
    write_results(tmp_path, [_gold_task()], {})
    path = tmp_path / "samples_qa_gold.jsonl"
    path.write_text("\n".join([*path.read_text().splitlines()[:2], line]))
    with pytest.raises(DataError, match=rf"samples_qa_gold\.jsonl: {message}.*Measure again with"):
        read_run(tmp_path).samples("qa_gold")


def test_fewer_or_more_samples_than_counted_are_refused(tmp_path: Path) -> None:
    all_right = label_task("qa_gold", ["yes", "yes", "no"], ["yes", "yes", "no"])
    write_results(tmp_path, [all_right], {})
    path = tmp_path / "samples_qa_gold.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for wrong_lines in (lines[:2], [*lines, lines[0]]):
        path.write_text("".join(wrong_lines))
        with pytest.raises(DataError, match=rf"holds {len(wrong_lines)} samples, and results\.json counts 3"):
            read_run(tmp_path).samples("qa_gold")


@pytest.mark.parametrize("metric", ["accuracy", "accuracy@1", "share_maybe"])
def test_samples_that_do_not_match_the_accuracy_are_refused(tmp_path: Path, metric: str) -> None:
    larger_task = label_task("qa_none", ["yes"] * 4, ["yes"] * 4)  # the n of results.json is that of the largest task
    result = TaskResult(task_from_name("qa_gold"), {metric: proportion(1, 3)}, _gold_task().samples)
    write_results(tmp_path, [larger_task, result], {})
    path = tmp_path / "samples_qa_gold.jsonl"
    read_run(tmp_path).samples("qa_gold")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    with pytest.raises(DataError, match=r"1 of its 2 samples are right, and the accuracy there is 0\.3333"):
        read_run(tmp_path).samples("qa_gold")
