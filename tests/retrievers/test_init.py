"""The factory, and what importing this room costs."""

import subprocess
import sys
from pathlib import Path

import pytest
from embedders import WordEmbedder
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from common.errors import UserError
from retrievers import make_retriever, make_retrievers
from retrievers.config import RetrieverConfig, StoreConfig
from retrievers.kinds.bm25 import BM25Config, BM25Retriever
from retrievers.kinds.dense import DenseConfig, DenseRetriever
from retrievers.kinds.filtered import FilterConfig
from retrievers.kinds.hybrid import HybridConfig, HybridRetriever
from retrievers.kinds.multi_query import MultiQueryConfig
from retrievers.kinds.pubmed import PubMedConfig


def test_the_kind_decides(tmp_path: Path) -> None:
    store = StoreConfig(path=str(tmp_path / "store"))
    embedders = {"own": WordEmbedder()}
    dense = make_retriever(
        DenseConfig(embedder="own", top_k=7), [], corpus="c", embedders=embedders, store=store, quiet=True
    )
    assert isinstance(dense, DenseRetriever)
    assert dense.top_k == 7
    lexical = make_retriever(BM25Config(top_k=2), [], corpus="c", embedders={}, store=store, quiet=True)
    assert isinstance(lexical, BM25Retriever)
    assert lexical.top_k == 2


def test_an_unknown_embedder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no embedder 'minilm'; the settings name: big, own"):
        make_retriever(
            DenseConfig(),
            [],
            corpus="c",
            embedders={"own": WordEmbedder(), "big": WordEmbedder()},
            store=StoreConfig(path=str(tmp_path)),
        )


def made(configs: dict[str, RetrieverConfig], *names: str) -> dict[str, object]:
    return dict(make_retrievers(configs, names, [], corpus="c", embedders={}, store=StoreConfig()))


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_others_build_on_is_made_once_and_first() -> None:
    words = BM25Config()
    configs: dict[str, RetrieverConfig] = {
        "top": HybridConfig(retrievers={"filtered": 1, "words": 1}),
        "filtered": FilterConfig(retriever="words"),
        "words": words,
    }
    found = made(configs, "top", "words")
    assert list(found) == ["top", "words"]
    top = found["top"]
    assert isinstance(top, HybridRetriever)
    assert top._retrievers[1] is found["words"]
    assert top._retrievers[0]._retriever is found["words"]  # type: ignore[attr-defined]


def test_a_circle_is_refused() -> None:
    configs: dict[str, RetrieverConfig] = {
        "a": FilterConfig(retriever="b"),
        "b": HybridConfig(retrievers={"c": 1, "a": 1}),
        "c": BM25Config(),
    }
    with pytest.raises(UserError, match="in a circle: a -> b -> a"):
        made(configs, "c")


def test_a_retriever_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="no retriever 'nope'; the settings name: a"):
        made({"a": FilterConfig(retriever="nope")}, "a")


def test_rewriting_needs_a_model() -> None:
    with pytest.raises(UserError, match="multi_query needs a language model"):
        made({"a": BM25Config(), "b": MultiQueryConfig(retriever="a")}, "b")


def test_importing_the_settings_loads_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "chromadb", "sentence_transformers", "bm25s", "scipy", "sklearn"]
    code = f"import sys, retrievers, retrievers.config; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert found.stdout.strip() == "[]"


def test_a_filter_by_what_no_document_has_is_refused_unless_it_searches_elsewhere() -> None:
    configs: dict[str, RetrieverConfig] = {
        "words": BM25Config(),
        "old": FilterConfig(retriever="words", year_to=2000),
        "online": PubMedConfig(),
        "both": HybridConfig(retrievers={"online": 1, "words": 1}),
        "new": FilterConfig(retriever="both", year_from=2000),
    }

    def make(name: str) -> None:
        documents = [Document(id="a", page_content="aspirin")]
        make_retrievers(configs, [name], documents, corpus="c", embedders={}, store=StoreConfig())

    with pytest.raises(UserError, match="needs year, but none of the 1 passages has it"):
        make("old")
    make("new")


class Own(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
        return []


def test_what_cannot_be_built_on_or_embedded_with_is_refused(tmp_path: Path) -> None:
    store = StoreConfig(path=str(tmp_path))
    others = {"own": Own()}
    with pytest.raises(UserError, match="Retriever 'own' is a Own; a retriever builds on"):
        make_retriever(FilterConfig(retriever="own"), [], corpus="c", embedders={}, store=store, others=others)  # type: ignore[arg-type]
    for embedder, said in ((WordEmbedder, "the class WordEmbedder"), ("own", "a str")):
        with pytest.raises(UserError, match=f"Embedder 'own' must be .* it is {said}"):
            make_retriever(DenseConfig(embedder="own"), [], corpus="c", embedders={"own": embedder}, store=store)  # type: ignore[dict-item]
