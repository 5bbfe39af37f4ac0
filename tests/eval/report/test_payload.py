from pathlib import Path
from typing import Any

import pytest
import report_runs as runs
from scripted_answers import evaluate_scripted

from eval.report.payload import page_data
from eval.report.projection import EmbeddingMap, MapPair
from eval.report.tasks import read_tasks
from eval.results import write_results


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    texts = {record.id: record.context for record in runs.records(40)}
    tasks = read_tasks([runs.write_grid(tmp_path)]).tasks
    return page_data(tasks, [{} if task.name == "qa_gold" else texts for task in tasks])


def task_data(data: dict[str, Any], name: str) -> dict[str, Any]:
    return next(task for task in data["tasks"] if task["name"] == name)


def test_each_text_is_stored_once(data: dict[str, Any]) -> None:
    assert len(data["records"]) == 8 + 8  # six tasks share 8 questions; the task nli has 8 pairs
    texts = [text for _, text in data["passages"] if text is not None]
    assert len(texts) == len(set(texts))


def test_columns_hold_targets_predictions_and_scores(data: dict[str, Any]) -> None:
    columns = task_data(data, "qa_none")["columns"]
    records = runs.records(8)
    assert [data["records"][index] for index in columns["record"]] == [
        [record.id, record.question] for record in records
    ]
    assert columns["target"] == [record.label for record in records]
    assert columns["prediction"] == list(runs.PREDICTIONS)
    assert columns["right"] == [int(p == t) for p, t in zip(columns["prediction"], columns["target"], strict=True)]
    assert columns["scores"][0] == [0.8, 0.1, 0.1]
    assert not {"passages", "output", "notes", "verdict", "rank", "prompt"} & set(columns)


def test_passages_are_indices_with_scores(data: dict[str, Any]) -> None:
    columns = task_data(data, "retrieval_dense")["columns"]
    passages = columns["passages"][1]  # index, score, index, score, ...
    second_id = data["passages"][passages[2]][0]
    assert second_id == data["records"][columns["record"][1]][0]  # the second question's abstract has rank 2
    assert passages[1::2] == [round(1 - rank / 20, 4) for rank in range(10)]  # the scores that report_runs gives
    assert columns["rank"] == [1, 2, None, 1, 1, 3, 1, 1]


def test_a_missing_passage_text_is_null(data: dict[str, Any]) -> None:
    columns = task_data(data, "qa_gold")["columns"]
    passages = [data["passages"][index] for index, _ in columns["passages"]]
    assert passages == [[record.id, None] for record in runs.records(8)]


def test_verdicts_have_their_scores_and_their_deciding_passage_and_sentence(data: dict[str, Any]) -> None:
    columns = task_data(data, "verified_gold")["columns"]
    record = runs.records(8)[0]
    assert columns["verdict"][:2] == ["supported", "contradicted"]
    assert columns["verdict_scores"][0] == [0.9, 0.1, 0.0]
    assert data["passages"][columns["against"][0]] == [record.id, record.context]
    assert columns["sentence"][0] in record.context


def test_records_of_pairs_have_premise_and_hypothesis(data: dict[str, Any]) -> None:
    number = task_data(data, "nli")["columns"]["record"][2]
    assert data["records"][number] == ["pair2", "Pain fell by 2.", "Pain changed by 2."]


def test_written_answers_of_a_task_without_judged_sentences_have_only_their_text(tmp_path: Path) -> None:
    result = evaluate_scripted()
    for sample in result.samples:
        del sample["judged"]  # type: ignore[attr-defined]
    write_results(tmp_path, [result], runs.settings())
    columns = page_data(read_tasks([tmp_path]).tasks)["tasks"][0]["columns"]
    assert "sentences" not in columns
    assert columns["output"] == [sample["output"] for sample in result.samples]


def test_a_map_shares_its_texts_with_the_tasks(data: dict[str, Any], tmp_path: Path) -> None:
    record = runs.records(1)[0]
    tasks, texts = read_tasks([tmp_path]).tasks[:1], [{record.id: record.context}]
    pair = MapPair(record.id, record.question, record.context, record.label)
    embedding_map = EmbeddingMap("minilm", "model", "data", [pair], 0, [(0.1, 0.2, 0.3, 0.4)])
    with_map = page_data(tasks, texts, [embedding_map])
    (map_data,) = with_map["maps"]
    assert with_map["records"] == page_data(tasks, texts)["records"]
    assert map_data["positions"] == [0.1, 0.2, 0.3, 0.4]
    assert with_map["passages"][map_data["passages"][0]] == [record.id, record.context]
    assert map_data["labels"] == [record.label]
