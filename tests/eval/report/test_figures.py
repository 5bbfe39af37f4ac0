from dataclasses import replace
from pathlib import Path

import pytest
import report_runs as runs

from eval.report.figures import confusions, data_name, recall_plots, reliabilities, risk_plots
from eval.report.tasks import ReportTask, read_tasks
from eval.results import write_results
from eval.stats.estimate import Estimate
from eval.stats.selective import area_under
from eval.tasks import RetrievalTask


@pytest.fixture
def tasks(tmp_path: Path) -> list[ReportTask]:
    return list(read_tasks([runs.write_grid(tmp_path)]).tasks)


def test_confusion_counts_targets_by_predictions(tasks: list[ReportTask]) -> None:
    confusion = next(matrix for matrix in confusions(tasks) if matrix.task == "qa_none")
    pairs = [(record.label, label) for record, label in zip(runs.records(8), runs.PREDICTIONS, strict=True)]
    assert confusion.rows == ("yes", "no", "maybe")
    assert confusion.columns == ("yes", "no", "maybe", "unparsed")
    for row, counts in zip(confusion.rows, confusion.counts, strict=True):
        for column, count in zip(("yes", "no", "maybe", None), counts, strict=True):
            assert count == pairs.count((row, column))
    assert confusion.n == 8


def test_confusion_of_wrong_abstracts_has_only_the_row_maybe(tasks: list[ReportTask]) -> None:
    confusion = next(matrix for matrix in confusions(tasks) if matrix.task == "qa_wrong")
    assert (confusion.rows, confusion.columns, confusion.counts) == (("maybe",), ("yes", "no", "maybe"), ((1, 0, 7),))


def test_confusion_of_verified_answers_counts_verdicts_of_right_and_wrong_answers(tasks: list[ReportTask]) -> None:
    confusion = next(matrix for matrix in confusions(tasks) if matrix.task == "verified_gold")
    task = next(task for task in tasks if task.name == "verified_gold")
    verdicts_if_right = [sample["verdict"] for sample in task.samples if sample["prediction"] == sample["target"]]
    assert confusion.rows == ("right", "wrong")
    assert confusion.columns == ("supported", "contradicted", "not enough evidence")
    assert confusion.counts[0] == tuple(verdicts_if_right.count(column) for column in confusion.columns)
    assert confusion.n == 8


def test_retrieval_has_no_confusion(tasks: list[ReportTask]) -> None:
    assert [matrix.task for matrix in confusions(tasks)] == ["qa_none", "qa_gold", "qa_wrong", "verified_gold", "nli"]


def test_recall_curves_have_a_value_for_each_k(tasks: list[ReportTask]) -> None:
    (plot,) = recall_plots(tasks)
    assert [point.value for point in plot.curves["dense"]] == [5 / 8, 6 / 8] + [7 / 8] * 8
    assert [point.value for point in plot.curves["bm25"]] == [1.0] * 10
    assert (list(plot.curves), plot.n) == (["dense", "bm25"], 8)


def test_recall_curves_over_different_questions_are_in_different_plots(tmp_path: Path) -> None:
    write_results(tmp_path / "a", [runs.ranking([1, 1])], runs.settings())
    write_results(tmp_path / "b", [runs.ranking([1, 2])], runs.settings())
    write_results(tmp_path / "c", [runs.ranking([1, 2, 3])], runs.settings())
    plots = recall_plots(read_tasks([tmp_path]).tasks)
    assert [list(plot.curves) for plot in plots] == [["dense (a)", "dense (b)"], ["dense"]]


def test_recall_curves_of_one_retriever_have_the_names_of_their_tasks(tmp_path: Path) -> None:
    class Mine(RetrievalTask):
        """A user's retrieval task."""

    tasks = [runs.ranking([1, 2]), replace(runs.ranking([1, 1]), task=Mine(retriever="dense"))]
    write_results(tmp_path / "a", tasks, runs.settings())
    (plot,) = recall_plots(read_tasks([tmp_path]).tasks)
    assert {name: points[0].value for name, points in plot.curves.items()} == {"retrieval_dense": 0.5, "Mine_dense": 1}
    write_results(tmp_path / "b", [runs.ranking([1, 1])], runs.settings())
    (plot,) = recall_plots(read_tasks([tmp_path]).tasks)
    assert list(plot.curves) == ["retrieval_dense (a)", "Mine_dense (a)", "retrieval_dense (b)"]


def test_reliability_needs_probabilities(tasks: list[ReportTask], tmp_path: Path) -> None:
    diagrams = {diagram.task: diagram for diagram in reliabilities(tasks)}
    assert set(diagrams) == {"qa_none", "qa_gold", "nli"}
    (only,) = diagrams["qa_gold"].bins
    assert (only.confidence, only.accuracy.value, only.n) == (pytest.approx(0.8), 1.0, 8)
    write_results(tmp_path / "g", [runs.answers("qa_gold", ["yes", "no"], confidence=None)], runs.settings())
    generated = read_tasks([tmp_path / "g"]).tasks
    assert reliabilities(generated) == []
    assert risk_plots(generated) == []


def test_risk_curves_are_grouped_by_section_and_each_verified_task_has_its_own_plot(tasks: list[ReportTask]) -> None:
    plots = risk_plots(tasks)
    assert [(plot.task, list(plot.curves)) for plot in plots] == [
        (None, ["qa_none", "qa_gold"]),
        (None, ["nli"]),
        ("verified_gold", ["by the verdict's support", "by the answer's own confidence"]),
    ]
    verified = next(task for task in tasks if task.name == "verified_gold")
    areas = [area_under(points) for points in plots[2].curves.values()]
    assert areas == pytest.approx([verified.estimates[name].value for name in ("aurc", "aurc_confidence")])


def test_unverified_answers_rank_last_by_support(tmp_path: Path) -> None:
    task = runs.verified("verified_gold", ["yes", "yes"], [None, "contradicted"], [0.5, 0.0])
    samples = [dict(sample) for sample in task.samples]
    samples[0] |= {"verdict_scores": {}, "prediction": samples[0]["target"]}
    samples[1] |= {"prediction": "wrong"}
    write_results(tmp_path, [replace(task, samples=samples, estimates={"accuracy": Estimate(0.5)})], runs.settings())
    points = next(iter(risk_plots(read_tasks([tmp_path]).tasks)[0].curves.values()))
    assert [(point.coverage, point.risk) for point in points] == [(0.5, 1.0), (1.0, 0.5)]


@pytest.mark.parametrize(
    ("task", "sections", "name"),
    [
        ("qa_none", {}, "sample, test split"),
        ("qa_gold_newnames", {}, "sample, new names"),
        ("nli", {}, "sample (pairs), test split"),
        ("qa_none", {"data": {"path": "here/there.json", "split": "all"}}, "there.json, all"),
        ("nli", {"pairs": {"path": "mednli/", "split": "dev"}}, "mednli (pairs), dev split"),
    ],
)
def test_data_is_named_by_file_and_split(
    tmp_path: Path, task: str, sections: dict[str, dict[str, str]], name: str
) -> None:
    result = runs.nli_task(["neutral"], ["neutral"], task) if task == "nli" else runs.answers(task, ["yes"])
    write_results(tmp_path, [result], runs.settings(**sections))
    assert data_name(read_tasks([tmp_path]).tasks[0]) == name


def test_data_name_is_unknown_without_settings(tmp_path: Path) -> None:
    write_results(tmp_path, [runs.answers("qa_none", ["yes"])], {"data": [1]})
    assert data_name(read_tasks([tmp_path]).tasks[0]) == "unknown data"
