from dataclasses import replace

from rich.table import Table
from written_runs import label_task, printed_lines

from chains.labels import UNLABELLED
from corpus.records import LABELS
from eval.results import TaskResult
from eval.stats.estimate import Estimate
from eval.stats.metrics import ranking_metrics
from eval.tables import label_tables, remarks, result_tables
from eval.tasks import task_from_name


def _only_table(results: list[TaskResult]) -> Table:
    (table,) = result_tables(results)
    return table


def _wrong_abstract_task(predictions: list[str | None]) -> TaskResult:
    return label_task("qa_wrong", ["maybe"] * len(predictions), predictions)


def test_retrieval_table_has_a_row_for_each_retriever() -> None:
    samples = [{}] * 4
    results = [
        TaskResult(task_from_name("retrieval_dense"), ranking_metrics([1, 1, 1, 2]), samples),
        label_task("qa_gold", ["yes"], ["yes"]),
        TaskResult(task_from_name("retrieval_bm25"), ranking_metrics([1, 1, None, None]), samples),
    ]
    lines = printed_lines(result_tables(results)[0])
    rows = [line.split() for line in lines if line.startswith(("dense", "bm25"))]
    assert [row[0] for row in rows] == ["dense", "bm25"]
    assert rows[0][1:] == ["4", "0.750", "(0.301-0.954)", "1.000", "1.000", "0.875", "0.908"]
    assert not any("qa_gold" in line for line in lines)


def test_tasks_over_the_same_records_are_followed_by_their_majority_baseline() -> None:
    targets = ["yes"] * 3 + ["no"]
    results = [
        label_task("qa_none", targets, ["yes", "no", None, "no"]),
        label_task("qa_gold_newnames", ["no"] * 4, ["no"] * 4),
        label_task("qa_gold", targets, ["yes", "yes", "yes", "no"]),
        _wrong_abstract_task(["maybe", "maybe", "maybe", None]),
    ]
    lines = printed_lines(_only_table(results))
    names = ["qa_none", "qa_gold", 'always "yes"', "qa_gold_newnames", 'always "no"', "qa_wrong"]
    rows = [line for line in lines if line.startswith(("qa_", "always")) and ":" not in line]
    assert [row.split("  ")[0] for row in rows] == names
    assert rows[0].split()[1:4] == ["4", "0.500", "(0.150-0.850)"]
    assert rows[0].split()[-1] == "1"
    assert rows[2].split()[2:5] == ["4", "0.750", "(0.301-0.954)"]
    assert rows[5].split() == ["qa_wrong", "4", "0.750", "(0.301-0.954)", "1"]


def test_metric_of_a_single_record_has_no_interval() -> None:
    estimates = {"accuracy": Estimate(1.0), "unparsed": Estimate(0.0)}
    table = _only_table([TaskResult(task_from_name("qa_gold"), estimates, [{"id": 1, "target": "yes"}])])
    assert any(line.split() == ["qa_gold", "1", "1.000", "0"] for line in printed_lines(table))


def test_caption_names_labels_without_a_record_if_macro_f1_counts_them() -> None:
    note = "no record is no or maybe, whose F1 of 0 counts in macro F1: 0.333 is the most"
    table = _only_table([label_task("qa_gold", ["yes"] * 3, ["yes"] * 3), _wrong_abstract_task(["maybe"])])
    assert str(table.caption).splitlines()[0] == f"qa_gold: {note}"
    assert "qa_wrong" in str(table.caption)
    assert label_tables(label_task("nli", ["yes"], ["yes"], premise=["p"]))[0].caption == note
    assert _only_table([label_task("qa_gold", list(LABELS), ["yes"] * 3)]).caption is None


def test_remarks_count_notes_by_kind() -> None:
    cut = "context shortened by {} to fit the model's window of 512 tokens"
    notes = [[cut.format("1 sentence")], [cut.format("12 sentences"), "read by a server"], [UNLABELLED], []]
    result = TaskResult(task_from_name("qa_gold"), {}, [{"notes": of_sample} for of_sample in notes])
    assert remarks([result, replace(result, task=task_from_name("verified_gold"))]) == [
        f'qa_gold: 2 of 4 records: "{cut.format("1 sentence")}" or one like it',
        'qa_gold: 1 of 4 records: "read by a server"',
    ]
    assert remarks([TaskResult(task_from_name("retrieval_dense"), {}, [{}])]) == []


def test_tables_and_captions_fit_80_columns() -> None:
    labels = label_task("qa_gold_newphrases", ["yes"] * 3 + ["no"], ["yes", "yes", None, "no"])
    wrong_abstracts = _wrong_abstract_task(["maybe"] * 4)
    lines = printed_lines(_only_table([labels, wrong_abstracts]), width=80)
    assert any(line.split()[2:] == ["0.750", "(0.301-0.954)", "0.600", "(0.133-0.667)", "1"] for line in lines)
    assert all(len(line) <= 80 for line in lines)
    assert 'right is "maybe"' in lines[-1]
    assert not any("right is" in line for line in printed_lines(_only_table([labels])))


def test_inference_has_tables_of_metrics_labels_and_confusion() -> None:
    labels = ("entailment", "neutral", "contradiction")
    targets = ["entailment", "entailment", "neutral", "contradiction"]
    predictions = ["entailment", "neutral", "neutral", None]
    result = label_task("nli", targets, predictions, labels, premise=["p0", "p1", "p2", "p2"])
    assert label_tables(result)[0].caption == (
        "4 pairs of 3 premises: accuracy's standard error is 0.217 with the premises as clusters, 0.289 if the pairs "
        "were independent, as the intervals take them"
    )
    overall, by_label, confusion = (printed_lines(table) for table in label_tables(result))
    assert any(line.startswith("nli") and "0.500" in line and line.endswith("1") for line in overall)
    assert any(line.startswith('always "entailment"') and "0.500" in line for line in overall)
    assert any(line.startswith("neutral") and "0.500" in line and "1.000" in line for line in by_label)
    rows = [line.split() for line in confusion if line.split()[0] in labels]
    assert rows == [
        ["entailment", "1", "1", "0", "0"],
        ["neutral", "0", "1", "0", "0"],
        ["contradiction", "0", "0", "0", "1"],
    ]


def test_answers_have_tables_of_metrics_labels_and_confusion() -> None:
    overall, by_label, confusion = map(
        printed_lines, label_tables(label_task("qa_gold", ["yes", "no"], ["yes", "maybe"]))
    )
    assert overall[0] == "Answers: yes, no or maybe"
    assert by_label[0] == "By label"
    assert any(line.split() == ["no", "0", "0", "1", "0"] for line in confusion)
