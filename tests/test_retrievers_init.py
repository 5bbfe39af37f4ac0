"""The factory, and what importing this room costs."""

import subprocess
import sys
from pathlib import Path

import pytest
from embedders import WordEmbedder

from corpus.errors import UserError
from retrievers import make_retriever
from retrievers.bm25 import BM25Retriever
from retrievers.config import BM25Config, DenseConfig, StoreConfig
from retrievers.dense import DenseRetriever


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


def test_importing_the_settings_loads_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "chromadb", "sentence_transformers", "langchain_core", "numpy", "bm25s"]
    code = f"import sys, retrievers, retrievers.config; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert found.stdout.strip() == "[]"
