import json
from dataclasses import replace
from pathlib import Path

import pytest
import report_runs as runs
from written_runs import downgrade_results

from common.errors import DataError, UserError
from eval.report.tasks import ReportInput, ReportTask, read_tasks
from eval.results import write_results
from eval.tasks import NLITask
from eval.tasks.scorers import UNSUPPORTABLE, VERDICTS, rank


def tasks_by_name(report_input: ReportInput) -> dict[str, ReportTask]:
    return {task.name: task for task in report_input.tasks}


def test_all_runs_below_a_folder_are_read_and_named_by_their_relative_path(tmp_path: Path) -> None:
    report_input = read_tasks([runs.write_grid(tmp_path / "grid")])
    assert [(task.run, task.name, task.section.id) for task in report_input.tasks] == [
        ("retrieval", "retrieval_dense", "retrieval"),
        ("retrieval", "retrieval_bm25", "retrieval"),
        ("tiny", "qa_none", "qa"),
        ("tiny", "qa_gold", "qa"),
        ("tiny", "qa_wrong", "qa"),
        ("tiny", "verified_gold", "verified"),
        ("tiny", "nli", "nli"),
    ]


def test_metrics_are_computed_from_the_samples(tmp_path: Path) -> None:
    tasks = tasks_by_name(read_tasks([runs.write_grid(tmp_path)]))
    retrieval = tasks["retrieval_dense"].estimates
    assert retrieval["accuracy@1"].value == 5 / 8
    assert retrieval["recall@5"].value == 7 / 8
    assert retrieval["recall@5"].low is not None
    assert tasks["qa_gold"].estimates["accuracy"].value == 1
    assert tasks["qa_gold"].estimates["ece"].value == pytest.approx(0.2)
    assert tasks["qa_wrong"].estimates["share_maybe"].value == 7 / 8
    verified = tasks["verified_gold"].estimates
    assert verified["share_supported"].value == 4 / 8
    assert {"accuracy", "accuracy_supported", "accuracy_gain", "aurc", "aurc_confidence"} <= set(verified)
    assert tasks["nli"].labels == runs.PAIR_LABELS
    assert tasks["qa_gold"].labels == tasks["verified_gold"].labels == ("yes", "no", "maybe")
    assert tasks["retrieval_dense"].labels == ()


def test_rank_is_counted_from_one_and_only_rank_one_is_right(tmp_path: Path) -> None:
    task = tasks_by_name(read_tasks([runs.write_grid(tmp_path)]))["retrieval_dense"]
    assert [rank(sample) for sample in task.samples] == [1, 2, None, 1, 1, 3, 1, 1]
    right = [task.scorer.is_right(sample) for sample in task.samples]
    assert right == [True, False, False, True, True, False, True, True]


def test_an_answer_that_should_not_be_supported_is_right_if_it_is_not() -> None:
    sample = {"prediction": "yes", "target": "no", "verdict": "contradicted"}
    assert UNSUPPORTABLE.is_right(sample)
    assert not UNSUPPORTABLE.is_right(sample | {"verdict": "supported"})
    assert not VERDICTS.is_right(sample)


@pytest.mark.parametrize(
    ("task", "sections", "title"),
    [
        ("qa_none", {}, "no text"),
        ("qa_retrieved_my_bm25", {}, "retrieved, my_bm25"),
        ("qa_gold_newnames", {}, "own abstract, new names"),
        ("nli", {}, "zero-shot"),
        ("nli", {"prompt": {"shots": 2}}, "2-shot"),
        ("nli", {"nli": {"adapter": "adapters/nli"}}, "tuned"),
        ("nli_3shot", {}, "3-shot"),
        ("nli_tuned", {}, "tuned"),
    ],
)
def test_title_names_the_context_or_the_shots_of_a_task(
    tmp_path: Path, task: str, sections: dict[str, dict[str, str]], title: str
) -> None:
    result = runs.nli_task(["neutral"], ["neutral"], task) if task.startswith("nli") else runs.answers(task, ["yes"])
    write_results(tmp_path, [result], runs.settings(**sections))
    assert read_tasks([tmp_path]).tasks[0].title == title


