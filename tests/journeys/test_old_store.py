"""A store that version 0.1.0 wrote: searched as it is, and brought up to date by ``medground index``."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retrievers.embedders.minilm import MiniLMEmbedder

# Two files, indexed by 0.1.0 with MiniLM in float32: Chroma's collection and documents.sqlite3; it stored no BM25.
PACKED = Path(__file__).with_name("data") / "store_0_1_0.tar.xz"
SETTINGS = ("--set=store.path=store", "--set=embedders.minilm.dtype=float32", "--quiet")


@pytest.fixture
def run(command: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    with tarfile.open(PACKED) as packed:
        packed.extractall(tmp_path, filter="data")

    def run(*arguments: str) -> str:
        done = command(*arguments, *SETTINGS)
        assert done.status == 0, done.err
        return str(done.out)

    return run


def found(run: Callable[..., str], retriever: str, question: str) -> str:
    (best, *_) = json.loads(run("retrieve", question, "--json", f"--set=retriever={retriever}"))["passages"]
    return str(best["id"])


def test_it_is_searched_without_embedding_it_again(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(*_: object) -> None:
        raise AssertionError("the passages are embedded again")

    monkeypatch.setattr(MiniLMEmbedder, "embed_documents", embed)
    for retriever in ("dense", "bm25"):
        assert found(run, retriever, "aspirin and stroke") == "docs/a.txt#1"
        assert found(run, retriever, "metformin and glucose") == "docs/b.txt#1"
    answer = json.loads(run("ask", "Does aspirin lower the risk of stroke?", "--json"))
    assert answer["citations"][0]["quote"].startswith("Aspirin lowers the risk of stroke")


def test_index_brings_it_up_to_date(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "docs/a.txt").unlink()
    (tmp_path / "docs/c.txt").write_text("The measles vaccine was safe in children.")
    assert "2 passages of documents are ready" in run("index", "docs")
    for retriever in ("dense", "bm25"):
        assert found(run, retriever, "measles vaccine") == "docs/c.txt#1"
        assert found(run, retriever, "metformin and glucose") == "docs/b.txt#1"
        assert found(run, retriever, "aspirin, metformin") == "docs/b.txt#1"
