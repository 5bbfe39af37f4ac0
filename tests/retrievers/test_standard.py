"""LangChain's standard tests of retrievers and vector stores, and the contract of embedders, for each of ours."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from embedder_contract import EmbedderContract
from embedders import WordEmbedder, save_tiny_embedder
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests, VectorStoreIntegrationTests
from retriever_contract import DOCUMENTS, TEXTS
from stub_pubmed import StubPubMed
from word_reranker import WordReranker

from retrievers import make_retrievers
from retrievers.base import Retriever
from retrievers.config import EmbedderConfig, StoreConfig
from retrievers.embedders import make_embedder
from retrievers.registry import KINDS, config_class
from retrievers.store import open_store

# The settings of a retriever of each kind, and of those that they build on.
SETTINGS: dict[str, dict[str, Any]] = {
    "bm25": {},
    "dense": {"embedder": "own"},
    "parent": {"embedder": "own"},
    "hybrid": {"retrievers": {"dense": 0.5, "bm25": 0.5}},
    "mmr": {"retriever": "dense", "embedder": "own"},
    "multi_query": {"retriever": "dense"},
    "rerank": {"retriever": "dense", "model": "words"},
    "filter": {"retriever": "dense", "min_score": -1},
    "pubmed": {},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def pubmed() -> Iterator[str]:
    with StubPubMed({str(n): {"title": "t", "text": text} for n, text in enumerate(TEXTS.values())}).running() as url:
        yield url


def test_every_kind_is_here() -> None:
    assert sorted(SETTINGS) == sorted(KINDS)


@pytest.mark.parametrize("kind", SETTINGS, scope="class")
class TestRetriever(RetrieversIntegrationTests):
    """``top_k`` in the settings is LangChain's ``k`` of the constructor; ``invoke`` takes ``k`` as it is."""

    @pytest.fixture(autouse=True)
    def _make(self, kind: str, folder: Path, pubmed: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("retrievers.kinds.rerank.load_reranker", WordReranker)
        stated = {**SETTINGS, "pubmed": {"url": pubmed}}

        def make(k: int = 5) -> Retriever:
            configs = {
                name: config_class({"kind": name}).model_validate(
                    {"kind": name, **one, **({"top_k": k} if name == kind else {})}
                )
                for name, one in stated.items()
            }
            return make_retrievers(
                configs,
                [kind],
                DOCUMENTS,
                corpus="five",
                embedders={"own": WordEmbedder()},
                store=StoreConfig(path=str(folder)),
                rewriter=RunnableLambda(lambda asked: [asked["question"]]),
                quiet=True,
            )[kind]

        self.make = make

    @property
    def retriever_constructor(self) -> Callable[..., Retriever]:  # type: ignore[override]
        return self.make

    @property
    def retriever_query_example(self) -> str:
        return "aspirin statin blood pressure children therapy surgery"


class TestStore(VectorStoreIntegrationTests):
    """The collection as LangChain sees it, under its embedder."""

    @pytest.fixture
    def vectorstore(self, folder: Path) -> Iterator[VectorStore]:  # type: ignore[override]
        store = open_store(StoreConfig(path=str(folder)), "standard", self.get_embeddings())
        yield store.vectors
        store.collection.delete(ids=store.collection.get(include=[])["ids"] or ["none"])


EMBEDDERS: dict[str, Callable[[Path], Embeddings]] = {
    "packaged": lambda _: make_embedder(EmbedderConfig(dtype="float32")),
    "packaged, bfloat16": lambda _: make_embedder(EmbedderConfig(dtype="bfloat16")),
    "sentence-transformers": lambda folder: make_embedder(
        EmbedderConfig(model=str(save_tiny_embedder(folder)), dtype="float32")
    ),
    "sentence-transformers with prompts": lambda folder: make_embedder(
        EmbedderConfig(
            model=str(save_tiny_embedder(folder)), dtype="float32", query_prompt="query ", passage_prompt="passage "
        )
    ),
    "object": lambda _: WordEmbedder(),
}


@pytest.fixture(params=EMBEDDERS, scope="module")
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Embeddings:
    return EMBEDDERS[request.param](tmp_path_factory.mktemp("embedder"))


class TestEmbedder(EmbedderContract):
    """LangChain's tests and this project's."""
