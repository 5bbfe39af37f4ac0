from dataclasses import replace
from pathlib import Path

import pytest
import report_runs as runs

from eval.report.tables import headlines, section_tables
from eval.report.tasks import ReportTask, read_tasks
from eval.report.views import View
from eval.results import write_results
from eval.tasks import SECTIONS
from eval.tasks.base import ANSWERS


@pytest.fixture
def tasks(tmp_path: Path) -> list[ReportTask]:
    return list(read_tasks([runs.write_grid(tmp_path)]).tasks)


def tables_by_title(tasks: list[ReportTask], section_id: str) -> dict[str, View]:
    section = next(section for section in SECTIONS if section.id == section_id)
    return {view.title: view for view in section_tables(section, [task for task in tasks if task.section == section])}


def test_headlines_show_each_section_with_its_baselines(tasks: list[ReportTask]) -> None:
    shown = {view.title: [(row.title, row.is_reference) for row in view.rows] for view in headlines(tasks)}
    assert shown == {
        "Retrieval": [("dense", False), ("bm25", False)],
        "Answers": [("no text", False), ("own abstract", False), ("always \u201cno\u201d", True)],
        "Inference": [("zero-shot", False), ("always \u201cneutral\u201d", True)],
        "Verified answers": [("own abstract", False), ("all answers", True)],
    }
    answers = next(view for view in headlines(tasks) if view.title == "Answers")
    cell = answers.rows[1].cell("accuracy")
    assert (cell.text, cell.interval) == ("1.000", "0.676\u20131.000")
    assert cell.drawing


def test_headlines_group_rows_by_run(tmp_path: Path) -> None:
    for model in ("gemma", "llama"):
        write_results(tmp_path / model, [runs.answers("qa_none", ["yes"] * 4)], runs.settings())
    (view,) = headlines(read_tasks([tmp_path]).tasks)
    assert [row.title for row in view.rows if not row.cells] == ["gemma", "llama", "without a model"]


def test_runs_over_different_data_with_equal_ids_have_their_own_baselines(tmp_path: Path) -> None:
    entailed = runs.nli_task(["entailment"] * 4, ["entailment"] * 3 + ["neutral"])
    neutral = runs.nli_task(["neutral"] * 4, ["neutral"] * 4)
    other_texts = [{**sample, "premise": f"Other: {sample['premise']}"} for sample in neutral.samples]
    for name, result in (("sick", entailed), ("healthver", replace(neutral, samples=other_texts))):
        write_results(tmp_path / name, [result], runs.settings(pairs={"path": name}))
    tasks = list(read_tasks([tmp_path]).tasks)
    baselines = ["always \u201cneutral\u201d", "always \u201centailment\u201d"]
    for view in (headlines(tasks)[0], tables_by_title(tasks, "nli")["Labels given"]):
        references = [row for row in view.rows if row.is_reference]
        assert [row.title for row in references] == baselines
        assert [row.cell("accuracy").text for row in references] == ["1.000", "0.750"]


def test_headlines_leave_out_variants_of_the_sample(tmp_path: Path) -> None:
    results = [runs.answers(name, ["yes"] * 4) for name in ("qa_gold", "qa_gold_newnames")]
    write_results(tmp_path, results, runs.settings())
    tasks = list(read_tasks([tmp_path]).tasks)
    assert [row.task for row in headlines(tasks)[0].rows] == ["qa_gold", ""]
    assert "qa_gold_newnames" in [row.task for row in tables_by_title(tasks, "qa")["Labels given"].rows]
    variants = [task for task in tasks if task.name == "qa_gold_newnames"]
    assert headlines(variants)[0].rows  # variants are shown if there are no other tasks


def test_retrieval_table_has_all_metrics(tasks: list[ReportTask]) -> None:
    view = tables_by_title(tasks, "retrieval")["Each question's own abstract among the passages found"]
    assert view.columns == ("accuracy@1", "recall@5", "recall@10", "MRR@10", "nDCG@10", "n", "data")
    assert [view.rows[0].cell(column).text for column in view.columns[:3]] == ["0.625", "0.875", "0.875"]
    assert view.rows[0].cell("n").text == "8"


def test_wrong_abstracts_follow_the_other_tasks_with_a_note(tasks: list[ReportTask]) -> None:
    view = tables_by_title(tasks, "qa")["Labels given"]
    assert [row.task or row.title for row in view.rows] == ["qa_none", "qa_gold", "always \u201cno\u201d", "qa_wrong"]
    assert view.rows[3].cell("accuracy").text == "0.875"
    assert view.rows[3].cell("macro F1").text == ""
    assert "\u201cmaybe\u201d" in view.note
    assert view.rows[0].cell("unparsed").text == "1"


def test_label_table_has_a_row_for_each_label(tasks: list[ReportTask]) -> None:
    view = tables_by_title(tasks, "nli")["Precision, recall and F1 by label"]
    assert [row.cell("label").text for row in view.rows] == list(runs.PAIR_LABELS)
    assert view.is_folded


def test_verified_answers_have_tables_of_verdicts_accuracy_and_risk(tasks: list[ReportTask]) -> None:
    views = tables_by_title(tasks, "verified")
    verdicts, accuracy, risk = views.values()
    assert verdicts.rows[0].cell("supported").text == "0.500"
    assert accuracy.rows[0].cell("gain").interval.count("to") == 1
    assert accuracy.rows[0].cell("of the supported").text
    assert risk.rows[0].cell("80% given").text


def test_accuracy_table_without_a_supported_answer_has_no_gain(tmp_path: Path) -> None:
    task = runs.verified("verified_gold", ["yes"] * 3, ["contradicted"] * 3, [0.1] * 3)
    write_results(tmp_path, [task], runs.settings())
    tasks = list(read_tasks([tmp_path]).tasks)
    accuracy = tables_by_title(tasks, "verified")["Accuracy"]
    assert accuracy.rows[0].cell("of the supported").text == "none is"
    assert accuracy.rows[0].cell("gain").text == ""
    assert headlines(tasks) == []


def test_published_value_is_in_the_cell_of_its_metric(tasks: list[ReportTask]) -> None:
    gold = next(task for task in tasks if task.name == "qa_gold")
    view = section_tables(ANSWERS, [replace(gold, published={"accuracy": 0.71})])[0]
    assert view.rows[0].cell("accuracy").published == "0.710"
    assert view.rows[0].cell("macro F1").published == ""
