"""Users' own retrievers and embedders: classes in a file outside the repository that the settings name."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from embedder_contract import EmbedderContract
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from retriever_contract import MakeRetriever, RetrieverContract

from medground.settings import load_settings
from retrievers import make_retrievers
from retrievers.base import Retriever
from retrievers.embedders import make_embedder

USER_CLASSES = r'''
import re
from typing import Any, ClassVar

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever

from retrievers.base import Hit, Retriever
from retrievers.config import RetrieverConfig
from retrievers.document_ids import distinct


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
    """Returns the same text for every question."""

    text: str

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(page_content=self.text, metadata={"question": query})]


class Reversed(BaseRetriever):
    """Reverses the hits of another retriever."""

    documents: list[Document]
    retriever: BaseRetriever

    @classmethod
    def from_documents(cls, documents: list[Document], **arguments: Any) -> "Reversed":
        return cls(documents=documents, **arguments)

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        hits = [hit.model_copy(update={"metadata": {}}) for hit in self.retriever.invoke(query)]
        assert {hit.id for hit in hits} <= {document.id for document in self.documents}
        return hits[::-1]


def jaccard_index(question: str, text: str) -> float:
    asked, present = (set(re.findall(r"\w+", words.lower())) for words in (question, text))
    return len(asked & present) / max(1, len(asked | present))


class Words(BaseRetriever):
    """A LangChain retriever that scores by the Jaccard index of the words of question and text."""

    documents: list[Document]

    @classmethod
    def from_documents(cls, documents: list[Document], **arguments: Any) -> "Words":
        return cls(documents=documents, **arguments)

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [
            Document(
                id=document.id,
                page_content=document.page_content,
                metadata={**document.metadata, "score": jaccard_index(query, document.page_content)},
            )
            for document in self.documents
        ]


class ThresholdConfig(RetrieverConfig):
    kind: str = "user_classes.Threshold"
    min_score: float = 0


class Threshold(Retriever):
    """A subclass of this project's ``Retriever``."""

    config_class: ClassVar[type[RetrieverConfig]] = ThresholdConfig

    documents: list[Document]
    min_score: float

    @classmethod
    def build(cls, config: ThresholdConfig, context: Any) -> "Threshold":
        return cls(documents=list(distinct(context.documents)), min_score=config.min_score, top_k=config.top_k)

    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        return [
            [
                Hit(document, score)
                for document in self.documents
                if (score := jaccard_index(question, document.page_content)) >= self.min_score
            ]
            for question in questions
        ]
'''

SETTINGS = """
store: {path: store}
embedders: {letters: {model: user_classes.Letters, size: 32}}
retrievers:
  letters: {kind: dense, embedder: letters}
  fixed: {kind: user_classes.Fixed, text: Aspirin is old.}
  reversed: {kind: user_classes.Reversed, retriever: letters}
  hybrid: {kind: hybrid, retrievers: {letters: 1, fixed: 1}, fusion: rrf}
retriever: letters
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the classes, the settings, and two documents, a.txt being nearer to "aspirin and stroke"."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "user_classes", raising=False)
    (tmp_path / "user_classes.py").write_text(USER_CLASSES)
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.txt").write_text("Aspirin lowers the risk of stroke.")
    (tmp_path / "docs/b.txt").write_text("Zzz zzz zzz.")
    return tmp_path


class TestUserRetrievers(RetrieverContract):
    @pytest.fixture(params=["Words", "Threshold"])
    def make(self, request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRetriever:
        monkeypatch.chdir(folder)
        config = {"kind": f"user_classes.{request.param}", "top_k": 3}
        settings = load_settings(None, {"retrievers.user": config, "store.path": "store"})

        def build(documents: Sequence[Document]) -> Retriever:
            return make_retrievers(
                settings.retrievers,
                ["user"],
                documents,
                corpus="user",
                embedders=settings.embedders,
                store=settings.store,
                quiet=True,
            )["user"]

        return build


class TestUserEmbedder(EmbedderContract):
    @pytest.fixture
    def embedder(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Embeddings:
        monkeypatch.chdir(folder)
        settings = load_settings(None, {"embedders.user": {"model": "user_classes.Letters", "size": 32}})
        return make_embedder(settings.embedders["user"])


def retrieve(command: Callable[..., Any], retriever: str) -> list[dict[str, object]]:
    arguments = ("retrieve", "aspirin and stroke", "--json", "--config=settings.yaml", f"--set=retriever={retriever}")
    passages: list[dict[str, object]] = json.loads(command(*arguments).out)["passages"]
    return passages


def test_commands_index_and_retrieve_with_user_classes(folder: Path, command: Callable[..., Any]) -> None:
    assert command("index", "docs", "--config=settings.yaml").status == 0
    assert [passage["id"] for passage in retrieve(command, "letters")] == ["docs/a.txt#1", "docs/b.txt#1"]
    assert [passage["id"] for passage in retrieve(command, "reversed")] == ["docs/b.txt#1", "docs/a.txt#1"]
    (fixed,) = retrieve(command, "fixed")
    assert (fixed["text"], fixed["score"]) == ("Aspirin is old.", 1.0)
    assert "Aspirin is old." in [passage["text"] for passage in retrieve(command, "hybrid")]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("retrievers.fixed.kind=nowhere.Fixed", "there is no module nowhere"),
        ("retrievers.fixed.kind=user_classes.Gone", "has no class Gone"),
        ("retrievers.fixed.kind=user_classes.Letters", "is not a subclass of langchain_core.retrievers.BaseRetriever"),
        ("retrievers.fixed={kind: user_classes.Reversed}", "cannot be made from its settings"),
        ("embedders.letters={model: user_classes.Fixed}", "is not a subclass of langchain_core.embeddings"),
        ("embedders.letters.sise=3", "cannot be made from its settings"),
    ],
)
def test_unusable_class_is_an_error(folder: Path, command: Callable[..., Any], setting: str, message: str) -> None:
    retriever = setting.split(".")[1].partition("=")[0]
    outcome = command("retrieve", "x", "--config=settings.yaml", "--set", setting, "--set", f"retriever={retriever}")
    assert outcome.status == 1
    assert message in outcome.err
