"""Making retrievers from settings, and the imports of this package."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from embedders import WordEmbedder
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from common.errors import UserError
from retrievers import make_retriever, make_retrievers
from retrievers.base import Retriever
from retrievers.config import EmbedderConfig, RetrieverConfig, StoreConfig
from retrievers.kinds.bm25 import BM25Config
from retrievers.kinds.dense import DenseConfig
from retrievers.kinds.filtered import FilterConfig
from retrievers.kinds.hybrid import HybridConfig
from retrievers.kinds.multi_query import MultiQueryConfig
from retrievers.kinds.pubmed import PubMedConfig


@pytest.fixture(autouse=True)
def _run_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the default store is in the current folder


def make_all(configs: dict[str, RetrieverConfig], *names: str, documents: Sequence[Document] = ()) -> dict[str, Any]:
    return dict(make_retrievers(configs, names, documents, corpus="c", embedders={}, store=StoreConfig()))


def make_one(config: RetrieverConfig, embedders: Mapping[str, Any] | None = None, **arguments: Any) -> Retriever:
    return make_retriever(config, [], corpus="c", embedders=embedders or {}, store=StoreConfig(), **arguments)


@pytest.mark.parametrize("config", [BM25Config(), DenseConfig(embedder="words")])
def test_documents_that_can_be_read_only_once_are_refused(config: RetrieverConfig) -> None:
    documents: Any = (Document(page_content=text) for text in ("aspirin", "metformin"))
    with pytest.raises(UserError, match="more than once; this is a generator"):
        make_retriever(config, documents, corpus="c", embedders={"words": WordEmbedder()}, store=StoreConfig())


def test_settings_of_an_embedder_class_can_be_constructed_pickled_and_copied() -> None:
    config: Any = EmbedderConfig(model="embedders.WordEmbedder", query_prompt="q: ")
    assert config == EmbedderConfig.model_validate({"model": "embedders.WordEmbedder", "query_prompt": "q: "})
    assert config.arguments == {"query_prompt": "q: "}
    assert pickle.loads(pickle.dumps(config)) == copy.deepcopy(config) == config


def test_an_unknown_embedder_is_reported_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="no embedder 'minilm'; the settings name: big, words"):
        make_one(DenseConfig(), {"words": WordEmbedder(), "big": WordEmbedder()})


def test_a_retriever_that_several_others_build_on_is_made_once() -> None:
    configs: dict[str, RetrieverConfig] = {
        "hybrid": HybridConfig(retrievers={"filtered": 1, "words": 1}),
        "filtered": FilterConfig(retriever="words"),
        "words": BM25Config(),
    }
    retrievers = make_all(configs, "hybrid", "words")
    assert list(retrievers) == ["hybrid", "words"]
    filtered, words = retrievers["hybrid"].inner()
    assert words is retrievers["words"]
    assert filtered.inner() == (words,)


def test_a_cycle_is_rejected() -> None:
    configs: dict[str, RetrieverConfig] = {
        "a": FilterConfig(retriever="b"),
        "b": HybridConfig(retrievers={"c": 1, "a": 1}),
        "c": BM25Config(),
    }
    with pytest.raises(UserError, match="in a circle: a -> b -> a"):
        make_all(configs, "c")


def test_an_unknown_retriever_is_reported_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="no retriever 'missing'; the settings name: a"):
        make_all({"a": FilterConfig(retriever="missing")}, "a")


def test_multi_query_without_a_language_model_is_rejected() -> None:
    with pytest.raises(UserError, match="multi_query needs a language model"):
        make_all({"a": BM25Config(), "b": MultiQueryConfig(retriever="a")}, "b")


def test_importing_the_settings_imports_no_heavy_library() -> None:
    # The service sets the number of threads after it has read the settings; numpy takes it at its import.
    heavy = ["torch", "transformers", "chromadb", "sentence_transformers", "bm25s", "scipy", "sklearn", "numpy"]
    code = f"import sys, retrievers.kinds.bm25, retrievers.kinds.dense; print([n for n in {heavy} if n in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout.strip() == "[]"


def test_a_filter_by_metadata_that_no_document_has_is_rejected_unless_it_builds_on_an_online_search() -> None:
    configs: dict[str, RetrieverConfig] = {
        "words": BM25Config(),
        "filtered": FilterConfig(retriever="words", year_to=2000),
        "online": PubMedConfig(),
        "hybrid": HybridConfig(retrievers={"online": 1, "words": 1}),
        "filtered_online": FilterConfig(retriever="hybrid", year_from=2000),
    }
    documents = [Document(id="a", page_content="aspirin")]
    with pytest.raises(UserError, match="needs year, but none of the 1 passages has it"):
        make_all(configs, "filtered", documents=documents)
    make_all(configs, "filtered_online", documents=documents)


class UnscoredRetriever(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
        return []


def test_a_retriever_cannot_build_on_a_retriever_of_another_class() -> None:
    with pytest.raises(UserError, match="Retriever 'inner' is a UnscoredRetriever; a retriever builds on"):
        make_one(FilterConfig(retriever="inner"), others={"inner": UnscoredRetriever()})


@pytest.mark.parametrize(("embedder", "actual"), [(WordEmbedder, "the class WordEmbedder"), ("words", "a str")])
def test_an_embedder_that_is_no_embeddings_object_is_rejected(embedder: object, actual: str) -> None:
    with pytest.raises(UserError, match=f"Embedder 'words' must be .* it is {actual}"):
        make_one(DenseConfig(embedder="words"), {"words": embedder})
