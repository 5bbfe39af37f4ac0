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
    """Ranks documents by the words they share with the question; ties by id."""

    def __init__(self, stored: list[Document]) -> None:
        self.stored = stored
        self.calls = 0

    def search(self, questions: Sequence[str], k: int) -> list[list[Document]]:
        self.calls += 1
        return [self._one(question)[:k] for question in questions]

    def _one(self, question: str) -> list[Document]:
        words = set(question.lower().split())
        scored = [(len(words & set(document.page_content.lower().split())), document) for document in self.stored]
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


def test_an_abstract_that_records_share_is_the_own_one_of_each() -> None:
    records = _records()
    shared = [replace(record, contexts=records[0].contexts, question=records[0].question) for record in records[:3]]
    result = _evaluate([*shared, *records[3:]])
    assert result.metrics["accuracy@1"] == result.metrics["mrr@10"] == 1
    assert [[found["id"] for found in one["retrieved"][:3]] for one in result.samples[:3]] == [
        ["00", "01", "02"],
        ["01", "00", "02"],
        ["02", "01", "00"],
    ]
    beyond = [*[replace(records[0], id=f"a{n:02}") for n in range(11)], replace(records[0], id="z")]
    assert _evaluate(beyond).metrics["accuracy@1"] == 1


def test_every_question_finds_its_abstract_in_one_call() -> None:
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


def test_ranks_are_counted_from_the_records_own_id() -> None:
    records = _records()
    swapped = [
        QARecord(id=record.id, question=records[0].question, contexts=record.contexts, label=None) for record in records
    ]
    result = _evaluate(swapped)  # every question asks for 00; the others follow in the order of their ids
    assert [sample["prediction"] for sample in result.samples] == ["00"] * 12
    assert result.metrics["accuracy@1"] == pytest.approx(1 / 12)
    assert result.metrics["recall@5"] == pytest.approx(5 / 12)
    assert result.metrics["recall@10"] == pytest.approx(10 / 12)
    assert result.metrics["mrr@10"] == pytest.approx(sum(1 / rank for rank in range(1, 11)) / 12)


def test_a_greater_depth_keeps_more_but_changes_no_figure() -> None:
    records = _records(15)
    near, far = _evaluate(records), _evaluate(records, depth=15)
    assert near.metrics == far.metrics
    assert len(far.samples[0]["retrieved"]) == 15


def test_an_empty_answer_is_a_miss() -> None:
    result = _evaluate(_records(), OverlapRetriever([]))
    assert result.metrics["recall@10"] == 0
    assert result.samples[0]["prediction"] is None


def test_keys_follow_the_abstracts() -> None:
    ten, twelve = _evaluate(_records(10)), _evaluate(_records(12))
    assert ten.samples[0]["key"] == _evaluate(_records(10)).samples[0]["key"]
    assert ten.samples[0]["key"] != twelve.samples[0]["key"]
    assert len({sample["key"] for sample in twelve.samples}) == 12


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(UserError, match="no records"):
        _evaluate([], OverlapRetriever([]))
    with pytest.raises(ValueError, match="depth 5"):
        _evaluate(_records(), depth=5)
    with pytest.raises(UserError, match="file name"):
        RetrievalTask(retriever="a/b").evaluate(OverlapRetriever([]), _records(), identity=IDENTITY)  # type: ignore[arg-type]
