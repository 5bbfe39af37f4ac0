"""The contract that every retriever keeps, run on each of them."""

from collections.abc import Sequence

import pytest
from embedders import WordEmbedder
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from retriever_contract import Make, RetrieverContract
from word_reranker import WordReranker

from retrievers import make_retrievers
from retrievers.base import Retriever, encodable
from retrievers.config import EmbedderConfig, RetrieverConfig, StoreConfig
from retrievers.kinds.bm25 import BM25Config
from retrievers.kinds.dense import DenseConfig
from retrievers.kinds.filtered import FilterConfig
from retrievers.kinds.hybrid import HybridConfig
from retrievers.kinds.mmr import MMRConfig
from retrievers.kinds.multi_query import MultiQueryConfig, RewriteRequest
from retrievers.kinds.parent import ParentConfig
from retrievers.kinds.rerank import RerankConfig

# pubmed, which searches no corpus of ours, is held to what applies to it in its own test file.
KINDS: dict[str, RetrieverConfig] = {
    "bm25": BM25Config(top_k=3),
    "dense-packaged": DenseConfig(top_k=3),
    "dense-own": DenseConfig(embedder="own", top_k=3),
    "parent-sentence": ParentConfig(embedder="own", top_k=3),
    "parent-section": ParentConfig(parts="section", embedder="own", top_k=3),
    "hybrid-zscore": HybridConfig(retrievers={"dense-own": 0.5, "bm25": 0.5}, top_k=3),
    "hybrid-minmax": HybridConfig(retrievers={"bm25": 0.3, "dense-packaged": 0.7}, fusion="minmax", top_k=3),
    "hybrid-rrf": HybridConfig(retrievers={"dense-own": 1, "bm25": 1}, fusion="rrf", top_k=3),
    "hybrid-of-hybrids": HybridConfig(retrievers={"hybrid-zscore": 1, "parent-section": 1}, candidates=2, top_k=3),
    "mmr": MMRConfig(retriever="dense-own", embedder="own", top_k=3),
    "mmr-of-bm25-in-short": MMRConfig(retriever="hybrid-rrf", embedder="own", candidates=2, top_k=3),
    "multi_query": MultiQueryConfig(retriever="dense-own", top_k=3),
    "rerank": RerankConfig(retriever="dense-own", model="words", top_k=3),
    "filter": FilterConfig(retriever="dense-own", min_score=-1, top_k=3),
}


def other_wordings(asked: RewriteRequest) -> list[str]:
    return [asked["question"].replace("lower", "reduce"), "", asked["question"]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StoreConfig:
    return StoreConfig(path=str(tmp_path_factory.mktemp("store")))


@pytest.fixture(scope="module")
def built() -> dict[tuple[str, str], Retriever]:
    """Retrievers by their kind and corpus: no test changes one."""
    return {}


class TestKinds(RetrieverContract):
    @pytest.fixture(params=KINDS)
    def make(
        self,
        request: pytest.FixtureRequest,
        store: StoreConfig,
        built: dict[tuple[str, str], Retriever],
        monkeypatch: pytest.MonkeyPatch,
    ) -> Make:
        monkeypatch.setattr("retrievers.kinds.rerank.load_reranker", WordReranker)

        def build(documents: Sequence[Document]) -> Retriever:
            corpus = f"of {len(documents)}, {hash(tuple((one.id, one.page_content) for one in documents))}"
            key = (request.param, corpus)
            if key not in built:
                made = make_retrievers(
                    KINDS,
                    [request.param],
                    documents,
                    corpus=corpus,
                    embedders={"minilm": EmbedderConfig(), "own": WordEmbedder()},
                    store=store,
                    rewriter=RunnableLambda(other_wordings),
                    quiet=True,
                )
                built[key] = made[request.param]
            return built[key]

        return build


def test_encodable_keeps_every_real_character() -> None:
    assert encodable("naïve 脳 🩺 \x00") == "naïve 脳 🩺 \x00"
    assert encodable("a\ud800b") == "a?b"
