import json
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from written_runs import label_task, retrieval_task, verified_task, write_run

from corpus.records import LABELS
from eval.compare import Comparison, Side, as_json, choose_pairs, compare, write_comparison
from eval.results import TaskResult
from eval.stats.significance import macro_f1_difference, mean_difference
from eval.tasks import task_from_name

YES_NO = ["yes", "yes", "yes", "no"]


def _compare_results(folder: Path, a: TaskResult, b: TaskResult) -> Comparison:
    sides = [Side(write_run(folder / name, task), task.task) for name, task in (("a", a), ("b", b))]
    (comparison,) = compare([(sides[0], sides[1])])
    return comparison


def test_runs_are_compared_with_the_first_and_p_values_agree_with_statsmodels(tmp_path: Path) -> None:
    generator = np.random.default_rng(7)
    targets = generator.choice(LABELS, size=250, p=[0.55, 0.34, 0.11])
    predictions_by_run = [
        np.where(generator.random(250) < share, targets, generator.choice(LABELS, size=250))
        for share in (0.2, 0.25, 0.4, 0.6)
    ]
    for number, predictions in enumerate(predictions_by_run):
        write_run(tmp_path / str(number), label_task("qa_gold", targets.tolist(), predictions.tolist()))
    comparisons = compare(choose_pairs([str(tmp_path / str(number)) for number in range(4)]).pairs)

    right = [predictions == targets for predictions in predictions_by_run]
    tables = [
        [[np.sum(right[0] & b), np.sum(right[0] & ~b)], [np.sum(~right[0] & b), np.sum(~right[0] & ~b)]]
        for b in right[1:]
    ]
    expected = [float(mcnemar(table, exact=True).pvalue) for table in tables]
    assert [comparison.test.p for comparison in comparisons] == pytest.approx(expected)
    assert [comparison.p_holm for comparison in comparisons] == pytest.approx(multipletests(expected, method="holm")[1])
    assert 0.05 < expected[0] < 1  # the first difference is not significant
    assert expected[2] < 0.001  # the last is

    last = comparisons[-1]
    assert last.test.only_b == sum(record.right == "b" for record in last.changed)
    assert [record.id for record in last.changed] == [str(index) for index in np.flatnonzero(right[0] != right[3])]
    a, b = predictions_by_run[0].tolist(), predictions_by_run[3].tolist()
    accuracy, macro_f1 = last.figures["accuracy"], last.figures["macro_f1"]
    assert accuracy.difference == mean_difference(right[0].tolist(), right[3].tolist())
    assert (macro_f1.n, accuracy.n) == (250, 250)
    assert (macro_f1.a, macro_f1.b, macro_f1.difference) == macro_f1_difference(targets.tolist(), a, b, sorted(LABELS))


def test_records_that_only_one_side_gets_right_are_listed(tmp_path: Path) -> None:
    a = label_task("qa_gold", YES_NO, ["yes", "no", None, "maybe"])
    b = label_task("qa_gold", YES_NO, ["no", "yes", "maybe", "yes"])
    comparison = _compare_results(tmp_path, a, b)
    assert [(record.id, record.target, record.a, record.b, record.right) for record in comparison.changed] == [
        ("0", "yes", "yes", "no", "a"),
        ("1", "yes", "no", "yes", "b"),
    ]
    test = comparison.test
    assert (test.both, test.only_a, test.only_b, test.neither) == (0, 1, 1, 2)
    assert (comparison.figures["accuracy"].a, comparison.figures["accuracy"].b) == (0.25, 0.25)
    assert comparison.figures["macro_f1"].a == pytest.approx(a.metrics["macro_f1"])
    assert comparison.figures["macro_f1"].b == pytest.approx(b.metrics["macro_f1"])


def test_metrics_are_over_the_common_records(tmp_path: Path) -> None:
    a = label_task("qa_gold", YES_NO, ["yes", "no", "no", "no"])
    comparison = _compare_results(tmp_path, a, label_task("qa_gold", YES_NO[:2], ["yes", "yes"]))
    assert (comparison.figures["accuracy"].a, comparison.figures["accuracy"].b) == (0.5, 1.0)
    assert comparison.paired.only_in_a == 2


def test_retrievers_are_compared_by_accuracy_at_1_and_reciprocal_rank(tmp_path: Path) -> None:
    a, b = retrieval_task("retrieval_dense", [1, 1, 3, 11]), retrieval_task("retrieval_bm25", [1, 2, 1, None])
    comparison = _compare_results(tmp_path, a, b)
    assert list(comparison.figures) == ["accuracy@1", "mrr@10"]
    assert comparison.figures["accuracy@1"].difference.value == 0
    assert comparison.figures["mrr@10"].a == pytest.approx(a.metrics["mrr@10"])
    assert comparison.figures["mrr@10"].b == pytest.approx(b.metrics["mrr@10"])
    assert comparison.figures["mrr@10"].difference.value == pytest.approx((1 + 1 / 2 + 1) / 4 - (1 + 1 + 1 / 3) / 4)
    assert [(record.a, record.b, record.right) for record in comparison.changed] == [
        ("1", "other 0", "a"),
        ("other 0", "2", "b"),
    ]


