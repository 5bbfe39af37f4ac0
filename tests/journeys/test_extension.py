"""Retrievers and embedders of the user's, from a file outside the repository, by settings alone."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from embedder_contract import EmbedderContract
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from retriever_contract import Make, RetrieverContract

from medground.settings import load_settings
from retrievers import make_retrievers
from retrievers.base import Retriever
from retrievers.embedders import make_embedder

MINE = '''
import re
from typing import Any, ClassVar

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever

from retrievers.base import Hit, Retriever
from retrievers.config import RetrieverConfig
from retrievers.document_ids import identified


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


def shared(question: str, text: str) -> float:
    asked, read = (set(re.findall(r"\w+", one.lower())) for one in (question, text))
    return len(asked & read) / max(1, len(asked | read))


class Words(BaseRetriever):
    """A LangChain retriever over the corpus: the share of words that question and text have in common."""

    documents: list[Document]

    @classmethod
    def from_documents(cls, documents: list[Document], **arguments: Any) -> "Words":
        return cls(documents=documents, **arguments)

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [
            Document(id=one.id, page_content=one.page_content, metadata={**one.metadata, "score": score})
            for one in self.documents
            if (score := shared(query, one.page_content)) >= 0
        ]


class LeastConfig(RetrieverConfig):
    kind: str = "mine.Least"
    least: float = 0


class Least(Retriever):
    """A retriever in this project's own form."""

    config_class: ClassVar[type[RetrieverConfig]] = LeastConfig

    documents: list[Document]
    least: float

    @classmethod
    def build(cls, config: LeastConfig, context: Any) -> "Least":
        return cls(documents=identified(context.documents), least=config.least, top_k=config.top_k)

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        scored = [[Hit(one, shared(question, one.page_content)) for one in self.documents] for question in questions]
        return [[hit for hit in hits if hit.score >= self.least] for hits in scored]
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
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.yaml").write_text(SETTINGS)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.txt").write_text("Aspirin lowers the risk of stroke.")
    (tmp_path / "docs/b.txt").write_text("Zzz zzz zzz.")
    return tmp_path


class TestMine(RetrieverContract):
    """Classes of the user's keep the contract of every retriever."""

    @pytest.fixture(
        params=[{"kind": "mine.Words"}, {"kind": "mine.Least", "least": 0}], ids=lambda stated: stated["kind"]
    )
    def make(self, request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
        monkeypatch.chdir(folder)
        stated = {**request.param, "top_k": 3}
        settings = load_settings(None, {"retrievers.mine": stated, "store.path": "store"})

        def build(documents: Sequence[Document]) -> Retriever:
            return make_retrievers(
                settings.retrievers,
                ["mine"],
                documents,
                corpus="mine",
                embedders=settings.embedders,
                store=settings.store,
                quiet=True,
            )["mine"]

        return build


class TestMyEmbedder(EmbedderContract):
    """An embedder of the user's keeps the contract of every embedder."""

    @pytest.fixture
    def embedder(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Embeddings:
        monkeypatch.chdir(folder)
        settings = load_settings(None, {"embedders.mine": {"model": "mine.Letters", "size": 32}})
        return make_embedder(settings.embedders["mine"])


def found(command: Callable[..., Any], retriever: str) -> list[dict[str, object]]:
    arguments = ("retrieve", "aspirin and stroke", "--json", "--config=mine.yaml", f"--set=retriever={retriever}")
    passages: list[dict[str, object]] = json.loads(command(*arguments).out)["passages"]
    return passages


def test_index_and_retrieve_with_classes_of_the_users(folder: Path, command: Callable[..., Any]) -> None:
    assert command("index", "docs", "--config=mine.yaml").status == 0
    assert [one["id"] for one in found(command, "near")] == ["docs/a.txt#1", "docs/b.txt#1"]
    assert [one["id"] for one in found(command, "newest")] == ["docs/b.txt#1", "docs/a.txt#1"]
    (fixed,) = found(command, "fixed")
    assert (fixed["text"], fixed["score"]) == ("Aspirin is old.", 1.0)
    assert "Aspirin is old." in [one["text"] for one in found(command, "both")]


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
def test_a_class_that_does_not_fit_is_named(folder: Path, command: Callable[..., Any], setting: str, said: str) -> None:
    chosen = "near" if "letters" in setting else "fixed"
    done = command("retrieve", "x", "--config=mine.yaml", "--set", setting, "--set", f"retriever={chosen}")
    assert done.status == 1
    assert said in done.err
