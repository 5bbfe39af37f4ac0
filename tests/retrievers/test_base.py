"""The retriever contract, tested for each kind of retriever."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from embedders import WordEmbedder
from langchain_core.documents import Document
from langchain_core.runnables import (
    ConfigurableField,
    ConfigurableFieldMultiOption,
    ConfigurableFieldSingleOption,
    RunnableLambda,
)
from retriever_contract import MakeRetriever, RetrieverContract
from word_reranker import WordReranker

from common.errors import UserError
from retrievers import make_retrievers
from retrievers.base import Hit, Retriever, encodable
from retrievers.config import EmbedderConfig, RetrieverConfig, StoreConfig
from retrievers.kinds.bm25 import BM25Config, BM25Retriever
from retrievers.kinds.dense import DenseConfig
from retrievers.kinds.filtered import FilterConfig
from retrievers.kinds.hybrid import HybridConfig
from retrievers.kinds.mmr import MMRConfig
from retrievers.kinds.multi_query import MultiQueryConfig, RewriteRequest
from retrievers.kinds.parent import ParentConfig
from retrievers.kinds.rerank import RerankConfig

# kinds/test_pubmed.py tests the kind pubmed, which searches no corpus.
CONFIGS: dict[str, RetrieverConfig] = {
    "bm25": BM25Config(top_k=3),
    "dense-minilm": DenseConfig(top_k=3),
    "dense-words": DenseConfig(embedder="words", top_k=3),
    "parent-sentence": ParentConfig(embedder="words", top_k=3),
    "parent-section": ParentConfig(parts="section", embedder="words", top_k=3),
    "hybrid-zscore": HybridConfig(retrievers={"dense-words": 0.5, "bm25": 0.5}, top_k=3),
    "hybrid-minmax": HybridConfig(retrievers={"bm25": 0.3, "dense-minilm": 0.7}, fusion="minmax", top_k=3),
    "hybrid-rrf": HybridConfig(retrievers={"dense-words": 1, "bm25": 1}, fusion="rrf", top_k=3),
    "hybrid-of-hybrids": HybridConfig(retrievers={"hybrid-zscore": 1, "parent-section": 1}, candidates=2, top_k=3),
    "mmr": MMRConfig(retriever="dense-words", embedder="words", top_k=3),
    "mmr-of-hybrid": MMRConfig(retriever="hybrid-rrf", embedder="words", candidates=2, top_k=3),
    "multi_query": MultiQueryConfig(retriever="dense-words", top_k=3),
    "rerank": RerankConfig(retriever="dense-words", model="words", top_k=3),
    "filter": FilterConfig(retriever="dense-words", min_score=-1, top_k=3),
}


def rewrite(request: RewriteRequest) -> list[str]:
    """Another wording, and two that the retriever must ignore: an empty one and the question itself."""
    return [request["question"].replace("lower", "reduce"), "", request["question"]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StoreConfig:
    return StoreConfig(path=str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def retrievers() -> dict[tuple[str, str], Retriever]:
    """Cache of retrievers by name and corpus, since no test changes a retriever."""
    return {}


class TestKinds(RetrieverContract):
    @pytest.fixture(params=CONFIGS)
    def make(
        self,
        request: pytest.FixtureRequest,
        store: StoreConfig,
        retrievers: dict[tuple[str, str], Retriever],
        monkeypatch: pytest.MonkeyPatch,
    ) -> MakeRetriever:
        monkeypatch.setattr("retrievers.kinds.rerank.load_reranker", WordReranker)

        def make_cached(documents: Sequence[Document]) -> Retriever:
            corpus = str(hash(repr(documents)))  # one name per content
            key = (request.param, corpus)
            if key not in retrievers:
                retrievers[key] = make_retrievers(
                    CONFIGS,
                    [request.param],
                    documents,
                    corpus=corpus,
                    embedders={"minilm": EmbedderConfig(), "words": WordEmbedder()},
                    store=store,
                    rewriter=RunnableLambda(rewrite),
                    quiet=True,
                )[request.param]
            return retrievers[key]

        return make_cached


@pytest.mark.parametrize("score", [math.nan, -math.inf, "0.5", None])
def test_score_that_is_no_finite_number_is_refused(score: Any) -> None:
    class ScoringRetriever(Retriever):
        def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
            return [[Hit(Document(id="a", page_content="x"), score), Hit(Document(id="b", page_content="y"), 1.0)]]

    with pytest.raises(UserError, match=r"ScoringRetriever gave document 'a' the score .*finite numbers"):
        ScoringRetriever().invoke("Does aspirin help?")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (ConfigurableField("chosen"), ["emergency"]),
        (ConfigurableFieldSingleOption("chosen", {"e": ["emergency"], "w": ["ward"]}, default="w"), "e"),
        (ConfigurableFieldMultiOption("chosen", {"e": "emergency", "w": "ward"}, default=["w"]), ["e"]),
    ],
    ids=["value", "single-option", "multi-option"],
)
def test_tags_are_a_configurable_field_with_values_or_options(field: Any, value: object) -> None:
    retriever = BM25Retriever([Document("Aspirin helped.")]).configurable_fields(tags=field)
    changed: Any = retriever.prepare({"configurable": {"chosen": value}})[0]
    assert changed.tags == ["emergency"]
    assert changed.invoke("aspirin") == retriever.invoke("aspirin")


def test_configurable_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        BM25Retriever([]).configurable_fields(limit=ConfigurableField("limit"))


def test_encodable_replaces_only_lone_surrogates() -> None:
    assert encodable("naïve 脳 🩺 \x00") == "naïve 脳 🩺 \x00"
    assert encodable("a\ud800b") == "a?b"
