"""A retriever and an embedder of the user's, from a file of theirs, by settings alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MINE = '''
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever


class Letters(Embeddings):
    """Counts letters."""

    def __init__(self, size: int) -> None:
        self.size = size

    def embed_query(self, text: str) -> list[float]:
        vector = [0.0] * self.size
        for letter in text.lower():
            vector[ord(letter) % self.size] += 1.0
        return vector

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


class Fixed(BaseRetriever):
    """Finds the same text whatever is asked."""

    text: str

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(page_content=self.text, metadata={"asked": query})]


class Newest(BaseRetriever):
    """Reverses what another retriever finds; made from the corpus."""

    documents: list[Document]
    retriever: BaseRetriever

    @classmethod
    def from_documents(cls, documents: list[Document], **arguments: Any) -> "Newest":
        return cls(documents=documents, **arguments)

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        found = [one.model_copy(update={"metadata": {}}) for one in self.retriever.invoke(query)]
        assert {one.id for one in found} <= {one.id for one in self.documents}
        return found[::-1]
'''

SETTINGS = """
store: {path: store}
embedders: {letters: {model: mine.Letters, size: 32}}
retrievers:
  near: {kind: dense, embedder: letters}
  fixed: {kind: mine.Fixed, text: Aspirin is old.}
  newest: {kind: mine.Newest, retriever: near}
  both: {kind: hybrid, retrievers: {near: 1, fixed: 1}, fusion: rrf}
retriever: near
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.yaml").write_text(SETTINGS)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.txt").write_text("Aspirin lowers the risk of stroke.")
    (tmp_path / "docs/b.txt").write_text("Zzz zzz zzz.")
    return tmp_path


def medground(folder: Path, *arguments: str, fails: bool = False) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "from medground.cli import main; main()", *arguments, "--config", "mine.yaml"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, env=environment)
    assert (done.returncode == 1) is fails, done.stderr
    return done


def found(folder: Path, retriever: str) -> list[dict[str, object]]:
    arguments = ("retrieve", "aspirin and stroke", "--json", "--set", f"retriever={retriever}")
    passages: list[dict[str, object]] = json.loads(medground(folder, *arguments).stdout)["passages"]
    return passages


def test_index_and_retrieve_with_classes_of_the_users(folder: Path) -> None:
    medground(folder, "index", "docs")
    assert [one["id"] for one in found(folder, "near")] == ["docs/a.txt#1", "docs/b.txt#1"]
    assert [one["id"] for one in found(folder, "newest")] == ["docs/b.txt#1", "docs/a.txt#1"]
    (fixed,) = found(folder, "fixed")
    assert (fixed["text"], fixed["score"]) == ("Aspirin is old.", 1.0)
    assert "Aspirin is old." in [one["text"] for one in found(folder, "both")]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("retrievers.fixed.kind=nowhere.Fixed", "there is no module nowhere"),
        ("retrievers.fixed.kind=mine.Gone", "has no class Gone"),
        ("retrievers.fixed.kind=mine.Letters", "is not a subclass of langchain_core.retrievers.BaseRetriever"),
        ("retrievers.fixed={kind: mine.Newest}", "cannot be made from its settings"),
        (
            "embedders.letters={model: mine.Fixed}",
            "is not a subclass of langchain_core.embeddings",
        ),
        ("embedders.letters.sise=3", "cannot be made from its settings"),
    ],
)
def test_a_class_that_does_not_fit_is_named(folder: Path, setting: str, said: str) -> None:
    chosen = "near" if "letters" in setting else "fixed"
    done = medground(folder, "retrieve", "x", "--set", setting, "--set", f"retriever={chosen}", fails=True)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
