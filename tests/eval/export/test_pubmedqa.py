import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from written_runs import config, nli_task, qa_task, write_run

from common.errors import DataError, UserError
from eval.export.pubmedqa import export_pubmedqa

TARGETS = ["yes", "no", "maybe"]


def _task(name: str, first_prediction: str | None = "yes") -> Any:
    return qa_task(name, [first_prediction, "no", "no"], TARGETS, generated=first_prediction is None)


def test_official_metrics_of_the_exported_file_equal_those_of_the_run(tmp_path: Path) -> None:
    """PubMedQA's script compares equal ids and computes accuracy and macro F1 with scikit-learn."""
    from sklearn.metrics import accuracy_score, f1_score

    run = write_run(tmp_path / "run", _task("qa_retrieved_dense", "maybe"))
    exported = export_pubmedqa([run], tmp_path / "out")
    assert exported.file == tmp_path / "out" / "predictions_qa_retrieved_dense.json"
    assert exported.warning is None
    predictions = json.loads(exported.file.read_text())
    assert predictions == {"100": "maybe", "101": "no", "102": "no"}
    truth = dict(zip(("100", "101", "102"), TARGETS, strict=True))
    labels = [predictions[key] for key in truth]
    metrics = run.results["qa_retrieved_dense"]
    assert accuracy_score(TARGETS, labels) == pytest.approx(metrics["accuracy"])
    assert f1_score(TARGETS, labels, average="macro", zero_division=0) == pytest.approx(metrics["macro_f1"])


def test_the_retrieved_task_is_exported_by_default(tmp_path: Path) -> None:
    run = write_run(tmp_path, _task("qa_none", "no"), _task("qa_retrieved_bm25"), _task("qa_gold", "maybe"))
    assert export_pubmedqa([run], tmp_path).task == "qa_retrieved_bm25"
    named = export_pubmedqa([run], tmp_path, "qa_gold")
    assert json.loads(named.file.read_text())["100"] == "maybe"


def test_the_only_task_on_pubmedqa_needs_no_name(tmp_path: Path) -> None:
    pairs = nli_task(["neutral"], ["neutral"])
    run = write_run(tmp_path, _task("qa_gold"), _task("qa_gold_newnames"), pairs)
    assert export_pubmedqa([run], tmp_path).task == "qa_gold"


def test_an_ambiguous_task_or_folder_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", _task("qa_none"), _task("qa_gold"))
    with pytest.raises(UserError, match=r"Several results could be meant: qa_none, qa_gold in .*a\. Name one folder"):
        export_pubmedqa([run], tmp_path / "out")
    runs = [write_run(tmp_path / name, _task("qa_retrieved_dense")) for name in ("b", "c")]
    with pytest.raises(UserError, match=r"qa_retrieved_dense in .*b, .*c\. Name one folder"):
        export_pubmedqa(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_answer_without_a_label_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", _task("qa_gold", None))
    with pytest.raises(UserError, match=r"1 of 3 answers name no label \(the first is of 100\).*chain\.decide=score"):
        export_pubmedqa([run], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("task", ["qa_wrong", "qa_gold_newnames", "verified_gold", "nli", "gold"])
def test_a_task_that_does_not_answer_pubmedqa_is_refused(task: str, tmp_path: Path) -> None:
    run = write_run(tmp_path, _task("qa_gold"), _task("qa_gold_newnames"))
    with pytest.raises(UserError, match=rf"--task {task} is none of qa_none, qa_gold and qa_retrieved_NAME"):
        export_pubmedqa([run], tmp_path, task)


def test_a_missing_task_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path, _task("qa_gold"))
    with pytest.raises(UserError, match=r"There is no task qa_none; the tasks are qa_gold\."):
        export_pubmedqa([run], tmp_path, "qa_none")
    run = write_run(tmp_path / "nli", nli_task(["neutral"], ["neutral"]))
    with pytest.raises(UserError, match=r"no task that answers PubMedQA's questions; the tasks are nli\."):
        export_pubmedqa([run], tmp_path)


@pytest.mark.parametrize(
    ("data", "warning"),
    [
        ({"path": "sample"}, "the sample's ids"),
        ({"limit": 3}, "the first 3 records of split test"),
        ({"split": "all"}, "of split all"),
        ({"limit": 500}, None),  # a limit above the 3 records leaves none out
    ],
)
def test_data_other_than_the_whole_test_split_give_a_warning(
    data: dict[str, Any], warning: str | None, tmp_path: Path
) -> None:
    run = write_run(tmp_path, _task("qa_gold"), settings=config(data=data))
    message = export_pubmedqa([run], tmp_path).warning
    assert (message is None) if warning is None else (message is not None and warning in message)


@pytest.mark.parametrize(
    ("limit", "records"), [(None, "split test without 1 too"), (4, "the first 4 records of split test without 1 too")]
)
def test_records_too_long_for_the_model_give_a_warning(limit: int | None, records: str, tmp_path: Path) -> None:
    task = replace(_task("qa_gold"), left_out=("103",))
    message = export_pubmedqa([write_run(tmp_path, task, settings=config(data={"limit": limit}))], tmp_path).warning
    assert message is not None
    assert f"{records} long for the model" in message


def test_a_repeated_id_is_refused(tmp_path: Path) -> None:
    task = _task("qa_gold")
    task.samples[1]["id"] = "100"
    with pytest.raises(DataError, match=r"samples_qa_gold\.jsonl: holds an id twice"):
        export_pubmedqa([write_run(tmp_path, task)], tmp_path / "out")