def test_macro_f1_is_left_out_if_the_labels_differ(tmp_path: Path) -> None:
    a = label_task("nli", YES_NO, YES_NO)
    without_maybe = {name: estimate for name, estimate in a.estimates.items() if not name.endswith("_maybe")}
    b = TaskResult(task_from_name("nli"), without_maybe, a.samples)
    assert list(_compare_results(tmp_path, a, b).figures) == ["accuracy"]


def test_answers_from_wrong_abstracts_are_compared_by_the_share_of_maybe(tmp_path: Path) -> None:
    predictions_of_runs = (["maybe", "yes"], ["maybe", "maybe"])
    a, b = (label_task("qa_wrong", ["maybe"] * 2, predictions) for predictions in predictions_of_runs)
    comparison = _compare_results(tmp_path, a, b)
    assert list(comparison.figures) == ["share_maybe"]
    assert (comparison.figures["share_maybe"].a, comparison.figures["share_maybe"].b) == (0.5, 1.0)


def test_a_verdict_is_right_if_it_supports_exactly_the_right_answers(tmp_path: Path) -> None:
    predictions = ["yes", "no", "yes", "yes"]  # the first and the third are right
    a = verified_task("verified_gold", YES_NO, predictions, ["supported", "contradicted", None, "supported"])
    b = verified_task("verified_gold", YES_NO, predictions, ["supported", "supported", "supported", "contradicted"])
    comparison = _compare_results(tmp_path, a, b)
    metrics = {name: (metric.a, metric.b) for name, metric in comparison.figures.items()}
    assert metrics == {"verdict_accuracy": (0.5, 0.75), "share_supported": (0.5, 0.75), "accuracy": (0.5, 0.5)}
    assert [(record.a, record.b, record.right) for record in comparison.changed] == [
        ("no: contradicted", "no: supported", "a"),
        ("yes: unverified", "yes: supported", "b"),
        ("yes: supported", "yes: contradicted", "b"),
    ]


@pytest.mark.parametrize("task", ["verified_wrong", "verified_swapped"])
def test_answers_from_other_abstracts_are_compared_by_the_share_of_supported(tmp_path: Path, task: str) -> None:
    a = verified_task(task, YES_NO, YES_NO, ["supported", "supported", "contradicted", None])
    b = verified_task(task, YES_NO, YES_NO, ["supported", "contradicted", "contradicted", None])
    comparison = _compare_results(tmp_path, a, b)
    assert {name: (metric.a, metric.b) for name, metric in comparison.figures.items()} == {
        "share_supported": (0.5, 0.25)
    }
    assert (comparison.test.only_a, comparison.test.only_b) == (0, 1)


def test_verified_and_unverified_answers_are_compared_by_accuracy(tmp_path: Path) -> None:
    a = label_task("qa_gold", YES_NO, ["yes"] * 4)
    comparison = _compare_results(tmp_path, a, verified_task("verified_gold", YES_NO, YES_NO, [None] * 4))
    assert {name: (metric.a, metric.b) for name, metric in comparison.figures.items()} == {"accuracy": (0.75, 1.0)}


def test_written_json_has_metrics_test_and_changed_records(tmp_path: Path) -> None:
    a = label_task("qa_gold", YES_NO, ["yes", "no", None, "no"])
    comparison = _compare_results(tmp_path, a, label_task("qa_gold", YES_NO[:3], ["yes", "yes", "yes"]))
    path = write_comparison(tmp_path / "out", [comparison], [comparison.paired.b])
    assert path == tmp_path / "out" / "compare.json"
    assert [file.name for file in path.parent.iterdir()] == ["compare.json"]
    content = json.loads(path.read_text())
    assert content == as_json([comparison], [comparison.paired.b])
    assert content["unmatched"] == [{"run": str(tmp_path / "b"), "task": "qa_gold"}]
    accuracy = comparison.figures["accuracy"]
    (entry,) = content["comparisons"]
    assert entry["figures"]["accuracy"] == {
        "n": 3,
        "a": 1 / 3,
        "b": 1.0,
        "difference": {
            "value": accuracy.difference.value,
            "stderr": accuracy.difference.stderr,
            "low": accuracy.difference.low,
            "high": accuracy.difference.high,
        },
    }
    del entry["figures"]
    assert entry == {
        "a": {"run": str(tmp_path / "a"), "task": "qa_gold"},
        "b": {"run": str(tmp_path / "b"), "task": "qa_gold"},
        "n": 3,
        "only_in_a": 1,
        "only_in_b": 0,
        "mcnemar": {"both": 1, "only_a": 0, "only_b": 2, "neither": 0, "p": 0.5, "p_holm": 0.5},
        "changed": [
            {"id": "1", "target": "yes", "a": "no", "b": "yes", "right": "b"},
            {"id": "2", "target": "yes", "a": None, "b": "yes", "right": "b"},
        ],
    }
