"""LangChain's standard tests for each kind of retriever and the vector store, and the contract for each embedder."""

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

# Settings by kind; a retriever's name is its kind.
SETTINGS: dict[str, dict[str, Any]] = {
    "bm25": {},
    "dense": {"embedder": "words"},
    "parent": {"embedder": "words"},
    "hybrid": {"retrievers": {"dense": 0.5, "bm25": 0.5}},
    "mmr": {"retriever": "dense", "embedder": "words"},
    "multi_query": {"retriever": "dense"},
    "rerank": {"retriever": "dense", "model": "words"},
    "filter": {"retriever": "dense", "min_score": -1},
    "pubmed": {},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def pubmed_url() -> Iterator[str]:
    with StubPubMed({str(n): {"title": "t", "text": text} for n, text in enumerate(TEXTS.values())}).running() as url:
        yield url


def test_settings_cover_every_kind() -> None:
    assert sorted(SETTINGS) == sorted(KINDS)


@pytest.mark.parametrize("kind", SETTINGS, scope="class")
class TestRetriever(RetrieversIntegrationTests):
    """LangChain's tests pass ``k`` to ``invoke`` or to the constructor, where it is the setting ``top_k``."""

    @pytest.fixture(autouse=True)
    def _set_constructor(self, kind: str, folder: Path, pubmed_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("retrievers.kinds.rerank.load_reranker", WordReranker)

        def make(k: int = 5) -> Retriever:
            all_settings = {**SETTINGS, "pubmed": {"url": pubmed_url}}
            all_settings[kind] = {**all_settings[kind], "top_k": k}
            configs = {
                name: config_class({"kind": name}).model_validate({"kind": name, **settings})
                for name, settings in all_settings.items()
            }
            return make_retrievers(
                configs,
                [kind],
                DOCUMENTS,
                corpus="five",
                embedders={"words": WordEmbedder()},
                store=StoreConfig(path=str(folder)),
                rewriter=RunnableLambda(lambda request: [request["question"]]),
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
    """LangChain's tests of vector stores for ``Store.vectors``, with their embedder."""

    @pytest.fixture
    def vectorstore(self, folder: Path) -> Iterator[VectorStore]:  # type: ignore[override]
        store = open_store(StoreConfig(path=str(folder)), "standard", self.get_embeddings())
        yield store.vectors
        store.collection.delete(ids=store.collection.get(include=[])["ids"] or ["none"])  # Chroma rejects an empty list


EMBEDDERS: dict[str, Callable[[Path], Embeddings]] = {
    "minilm-float32": lambda _: make_embedder(EmbedderConfig(dtype="float32")),
    "minilm-bfloat16": lambda _: make_embedder(EmbedderConfig(dtype="bfloat16")),
    "sentence-transformers": lambda folder: make_embedder(
        EmbedderConfig(model=str(save_tiny_embedder(folder)), dtype="float32")
    ),
    "sentence-transformers-with-prompts": lambda folder: make_embedder(
        EmbedderConfig(
            model=str(save_tiny_embedder(folder)), dtype="float32", query_prompt="query ", passage_prompt="passage "
        )
    ),
    "user-defined": lambda _: WordEmbedder(),
}


@pytest.fixture(params=EMBEDDERS, scope="module")
def embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Embeddings:
    return EMBEDDERS[request.param](tmp_path_factory.mktemp("embedder"))


class TestEmbedder(EmbedderContract):
    """The embedder contract, which includes LangChain's standard tests, for each embedder of ``EMBEDDERS``."""