def test_untuned_nli_is_zero_shot_although_the_settings_have_an_adapter(tmp_path: Path) -> None:
    zero_shot, tuned = (runs.nli_task(["neutral"], ["neutral"], name) for name in ("nli", "nli_tuned"))
    zero_shot = replace(zero_shot, task=NLITask(shots=0, tuned=False))
    write_results(tmp_path, [zero_shot, tuned], runs.settings(nli={"adapter": "adapters/nli"}))
    assert [task.title for task in read_tasks([tmp_path]).tasks] == ["zero-shot", "tuned"]
    downgrade_results(tmp_path)
    assert [task.title for task in read_tasks([tmp_path]).tasks] == ["zero-shot", "tuned"]


def test_a_run_given_twice_is_read_once_and_runs_of_the_same_name_are_named_by_path(tmp_path: Path) -> None:
    for folder in ("one/qa", "two/qa", "three/one/qa"):
        write_results(tmp_path / folder, [runs.answers("qa_none", ["yes"])], runs.settings())
    repeated = read_tasks([tmp_path / "one", tmp_path / "one" / "qa"])
    assert [task.run for task in repeated.tasks] == ["one/qa"]
    different = read_tasks([tmp_path / "one", tmp_path / "two" / "qa"])
    assert [task.run for task in different.tasks] == ["one/qa", "qa"]
    same_name = read_tasks([tmp_path / "one", tmp_path / "three" / "one"])
    assert [task.run for task in same_name.tasks] == [str(tmp_path / "one/qa"), str(tmp_path / "three/one/qa")]


def test_a_run_is_not_named_as_the_path_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [Path("one/qa"), Path("two/qa"), Path("three/one/qa")]
    for folder in folders:
        write_results(folder, [runs.answers("qa_none", ["yes"])], runs.settings())
    read = read_tasks([folders[0], folders[1], Path("three/one")])
    assert [task.run for task in read.tasks] == [str(folder) for folder in folders]


def test_grid_file_gives_published_values_and_failures(tmp_path: Path) -> None:
    runs.write_grid(tmp_path)
    cell = {"part": "qa", "metric": "accuracy", "published": 0.75, "run": "tiny", "task": "qa_gold"}
    grid = {"cells": [cell, cell | {"published": None, "task": "qa_none"}], "failures": {"big": "Out of memory."}}
    (tmp_path / "grid.json").write_text(json.dumps(grid | {"published": "a paper"}))
    report_input = read_tasks([tmp_path])
    assert tasks_by_name(report_input)["qa_gold"].published == {"accuracy": 0.75}
    assert tasks_by_name(report_input)["qa_none"].published == {}
    assert report_input.published == "a paper"
    assert report_input.failures == {"big": "Out of memory."}


@pytest.mark.parametrize("text", ["{", "[]", '{"cells": 1, "failures": {}}', '{"cells": [{}], "failures": {}}'])
def test_a_damaged_grid_file_is_refused(tmp_path: Path, text: str) -> None:
    runs.write_grid(tmp_path)
    (tmp_path / "grid.json").write_text(text)
    with pytest.raises(DataError, match=r"grid\.json: does not have medground.s format"):
        read_tasks([tmp_path])


@pytest.mark.parametrize(
    ("field", "value"),
    [("retrieved", "x"), ("retrieved", [1]), ("label_scores", [1]), ("label_scores", {"yes": "much"}), ("notes", 3)],
)
def test_samples_of_another_format_are_refused(tmp_path: Path, field: str, value: object) -> None:
    write_results(tmp_path, [runs.answers("qa_gold", ["yes", "no"])], runs.settings())
    path = tmp_path / "samples_qa_gold.jsonl"
    first, second = path.read_text().splitlines()
    path.write_text(json.dumps(json.loads(first) | {field: value}) + "\n" + second + "\n")
    with pytest.raises(UserError, match=r"qa_gold: .*the sample.* format"):
        read_tasks([tmp_path])
