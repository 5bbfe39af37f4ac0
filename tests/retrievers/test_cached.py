from collections.abc import Sequence
from pathlib import Path

import pytest
from langchain_core.documents import Document

from common.errors import UserError
from common.result_cache import ResultCache
from retrievers.base import Hit, Retriever
from retrievers.cached import CachedRetriever
from retrievers.kinds.bm25 import BM25Retriever

DOCUMENTS = [
    Document(id=f"d{number}", page_content=f"heparin {'clot ' * number}stroke", metadata={"year": number})
    for number in range(6)
]


class Counting(Retriever):
    """BM25 that notes what it is asked."""

    def __init__(self, documents: Sequence[Document]) -> None:
        super().__init__(top_k=2)
        self._bm25 = BM25Retriever(documents)
        self._asked: list[tuple[str, int]] = []

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        self._asked.extend((question, k) for question in questions)
        return self._bm25._search(questions, k)


def remembered(
    path: Path, documents: Sequence[Document] = DOCUMENTS, kind: str = "bm25"
) -> tuple[CachedRetriever, Counting]:
    inner = Counting(documents)
    return CachedRetriever(inner, documents, ResultCache(path), identity={"kind": kind}, depth=4), inner


def shown(found: list[list[Document]]) -> list[list[tuple[str | None, float, str, int]]]:
    return [[(d.id, d.metadata["score"], d.page_content, d.metadata["year"]) for d in one] for one in found]


def test_it_finds_what_the_retriever_finds_and_asks_it_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    questions = ["clot", "stroke clot", "unknown"]
    plain = BM25Retriever(DOCUMENTS)
    first, inner = remembered(path)
    assert shown(first.search(questions, 3)) == shown(plain.search(questions, 3))
    assert first.reused == 0
    assert shown(first.search(questions, 4)) == shown(plain.search(questions, 4))
    assert first.reused == 3
    assert inner._asked == [(question, 4) for question in questions]
    later, unasked = remembered(path)
    assert shown(later.search([*questions, "heparin"], 1)) == shown(plain.search([*questions, "heparin"], 1))
    assert (later.reused, unasked._asked) == (3, [("heparin", 4)])
    assert later.top_k == 2


def test_a_deeper_search_is_another(tmp_path: Path) -> None:
    retriever, inner = remembered(tmp_path / "journal.jsonl")
    retriever.search(["clot"], 2)
    assert len(retriever.search(["clot"], 5)[0]) == 5
    assert inner._asked == [("clot", 4), ("clot", 5)]


@pytest.mark.parametrize("changed", ["text", "corpus", "identity"])
def test_findings_of_other_texts_or_settings_are_never_served(tmp_path: Path, changed: str) -> None:
    path = tmp_path / "journal.jsonl"
    remembered(path)[0].search(["clot"], 2)
    documents = list(DOCUMENTS)
    if changed == "text":
        documents[0] = Document(id="d0", page_content="clot", metadata={"year": 0})
    elif changed == "corpus":
        documents = documents[1:]
    retriever, inner = remembered(path, documents, "other" if changed == "identity" else "bm25")
    found = retriever.search(["clot"], 2)
    assert retriever.reused == 0
    assert inner._asked == [("clot", 4)]
    assert shown(found) == shown(BM25Retriever(documents).search(["clot"], 2))


def test_questions_are_checked_as_by_any_retriever(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="empty"):
        remembered(tmp_path / "journal.jsonl")[0].search([" "], 2)


def test_other_metadata_count_where_a_filter_looks_at_them(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    changed = [one.model_copy(update={"metadata": {"year": 1}}) for one in DOCUMENTS]
    for identity, reused in (
        ({"kind": "bm25"}, 1),
        ({"kind": "filter", "builds_on": {"a": {"kind": "bm25"}}}, 0),
        ({"kind": "hybrid", "builds_on": {"a": {"kind": "bm25"}, "b": {"kind": "filter"}}}, 0),
    ):
        for documents, expected in ((DOCUMENTS, 0), (changed, reused)):
            inner = Counting(documents)
            retriever = CachedRetriever(inner, documents, ResultCache(path), identity=identity, depth=4)
            retriever.search(["clot"], 1)
            assert retriever.reused == expected
