"""A store that version 0.1.0 wrote can be searched as it is and updated by ``medground index``."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retrievers.embedders.minilm import MiniLMEmbedder

# Two files and their store, written with MiniLM in float32: Chroma's collection and documents.sqlite3, no BM25 index.
ARCHIVE = Path(__file__).with_name("data") / "store_0_1_0.tar.xz"
SETTINGS = ("--set=store.path=store", "--set=embedders.minilm.dtype=float32", "--quiet")


@pytest.fixture
def run(command: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """Run a command over the old store; returns its output."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")

    def run(*arguments: str) -> str:
        outcome = command(*arguments, *SETTINGS)
        assert outcome.status == 0, outcome.err
        return str(outcome.out)

    return run


def best_id(run: Callable[..., str], retriever: str, question: str) -> str:
    (best, *_) = json.loads(run("retrieve", question, "--json", f"--set=retriever={retriever}"))["passages"]
    return str(best["id"])


def test_old_store_is_searched_without_new_embeddings(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the passages are embedded again")

    with monkeypatch.context() as patched:
        patched.setattr(MiniLMEmbedder, "embed_documents", fail)
        for retriever in ("dense", "bm25"):
            assert best_id(run, retriever, "aspirin and stroke") == "docs/a.txt#1"
            assert best_id(run, retriever, "metformin and glucose") == "docs/b.txt#1"
    answer = json.loads(run("ask", "Does aspirin lower the risk of stroke?", "--json"))
    assert answer["citations"][0]["quote"].startswith("Aspirin lowers the risk of stroke")


def test_index_updates_an_old_store(run: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "docs/a.txt").unlink()
    (tmp_path / "docs/c.txt").write_text("The measles vaccine was safe in children.")
    assert "2 passages of documents are ready" in run("index", "docs")
    for retriever in ("dense", "bm25"):
        assert best_id(run, retriever, "measles vaccine") == "docs/c.txt#1"
        assert best_id(run, retriever, "metformin and glucose") == "docs/b.txt#1"
        assert best_id(run, retriever, "aspirin, metformin") == "docs/b.txt#1"  # a.txt is gone
