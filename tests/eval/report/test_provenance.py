from pathlib import Path

import pytest
import report_runs as runs

from eval.report.provenance import facts, model_name, run_table, title, versions
from eval.report.tasks import read_tasks
from eval.results import write_results


def test_title_names_sections_and_data(tmp_path: Path) -> None:
    assert title(read_tasks([runs.write_grid(tmp_path)]).tasks) == (
        "Retrieval, answers, inference and verified answers on the sample"
    )
    write_results(tmp_path / "o", [runs.answers("qa_none", ["yes"])], runs.settings(data={"path": "d/ori.json"}))
    assert title(read_tasks([tmp_path / "o"]).tasks) == "Answers on ori.json"


def test_facts_name_models_retrievers_data_and_runs(tmp_path: Path) -> None:
    values = dict(facts(read_tasks([runs.write_grid(tmp_path)]).tasks))
    assert values["Models"] == "medground-tiny"
    assert values["Retrievers"] == "dense, bm25"
    assert "sample, test split (n = 8)" in values["Data"]
    assert values["Runs"] == "retrieval, tiny"
    assert "to" not in values["Measured"]  # one date, not a range


def test_tasks_measured_with_other_settings_have_their_own_row(tmp_path: Path) -> None:
    write_results(tmp_path, [runs.answers("qa_none", ["yes"])], runs.settings(llm={"model": "first"}))
    write_results(tmp_path, [runs.nli_task(["neutral"], ["neutral"])], runs.settings(llm={"model": "second"}))
    rows = run_table(read_tasks([tmp_path]).tasks).rows
    assert sorted((row.cell("model").text, row.cell("tasks").text) for row in rows) == [
        ("first", "qa_none"),
        ("second", "nli"),
    ]
    assert {row.cell("settings").text for row in rows} == {
        "dtype auto, quantization none, decide score, passages 1",
        "dtype auto, quantization none, decide score, shots 0",
    }


def test_retrieval_runs_show_the_settings_of_their_retrievers(tmp_path: Path) -> None:
    write_results(tmp_path, [runs.ranking([1])], runs.settings())
    (row,) = run_table(read_tasks([tmp_path]).tasks).rows
    assert row.cell("settings").text == "dense: kind dense, top_k 5, embedder minilm"
    assert row.cell("model").text == "none"


@pytest.mark.parametrize(
    ("task", "sections", "name"),
    [
        ("qa_none", {"llm": {"model": "google/gemma-2b-it"}}, "google/gemma-2b-it"),
        ("qa_none", {"llm": {"adapter": "adapters/qa"}}, "medground-tiny with adapters/qa"),
        ("qa_none", {"nli": {"adapter": "adapters/nli"}}, "medground-tiny"),
        ("nli", {"nli": {"adapter": "adapters/nli"}}, "medground-tiny with adapters/nli"),
        ("nli", {"nli": {"kind": "encoder", "model": "models/encoder"}}, "models/encoder"),
    ],
)
def test_model_name_includes_the_adapter_of_the_task(
    tmp_path: Path, task: str, sections: dict[str, dict[str, str]], name: str
) -> None:
    result = runs.nli_task(["neutral"], ["neutral"]) if task == "nli" else runs.answers(task, ["yes"])
    write_results(tmp_path, [result], runs.settings(**sections))
    assert model_name(read_tasks([tmp_path]).tasks) == name


def test_versions_that_differ_between_runs_are_joined(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        path = write_results(tmp_path / folder, [runs.answers("qa_none", ["yes"])], runs.settings())
        path.write_text(path.read_text().replace('"python": "', f'"python": "{folder}'))
    numbers = dict(versions(read_tasks([tmp_path]).tasks))
    assert numbers["python"].startswith("a3")
    assert " and b3" in numbers["python"]
