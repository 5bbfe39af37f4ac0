from pathlib import Path
from typing import Any

import pytest
import report_runs as runs

from eval.report.payload import Payload
from eval.report.projection import EmbeddingMap, MapPair
from eval.report.tasks import read_tasks


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    texts = {record.id: record.context for record in runs.records(40)}
    payload = Payload()
    for task in read_tasks([runs.write_grid(tmp_path)]).tasks:
        payload.add_task(task, {} if task.name == "qa_gold" else texts)
    return payload.data


def task(data: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in data["tasks"] if one["name"] == name)


def test_each_text_is_there_once(data: dict[str, Any]) -> None:
    assert len(data["records"]) == 8 + 8  # questions and pairs
    texts = [text for _, text in data["passages"] if text is not None]
    assert len(texts) == len(set(texts))


def test_a_row_tells_what_was_answered(data: dict[str, Any]) -> None:
    columns = task(data, "qa_none")["columns"]
    records = runs.records(8)
    assert [data["records"][number] for number in columns["record"]] == [[one.id, one.question] for one in records]
    assert columns["target"] == [one.label for one in records]
    assert columns["prediction"] == ["yes", "no", "yes", "no", "maybe", "yes", None, "no"]
    assert columns["right"] == [int(p == t) for p, t in zip(columns["prediction"], columns["target"], strict=True)]
    assert columns["scores"][0] == [0.8, 0.1, 0.1]
    assert not {"passages", "output", "notes", "verdict", "rank", "prompt"} & set(columns)


def test_passages_are_numbers_with_scores(data: dict[str, Any]) -> None:
    columns = task(data, "retrieval_dense")["columns"]
    first = columns["passages"][1]
    assert data["passages"][first[2]][0] == data["records"][columns["record"][1]][0]  # its own abstract came second
    assert first[1::2] == [round(1 - place / 20, 4) for place in range(10)]
    assert columns["rank"] == [1, 2, None, 1, 1, 3, 1, 1]


def test_a_text_that_could_not_be_had_is_null(data: dict[str, Any]) -> None:
    columns = task(data, "qa_gold")["columns"]
    assert [data["passages"][flat[0]] for flat in columns["passages"]] == [[one.id, None] for one in runs.records(8)]


def test_a_verdict_comes_with_what_decided_it(data: dict[str, Any]) -> None:
    columns = task(data, "verified_gold")["columns"]
    record = runs.records(8)[0]
    assert columns["verdict"][:2] == ["supported", "contradicted"]
    assert columns["verdict_scores"][0] == [0.9, 0.1, 0.0]
    assert data["passages"][columns["against"][0]] == [record.id, record.context]
    assert columns["sentence"][0] in record.context


def test_a_pair_has_premise_and_hypothesis(data: dict[str, Any]) -> None:
    number = task(data, "nli")["columns"]["record"][2]
    assert data["records"][number] == ["pair2", "Pain fell by 2.", "Pain changed by 2."]


def test_a_map_shares_its_texts_with_the_tasks(data: dict[str, Any], tmp_path: Path) -> None:
    record = runs.records(1)[0]
    payload = Payload()
    payload.add_task(read_tasks([tmp_path]).tasks[0], {record.id: record.context})
    before = len(payload.data["records"])
    pair = MapPair(record.id, record.question, record.context, record.label)
    payload.add_map(EmbeddingMap("minilm", "model", "data", [pair], 0, [(0.1, 0.2, 0.3, 0.4)]))
    (shown,) = payload.data["maps"]
    assert len(payload.data["records"]) == before
    assert shown["positions"] == [0.1, 0.2, 0.3, 0.4]
    assert payload.data["passages"][shown["passages"][0]] == [record.id, record.context]
    assert shown["labels"] == [record.label]
