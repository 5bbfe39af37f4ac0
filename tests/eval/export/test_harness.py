import json
from datetime import timedelta, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from scripted_answers import evaluate_scripted
from written_runs import DATE, config, downgrade_results, nli_task, qa_task, write_run

from common.errors import DataError, UserError
from eval.export.harness import export_harness
from eval.results import TaskResult
from eval.runs import Run, read_run
from eval.stats.metrics import ranking_metrics
from eval.tasks import task_from_name

TIMESTAMP = "2024-05-01T12-30-15.000000"
GOLD_TASK = qa_task("qa_gold", ["yes", "no", "no"], ["yes", "yes", "no"])
NO_CONTEXT_TASK = qa_task("qa_none", ["yes", None, "no"], ["yes", "yes", "no"], generated=True)


def _exported_results(run: Run, output: Path) -> dict[str, Any]:
    file = next(file for file in export_harness([run], output).files if file.name.startswith("results_"))
    results: dict[str, Any] = json.loads(file.read_text())
    return results


def test_files_have_the_names_and_folders_of_the_harness(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", GOLD_TASK, NO_CONTEXT_TASK)
    exported = export_harness([run], tmp_path / "out")
    folder = tmp_path / "out" / "org__model"
    expected = {f"results_{TIMESTAMP}.json", f"samples_qa_gold_{TIMESTAMP}.jsonl", f"samples_qa_none_{TIMESTAMP}.jsonl"}
    assert {file.name for file in folder.iterdir()} == expected
    assert set(exported.files) == set(folder.iterdir())
    assert exported.left_out == ()


def test_metrics_have_the_names_of_the_harness(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", GOLD_TASK, qa_task("qa_wrong", ["maybe"], ["maybe"]))
    results = _exported_results(run, tmp_path)
    gold = results["results"]["qa_gold"]
    assert gold["acc,none"] == pytest.approx(2 / 3)
    assert gold["acc_stderr,none"] == GOLD_TASK.estimates["accuracy"].stderr
    assert gold["macro_f1,none"] == GOLD_TASK.metrics["macro_f1"]
    assert gold["unparsed,none"] == 0
    assert {key for key in gold if "," not in key} == {"name", "alias", "sample_len"}
    # The right answer in qa_wrong is always maybe, so share_maybe is exported as acc.
    assert results["results"]["qa_wrong"] == {
        "name": "qa_wrong",
        "alias": "qa_wrong",
        "sample_len": 1,
        "acc,none": 1.0,
        "acc_stderr,none": "N/A",
        "unparsed,none": 0.0,
        "unparsed_stderr,none": "N/A",
    }
    assert results["higher_is_better"]["qa_gold"]["acc"] is True
    assert results["higher_is_better"]["qa_gold"]["unparsed"] is False


def test_shares_of_verdicts_are_not_in_higher_is_better(tmp_path: Path) -> None:
    estimates = dict.fromkeys(
        ("accuracy", "ece", "aurc", "risk@0.2", "share_contradicted"), GOLD_TASK.estimates["accuracy"]
    )
    run = write_run(tmp_path / "run", TaskResult(task_from_name("verified_gold"), estimates, GOLD_TASK.samples))
    assert _exported_results(run, tmp_path)["higher_is_better"] == {
        "verified_gold": {"acc": True, "ece": False, "aurc": False, "risk@0.2": False}
    }


def test_results_describe_model_data_and_settings(tmp_path: Path) -> None:
    settings = config(llm={"system": "Be brief.", "quantization": "4bit", "dtype": "float32"})
    run = write_run(tmp_path / "run", GOLD_TASK, NO_CONTEXT_TASK, settings=settings)
    results = _exported_results(run, tmp_path)
    assert results["versions"] == dict.fromkeys(("qa_gold", "qa_none"), version("medground"))
    assert results["n-shot"] == {"qa_gold": 0, "qa_none": 0}
    assert results["n-samples"]["qa_gold"] == {"original": 3, "effective": 3}
    assert results["config"]["model_args"] == {"pretrained": "org/model", "dtype": "float32", "load_in_4bit": True}
    assert results["config"]["settings"] == settings
    assert results["config"]["limit"] is None
    assert results["date"] == DATE.timestamp()
    assert results["transformers_version"] == run.payload["versions"]["transformers"]
    assert (results["model_source"], results["model_name"]) == ("medground", "org/model")
    assert results["system_instruction"] == "Be brief."
    assert results["configs"]["qa_gold"] == {
        "task": "qa_gold",
        "dataset_path": "ori_pqal.json",
        "test_split": "test",
        "doc_to_target": "target",
        "doc_to_choice": ["yes", "no", "maybe"],
        "num_fewshot": 0,
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "output_type": "multiple_choice",
        "repeats": 1,
        "metadata": {"version": version("medground")},
    }
    assert results["configs"]["qa_none"]["output_type"] == "generate_until"
    assert "doc_to_choice" not in results["configs"]["qa_none"]


def test_results_describe_pairs_shots_and_adapter_of_nli(tmp_path: Path) -> None:
    nli = nli_task(["entailment", "neutral"], ["entailment", "contradiction"])
    run = write_run(tmp_path / "run", nli, settings=config(prompt={"shots": 2}, nli={"adapter": "adapters/nli"}))
    results = _exported_results(run, tmp_path / "out")
    assert results["n-shot"] == {"nli": 6}  # two for each of three labels
    assert results["config"]["limit"] == 2  # pairs.limit
    assert results["configs"]["nli"]["dataset_path"] == "sample"
    assert results["configs"]["nli"]["num_fewshot"] == 6
    assert (results["model_name"], results["model_name_sanitized"]) == ("adapters/nli", "adapters__nli")


def test_each_model_of_a_run_has_its_own_files(tmp_path: Path) -> None:
    tasks = [nli_task(["neutral"], ["neutral"], name) for name in ("nli", "nli_tuned")]
    write_run(tmp_path / "run", *tasks, GOLD_TASK, settings=config(nli={"adapter": "adapters/nli"}))
    downgrade_results(tmp_path / "run")
    export_harness([read_run(tmp_path / "run")], tmp_path)
    exported = {
        name: json.loads((tmp_path / name / f"results_{TIMESTAMP}.json").read_text())
        for name in ("org__model", "adapters__nli")
    }
    assert {name: list(results["results"]) for name, results in exported.items()} == {
        "org__model": ["nli", "qa_gold"],
        "adapters__nli": ["nli_tuned"],
    }


def test_tasks_of_different_models_and_dates_have_their_own_files(tmp_path: Path) -> None:
    write_run(tmp_path / "run", GOLD_TASK, settings=config("first"))
    next_day = DATE.astimezone(timezone(timedelta(hours=2))) + timedelta(days=1)
    # Into the same folder, another run adds a task.
    run = write_run(tmp_path / "run", NO_CONTEXT_TASK, settings=config("second"), date=next_day)
    export_harness([run], tmp_path / "out")
    first = json.loads((tmp_path / "out" / "first" / f"results_{TIMESTAMP}.json").read_text())
    second = json.loads((tmp_path / "out" / "second" / "results_2024-05-02T12-30-15.000000.json").read_text())
    assert list(first["results"]) == ["qa_gold"]
    assert list(second["results"]) == ["qa_none"]
    assert first["config"]["settings"]["llm"]["model"] == "first"


def test_runs_of_one_model_in_the_same_second_get_different_timestamps(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, GOLD_TASK) for name in ("a", "b")]
    for _ in range(2):  # the second export writes the same files again
        export_harness(runs, tmp_path / "out")
        stamps = [file.stem.partition("_")[2] for file in sorted((tmp_path / "out" / "org__model").glob("results_*"))]
        assert stamps == [TIMESTAMP, TIMESTAMP[:-1] + "1"]


def test_tasks_without_labels_are_left_out_and_listed(tmp_path: Path) -> None:
    samples = [{"id": "1", "prediction": "1", "target": "1"}]
    retrieval = TaskResult(task_from_name("retrieval_bm25"), ranking_metrics([1]), samples)
    run = write_run(tmp_path / "all", retrieval, GOLD_TASK, evaluate_scripted())
    exported = export_harness([run], tmp_path / "out")
    assert exported.left_out == ("retrieval_bm25", "answers_retrieved_words")
    assert [file.name.split("_2024")[0] for file in exported.files] == ["results", "samples_qa_gold"]
    run = write_run(tmp_path / "one", retrieval)
    with pytest.raises(UserError, match=r"Nothing to export.*the tasks are retrieval_bm25\. Name a folder"):
        export_harness([run], tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("model", "folder"), [("embedded", "medground-tiny"), ("../up", "__up"), ("..", "unnamed"), ("/a/b", "__a__b")]
)
def test_a_model_name_cannot_lead_out_of_the_output_folder(model: str, folder: str, tmp_path: Path) -> None:
    export_harness([write_run(tmp_path / "run", GOLD_TASK, settings=config(model))], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [folder]


def test_a_run_without_a_date_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", GOLD_TASK)
    path = tmp_path / "run" / "results.json"
    path.write_text(json.dumps({**run.payload, "date": "yesterday"}))
    with pytest.raises(DataError, match=r"has no date for qa_gold"):
        export_harness([read_run(tmp_path / "run")], tmp_path / "out")


def test_a_file_in_place_of_the_model_folder_is_a_user_error(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", GOLD_TASK)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "org__model").write_text("")
    with pytest.raises(UserError, match=r"cannot be written to .*org__model.*--output"):
        export_harness([run], tmp_path / "out")
