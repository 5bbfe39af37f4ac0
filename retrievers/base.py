"""Base class of all retrievers: questions in, scored documents out, best first."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from langchain_core.callbacks import CallbackManager, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import get_config_list, run_in_executor
from pydantic import Field, PrivateAttr

from common.errors import UserError
from retrievers.config import RetrieverConfig

if TYPE_CHECKING:
    from retrievers.registry import Context


@dataclass(frozen=True, slots=True)
class Hit:
    """A found document and its score; higher is better, the scale depends on the retriever."""

    document: Document
    score: float


@dataclass(frozen=True, slots=True)
class Frequencies:
    """Document frequencies of terms in a corpus of ``documents`` documents."""

    documents: int
    containing: Mapping[str, int]


class Retriever(BaseRetriever):
    """A LangChain retriever that can also answer many questions in one pass.

    Every kind returns at most ``top_k`` documents (fewer if the corpus is smaller, or a lexical search finds no more
    that share a word), each id once, with ``Document.id`` set and ``metadata["score"]`` a float, sorted by score, then
    id. A question gives the same result alone and in a batch, up to rounding of the scores.

    A kind of retriever is a subclass with ``config_class`` (its settings), ``build`` and ``_search``; also ``index`` if
    it searches stored data, and ``identity`` if its settings alone do not determine its results.
    """

    config_class: ClassVar[type[RetrieverConfig]] = RetrieverConfig

    top_k: int = Field(default=5, ge=1)

    @classmethod
    def build(cls, config: Any, context: "Context") -> Self:
        """The retriever of ``config``, an object of ``config_class``."""
        raise NotImplementedError(f"{cls.__name__} has no build")

    @classmethod
    def index(cls, config: Any, context: "Context") -> int:  # noqa: ARG003  (kinds that store nothing)
        """Update the stored data to ``context.documents``; returns the number of embedded passages or parts."""
        return 0

    @classmethod
    def identity(cls, config: Any, context: "Context") -> dict[str, Any]:
        """What determines its results besides question, passages and the retrievers it builds on, as plain data."""
        stated: dict[str, Any] = config.model_dump(mode="json", exclude={"top_k"})
        if stated.get("embedder") is not None:
            from retrievers.embedders import fingerprint

            stated["embedder"] = fingerprint(context.embedder(stated["embedder"]))
        return stated

    def inner(self) -> "Sequence[Retriever]":
        """The retrievers that this one builds on."""
        return ()

    def search_text(self, question: str) -> str:
        """The text to search for; a question that is too long is shortened (``token_limits.shorten``)."""
        return next((cut for one in self.inner() if (cut := one.search_text(question)) != question), question)

    def frequencies(self, terms: Collection[str]) -> Frequencies | None:
        """Document frequencies of terms of ``corpus.words`` in the corpus; None without a lexical index."""
        return next((found for one in self.inner() if (found := one.frequencies(terms)) is not None), None)

    @property
    def is_online(self) -> bool:
        """Whether it, or a retriever it builds on, searches outside the corpus."""
        return any(one.is_online for one in self.inner())

    @abstractmethod
    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        """Hits for each question, in any order, among them the ``k`` best; ids are unique within a question."""

    def search(self, questions: Sequence[str], k: int) -> list[list[Document]]:
        """The ``k`` best documents for each question, all questions in one pass.

        Raises:
            UserError: a question is empty or not text, or ``k`` is below 1.
        """
        if k < 1:
            raise UserError(f"{k} passages were asked for; ask for at least 1.")
        cleaned = [self.search_text(_checked(question)) for question in questions]
        if not cleaned:
            return []
        return [_ranked(hits, k) for hits in self._search(cleaned, k)]

    def batch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        k: int | None = None,
        **kwargs: Any,
    ) -> list[list[Document]]:
        """``invoke`` for many questions at the cost of one search; ``k`` overrides ``top_k``.

        Callbacks and tracers see a run for each question. With ``return_exceptions``, each question runs separately, as
        in LangChain's ``batch``.
        """
        if return_exceptions or kwargs:
            return super().batch(inputs, config, return_exceptions=return_exceptions, k=k, **kwargs)
        most = self.top_k if k is None else k
        configs = get_config_list(config, len(inputs))
        managers = [self._manager(one) for one in configs]
        if not any(manager.handlers for manager in managers):
            return self.search(inputs, most)
        runs = [
            manager.on_retriever_start(
                None, question, name=one.get("run_name") or self.get_name(), run_id=one.get("run_id")
            )
            for manager, one, question in zip(managers, configs, inputs, strict=True)
        ]
        try:
            found = self.search(inputs, most)
        except BaseException as error:
            for run in runs:
                run.on_retriever_error(error)
            raise
        for run, documents in zip(runs, found, strict=True):
            run.on_retriever_end(documents)
        return found

    def _manager(self, config: RunnableConfig) -> CallbackManager:
        """The callback manager of a question's run, as in LangChain's ``invoke``."""
        return CallbackManager.configure(
            config.get("callbacks"),
            inheritable_tags=config.get("tags"),
            local_tags=self.tags,
            inheritable_metadata={**config.get("metadata", {}), **self._get_ls_params()},
            local_metadata=self.metadata,
        )

    async def abatch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[list[Document]]:
        """``batch`` in a separate thread."""
        return await run_in_executor(None, self.batch, inputs, config, return_exceptions=return_exceptions, **kwargs)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002  (LangChain passes it by name)
        k: int | None = None,
    ) -> list[Document]:
        return self.search([query], self.top_k if k is None else k)[0]


class WrappingRetriever(Retriever):
    """Base of the kinds that search with one other retriever."""

    _retriever: Retriever = PrivateAttr()
    _config: Any = PrivateAttr()

    def __init__(self, retriever: Retriever, config: RetrieverConfig) -> None:
        """Search with ``retriever``; ``config`` is an object of ``config_class``."""
        super().__init__(top_k=config.top_k)
        self._retriever = retriever
        self._config = config

    def inner(self) -> Sequence[Retriever]:
        """The other retriever."""
        return (self._retriever,)


def search_deeper(
    retriever: Retriever,
    questions: Sequence[str],
    depth: int,
    hits: Callable[[list[Document], int], list[Hit] | None],
) -> list[list[Hit]]:
    """Search for each question with growing depth until ``hits``, of the documents and the depth, is not None."""
    found: dict[int, list[Hit]] = {}
    while left := [place for place in range(len(questions)) if place not in found]:
        searched = retriever.search([questions[place] for place in left], depth)
        for place, documents in zip(left, searched, strict=True):
            if (enough := hits(documents, depth)) is not None:
                found[place] = enough
        depth *= 4
    return [found[place] for place in range(len(questions))]


def encodable(text: str) -> str:
    """The text with lone surrogates replaced, which JSON allows but UTF-8 does not."""
    return text.encode("utf-8", "replace").decode("utf-8")


def is_blank(text: str) -> bool:
    """Whether a text has only white space and unprintable characters."""
    return not any(character.isprintable() and not character.isspace() for character in text)


def _checked(question: object) -> str:
    if not isinstance(question, str):
        raise UserError(f"A question must be text, not {type(question).__name__} ({str(question)[:60]!r}).")
    if is_blank(question):
        raise UserError("The question is empty. Write what you want to find.")
    return encodable(question)


def _ranked(hits: list[Hit], k: int) -> list[Document]:
    best = sorted(hits, key=lambda hit: (-hit.score, hit.document.id or ""))[:k]
    return [
        Document(
            id=hit.document.id,
            page_content=hit.document.page_content,
            metadata={**hit.document.metadata, "score": hit.score},
        )
        for hit in best
    ]
