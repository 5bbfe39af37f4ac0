from dataclasses import replace
from pathlib import Path

import pytest
import report_runs as runs

from eval.report.figures import confusions, data_name, recall_figures, reliabilities, risk_figures
from eval.report.tasks import ReportTask, read_tasks
from eval.results import write_results
from eval.stats.estimate import Estimate


@pytest.fixture
def tasks(tmp_path: Path) -> list[ReportTask]:
    return list(read_tasks([runs.write_grid(tmp_path)]).tasks)


def test_confusion_counts_the_right_label_by_the_given_one(tasks: list[ReportTask]) -> None:
    none = next(one for one in confusions(tasks) if one.task == "qa_none")
    given = ["yes", "no", "yes", "no", "maybe", "yes", None, "no"]
    pairs = [(record.label, label) for record, label in zip(runs.records(8), given, strict=True)]
    assert none.rows == ("yes", "no", "maybe")
    assert none.columns == ("yes", "no", "maybe", "unparsed")
    for row, counts in zip(none.rows, none.counts, strict=True):
        for column, count in zip(("yes", "no", "maybe", None), counts, strict=True):
            assert count == pairs.count((row, column))
    assert none.n == 8


def test_confusion_of_refusals_has_the_one_right_row(tasks: list[ReportTask]) -> None:
    wrong = next(one for one in confusions(tasks) if one.task == "qa_wrong")
    assert (wrong.rows, wrong.columns, wrong.counts) == (("maybe",), ("yes", "no", "maybe"), ((1, 0, 7),))


def test_verdicts_stand_by_right_and_wrong_answers(tasks: list[ReportTask]) -> None:
    verified = next(one for one in confusions(tasks) if one.task == "verified_gold")
    task = next(task for task in tasks if task.name == "verified_gold")
    right = [sample["verdict"] for sample in task.samples if sample["prediction"] == sample["target"]]
    assert verified.rows == ("right", "wrong")
    assert verified.columns == ("supported", "contradicted", "not enough evidence")
    assert verified.counts[0] == tuple(right.count(column) for column in verified.columns)
    assert verified.n == 8


def test_rankings_have_no_confusion(tasks: list[ReportTask]) -> None:
    assert [one.task for one in confusions(tasks)] == ["qa_none", "qa_gold", "qa_wrong", "verified_gold", "nli"]


def test_recall_rises_with_the_passages_looked_at(tasks: list[ReportTask]) -> None:
    (figure,) = recall_figures(tasks)
    dense, bm25 = figure.curves
    assert [point.value for point in dense.points] == [5 / 8, 6 / 8] + [7 / 8] * 8
    assert [point.value for point in bm25.points] == [1.0] * 10
    assert (dense.name, bm25.name, figure.n) == ("dense", "bm25", 8)


def test_rankings_of_other_questions_stand_in_a_figure_of_their_own(tmp_path: Path) -> None:
    write_results(tmp_path / "a", [runs.ranking([1, 1])], runs.settings())
    write_results(tmp_path / "b", [runs.ranking([1, 2])], runs.settings())
    write_results(tmp_path / "c", [runs.ranking([1, 2, 3])], runs.settings())
    figures = recall_figures(read_tasks([tmp_path]).tasks)
    assert [[curve.name for curve in figure.curves] for figure in figures] == [["dense (a)", "dense (b)"], ["dense"]]


def test_reliability_needs_probabilities(tasks: list[ReportTask], tmp_path: Path) -> None:
    found = {one.task: one for one in reliabilities(tasks)}
    assert set(found) == {"qa_none", "qa_gold", "nli"}
    assert [(one.confidence, one.accuracy.value, one.n) for one in found["qa_gold"].bins] == [
        (pytest.approx(0.8), 1.0, 8)
    ]
    write_results(tmp_path / "g", [runs.answers("qa_gold", ["yes", "no"], confidence=None)], runs.settings())
    generated = read_tasks([tmp_path / "g"]).tasks
    assert reliabilities(generated) == []
    assert risk_figures(generated) == []


def test_risk_curves_of_a_run_stand_together_and_each_verified_task_alone(tasks: list[ReportTask]) -> None:
    figures = risk_figures(tasks)
    assert [(figure.task, [curve.name for curve in figure.curves]) for figure in figures] == [
        (None, ["qa_none", "qa_gold"]),
        (None, ["nli"]),
        ("verified_gold", ["by the verdict's support", "by the answer's own confidence"]),
    ]
    verified = next(task for task in tasks if task.name == "verified_gold")
    assert figures[2].curves[0].area == pytest.approx(verified.estimates["aurc"].value)
    assert figures[2].curves[1].area == pytest.approx(verified.estimates["aurc_confidence"].value)


def test_what_was_not_verified_is_the_least_sure(tmp_path: Path) -> None:
    task = runs.verified("verified_gold", ["yes", "yes"], [None, "contradicted"], [0.5, 0.0])
    samples = [dict(sample) for sample in task.samples]
    samples[0] |= {"verdict_scores": {}, "prediction": samples[0]["target"]}
    samples[1] |= {"prediction": "wrong"}
    write_results(tmp_path, [replace(task, samples=samples, estimates={"accuracy": Estimate(0.5)})], runs.settings())
    curve = risk_figures(read_tasks([tmp_path]).tasks)[0].curves[0]
    assert [(point.coverage, point.risk) for point in curve.points] == [(0.5, 1.0), (1.0, 0.5)]


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
def test_the_data_is_named_shortly(tmp_path: Path, task: str, sections: dict[str, dict[str, str]], name: str) -> None:
    made = runs.pairs(["neutral"], ["neutral"], task) if task == "nli" else runs.answers(task, ["yes"])
    write_results(tmp_path, [made], runs.settings(**sections))
    assert data_name(read_tasks([tmp_path]).tasks[0]) == name


def test_settings_that_are_lost_are_no_error(tmp_path: Path) -> None:
    write_results(tmp_path, [runs.answers("qa_none", ["yes"])], {"data": [1]})
    assert data_name(read_tasks([tmp_path]).tasks[0]) == "unknown data"
