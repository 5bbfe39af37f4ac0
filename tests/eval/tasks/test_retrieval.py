from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.documents import Document

from common.errors import UserError
from corpus.records import QARecord, documents
from eval.tasks import RetrievalTask

IDENTITY = {"kind": "overlap"}


class OverlapRetriever:
    """Ranks documents by the number of words that they share with the question, then by id."""

    def __init__(self, documents: list[Document]) -> None:
        self.documents = documents
        self.calls = 0

    def search(self, questions: Sequence[str], k: int) -> list[list[Document]]:
        self.calls += 1
        return [self._one(question)[:k] for question in questions]

    def _one(self, question: str) -> list[Document]:
        words = set(question.lower().split())
        scored = [(len(words & set(document.page_content.lower().split())), document) for document in self.documents]
        scored.sort(key=lambda pair: (-pair[0], str(pair[1].id)))
        return [
            Document(id=document.id, page_content=document.page_content, metadata={"score": float(score)})
            for score, document in scored
        ]


def _records(n: int = 12) -> list[QARecord]:
    return [
        QARecord(id=f"{number:02}", question=f"does drug{number} work", contexts=(f"drug{number} trial",), label=None)
        for number in range(n)
    ]


def _evaluate(records: Sequence[QARecord], retriever: Any = None, **options: Any) -> Any:
    retriever = retriever or OverlapRetriever(documents(records))
    return RetrievalTask(retriever="overlap").evaluate(retriever, records, identity=IDENTITY, **options)


def test_a_shared_abstract_counts_for_each_of_its_records() -> None:
    records = _records()
    shared = [replace(record, contexts=records[0].contexts, question=records[0].question) for record in records[:3]]
    result = _evaluate([*shared, *records[3:]])
    assert result.metrics["accuracy@1"] == result.metrics["mrr@10"] == 1
    assert [[hit["id"] for hit in sample["retrieved"][:3]] for sample in result.samples[:3]] == [
        ["00", "01", "02"],
        ["01", "00", "02"],
        ["02", "01", "00"],
    ]
    copies = [replace(records[0], id=f"{n:02}") for n in range(12)]  # more than the depth of 10
    assert _evaluate(copies).metrics["accuracy@1"] == 1


def test_all_questions_are_searched_in_one_call() -> None:
    records = _records()
    retriever = OverlapRetriever(documents(records))
    result = _evaluate(records, retriever)
    assert result.name == "retrieval_overlap"
    assert retriever.calls == 1
    assert result.metrics == {"accuracy@1": 1, "recall@5": 1, "recall@10": 1, "mrr@10": 1, "ndcg@10": 1}
    assert [len(sample["retrieved"]) for sample in result.samples] == [10] * 12
    sample = dict(result.samples[3])
    assert sample.pop("retrieved")[0] == {"id": "03", "score": 1.0}
    assert len(sample.pop("key")) == 64
    assert sample == {
        "id": "03",
        "question": "does drug3 work",
        "prompt": None,
        "output": None,
        "label_scores": {},
        "prediction": "03",
        "target": "03",
    }


def test_metrics_depend_on_the_rank_of_the_record() -> None:
    records = _records()
    # All questions are that of record 00, so record 00 ranks first and the others follow by id.
    result = _evaluate([replace(record, question=records[0].question) for record in records])
    assert [sample["prediction"] for sample in result.samples] == ["00"] * 12
    assert result.metrics["accuracy@1"] == pytest.approx(1 / 12)
    assert result.metrics["recall@5"] == pytest.approx(5 / 12)
    assert result.metrics["recall@10"] == pytest.approx(10 / 12)
    assert result.metrics["mrr@10"] == pytest.approx(sum(1 / rank for rank in range(1, 11)) / 12)


def test_a_greater_depth_gives_more_passages_and_the_same_metrics() -> None:
    records = _records(15)
    default, deeper = _evaluate(records), _evaluate(records, depth=15)
    assert default.metrics == deeper.metrics
    assert len(deeper.samples[0]["retrieved"]) == 15


def test_no_hits_give_no_prediction_and_recall_0() -> None:
    result = _evaluate(_records(), OverlapRetriever([]))
    assert result.metrics["recall@10"] == 0
    assert result.samples[0]["prediction"] is None


def test_keys_depend_on_all_abstracts() -> None:
    ten, twelve = _evaluate(_records(10)), _evaluate(_records(12))
    assert ten.samples[0]["key"] == _evaluate(_records(10)).samples[0]["key"]
    assert ten.samples[0]["key"] != twelve.samples[0]["key"]
    assert len({sample["key"] for sample in twelve.samples}) == 12


def test_samples_agree_only_with_the_abstracts_that_were_searched() -> None:
    for depth in (10, 12):
        result = _evaluate(_records(), depth=depth)
        texts = {record.id: record.context for record in _records()}
        assert result.task.agrees_with(result.samples, texts, IDENTITY)
        assert not result.task.agrees_with(result.samples, texts | {"07": "changed"}, IDENTITY)


def test_no_records_and_small_depths_are_refused() -> None:
    with pytest.raises(UserError, match="no records"):
        _evaluate([], OverlapRetriever([]))
    with pytest.raises(ValueError, match="depth 5"):
        _evaluate(_records(), depth=5)
