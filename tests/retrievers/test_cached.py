from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from langchain_core.documents import Document

from common.result_cache import ResultCache
from retrievers.base import Hit, Retriever
from retrievers.cached import CachedRetriever
from retrievers.kinds.bm25 import BM25Retriever

DOCUMENTS = [
    Document(id=f"d{number}", page_content=f"heparin {'clot ' * number}stroke", metadata={"year": number})
    for number in range(6)
]


class RecordingRetriever(Retriever):
    """BM25 that records its searches, as questions and depths."""

    def __init__(self, documents: Sequence[Document]) -> None:
        super().__init__(top_k=2)
        self._bm25 = BM25Retriever(documents)
        self._searches: list[tuple[str, int]] = []

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        self._searches.extend((question, k) for question in questions)
        return self._bm25._search(questions, k)


@pytest.fixture
def cache_file(tmp_path: Path) -> Path:
    return tmp_path / "cache.jsonl"


def make_cached(
    cache_file: Path, documents: Sequence[Document] = DOCUMENTS, identity: Mapping[str, Any] = MappingProxyType({})
) -> tuple[CachedRetriever, RecordingRetriever]:
    inner = RecordingRetriever(documents)
    return CachedRetriever(inner, documents, ResultCache(cache_file), identity=identity, depth=4), inner


def test_cached_results_equal_searched_ones_and_each_question_is_searched_for_once(cache_file: Path) -> None:
    questions = ["clot", "stroke clot", "unknown"]
    bm25 = BM25Retriever(DOCUMENTS)
    retriever, inner = make_cached(cache_file)
    assert retriever.search(questions, 3) == bm25.search(questions, 3)
    assert retriever.reused == 0
    assert retriever.search(questions, 4) == bm25.search(questions, 4)
    assert retriever.reused == 3
    assert inner._searches == [(question, 4) for question in questions]
    reopened, inner = make_cached(cache_file)
    assert reopened.search([*questions, "heparin"], 1) == bm25.search([*questions, "heparin"], 1)
    assert (reopened.reused, inner._searches) == (3, [("heparin", 4)])
    assert reopened.top_k == 2


def test_documents_without_ids_are_found(cache_file: Path) -> None:
    documents = [Document(page_content=document.page_content) for document in DOCUMENTS]
    retriever, _ = make_cached(cache_file, documents)
    assert retriever.search(["clot"], 3) == BM25Retriever(documents).search(["clot"], 3)


def test_a_search_deeper_than_the_cached_one_is_repeated(cache_file: Path) -> None:
    retriever, inner = make_cached(cache_file)
    retriever.search(["clot"], 2)
    assert len(retriever.search(["clot"], 5)[0]) == 5
    assert inner._searches == [("clot", 4), ("clot", 5)]


@pytest.mark.parametrize("changed", ["text", "corpus", "identity"])
def test_results_of_another_text_corpus_or_identity_are_not_reused(cache_file: Path, changed: str) -> None:
    make_cached(cache_file)[0].search(["clot"], 2)
    documents = list(DOCUMENTS)
    if changed == "text":
        documents[0] = Document(id="d0", page_content="clot", metadata={"year": 0})
    elif changed == "corpus":
        documents = documents[1:]
    retriever, inner = make_cached(cache_file, documents, {"kind": "other"} if changed == "identity" else {})
    results = retriever.search(["clot"], 2)
    assert retriever.reused == 0
    assert inner._searches == [("clot", 4)]
    assert results == BM25Retriever(documents).search(["clot"], 2)


@pytest.mark.parametrize(
    ("identity", "reused"),  # the number of reused results
    [
        ({"kind": "bm25"}, 1),
        ({"kind": "filter", "builds_on": {"a": {"kind": "bm25"}}}, 0),
        ({"kind": "hybrid", "builds_on": {"a": {"kind": "bm25"}, "b": {"kind": "filter"}}}, 0),
    ],
)
def test_results_for_other_metadata_are_reused_unless_a_filter_uses_metadata(
    cache_file: Path, identity: dict[str, Any], reused: int
) -> None:
    make_cached(cache_file, identity=identity)[0].search(["clot"], 1)
    changed = [document.model_copy(update={"metadata": {"year": 1}}) for document in DOCUMENTS]
    retriever, _ = make_cached(cache_file, changed, identity)
    retriever.search(["clot"], 1)
    assert retriever.reused == reused
