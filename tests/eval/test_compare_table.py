from dataclasses import replace
from pathlib import Path

from scripted_answers import evaluate_scripted
from written_runs import label_task, printed_lines, retrieval_task, write_run

from eval.compare import MAX_CHANGED_ROWS, choose_pairs, compare, compare_tables


def _table_lines(*names: Path) -> list[list[str]]:
    """The lines of each table of a comparison."""
    comparisons = compare(choose_pairs([str(name) for name in names]).pairs)
    return [printed_lines(table, width=80) for table in compare_tables(comparisons)]


def test_two_runs_have_tables_of_metrics_tests_and_changed_records(tmp_path: Path) -> None:
    targets = ["yes"] * 8
    write_run(tmp_path / "[a]", label_task("qa_gold", [*targets, "no"], [*targets[:1], *[None] * 7, "no"]))
    write_run(tmp_path / "b", label_task("qa_gold", targets, targets))
    metrics, tests, changed = _table_lines(tmp_path / "[a]", tmp_path / "b")
    assert "[a]" in "".join(metrics[:4])  # as markup, rich would not print it
    rows = [line.split() for line in metrics if "accuracy" in line or "macro_f1" in line]
    assert rows[0][:5] == ["qa_gold", "8", "accuracy", "0.125", "1.000"]
    assert rows[0][5].startswith("+0.875")
    assert rows[1][:4] == ["8", "macro_f1", "0.074", "0.333"]
    assert any("left out 1 records of A alone, 0 of B" in line for line in metrics)
    assert tests[-1].split() == ["qa_gold", "1", "0", "7", "0", "0.016", "0.016"]
    assert [line.split() for line in changed[-7:]] == [[str(n), "yes", "unparsed", "yes", "B"] for n in range(1, 8)]


def test_tables_name_the_tasks_of_one_run_a_and_b_and_limit_the_changed_records(tmp_path: Path) -> None:
    n = MAX_CHANGED_ROWS + 5  # 15
    write_run(tmp_path, retrieval_task("retrieval_dense", [1] * n), retrieval_task("retrieval_bm25", [None] * n))
    metrics, tests, changed = _table_lines(tmp_path)
    for lines in (metrics, tests):
        assert any(line.startswith("A retrieval_dense") for line in lines)
        assert any(line.startswith("B retrieval_bm25") for line in lines)
    assert any(line.split()[-6:] == ["0", "15", "0", "0", "6.1e-05", "6.1e-05"] for line in tests)
    assert sum("other 0" in line for line in changed) == MAX_CHANGED_ROWS
    assert changed[-1] == "and 5 more: see --json"


def test_equal_answers_have_no_table_of_changed_records(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, label_task("nli", ["yes"], ["yes"]))
    metrics, tests = _table_lines(tmp_path / "a", tmp_path / "b")
    assert any(line.split() == ["nli", "1", "accuracy", "1.000", "1.000", "+0.000"] for line in metrics)
    assert tests[-1].split() == ["nli", "1", "0", "0", "0", "1.000", "1.000"]


def test_each_metric_of_written_answers_has_its_number_of_pairs(tmp_path: Path) -> None:
    write_run(tmp_path, evaluate_scripted(), evaluate_scripted(pruned=True))
    table = compare_tables(compare(choose_pairs([str(tmp_path)]).pairs))[0]
    n, names = (list(column.cells) for column in table.columns[1:3])
    assert dict(zip(names, n, strict=True)) == {
        "citation_recall": "3",  # the refused answer is pruned to no sentence
        "citation_precision": "3",
        "attributed_recall": "3",
        "sentence_support": "2",
        "sentence_contradicted": "2",
        "rouge_l": "1",  # one record has a conclusion
        "entails_reference": "1",
        "entailed_by_reference": "1",
        "words": "4",
    }


def test_the_text_for_a_missing_answer_depends_on_the_kind_of_task(tmp_path: Path) -> None:
    samples = [{**sample, "retrieved": []} for sample in retrieval_task("retrieval_bm25", [None]).samples]
    nothing_found = replace(retrieval_task("retrieval_bm25", [None]), samples=[samples[0] | {"prediction": None}])
    write_run(tmp_path / "ranked", retrieval_task("retrieval_dense", [1]), nothing_found)
    assert _table_lines(tmp_path / "ranked")[-1][-1].split() == ["0", "0", "0", "nothing", "found", "A"]
    pruned = evaluate_scripted(pruned=True)
    withheld = replace(pruned, samples=[{**sample, "citation_recall": None} for sample in pruned.samples])
    write_run(tmp_path / "written", evaluate_scripted(), withheld)
    assert _table_lines(tmp_path / "written")[-1][-1].split() == ["Cited?", "recall", "1.00", "no", "sentence", "A"]


def test_markup_and_escapes_in_answers_are_printed_literally(tmp_path: Path) -> None:
    for name, answer in (("a", "[red]\x1b[31m"), ("b", "yes")):
        task = label_task("qa_gold", ["yes"], ["yes"])
        task.samples[0]["prediction"] = answer  # type: ignore[index]
        del task.estimates["accuracy"]  # type: ignore[attr-defined]
        write_run(tmp_path / name, task)
    *_, changed = _table_lines(tmp_path / "a", tmp_path / "b")
    assert "[red]\\x1b[31m" in changed[-1]
