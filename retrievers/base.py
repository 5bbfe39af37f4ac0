"""Base class of all retrievers: questions in, scored documents out, best first."""

import math
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Self

from langchain_core.callbacks import CallbackManager, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import get_config_list, run_in_executor
from langchain_core.runnables.configurable import RunnableConfigurableFields
from langchain_core.runnables.utils import AnyConfigurableField
from pydantic import BaseModel, Field, PrivateAttr

from common.errors import UserError
from retrievers.config import RetrieverConfig

if TYPE_CHECKING:
    from retrievers.registry import Context


@dataclass(frozen=True, slots=True)
class Hit:
    """A document and its score; higher is better, the scale depends on the retriever."""

    document: Document
    score: float


@dataclass(frozen=True, slots=True)
class Frequencies:
    """The number of documents in a corpus, and for each term the number of documents containing it."""

    documents: int
    containing: Mapping[str, int]


class Retriever(BaseRetriever):
    """A LangChain retriever that can also search for many questions in one pass.

    A retriever returns at most ``top_k`` documents, each id once. They are sorted by descending score, and documents
    with equal scores by id. Each document has an id, and its score is the float ``metadata["score"]``. A question has
    the same results in a batch as alone, up to rounding of the scores.

    A kind of retriever is a subclass that defines ``config_class`` (the class of its settings), ``build`` and
    ``_search``. It also defines ``index`` if it searches stored data, and ``identity`` if its results depend on more
    than its settings.
    """

    config_class: ClassVar[type[RetrieverConfig]] = RetrieverConfig

    top_k: int = Field(default=5, ge=1)

    _builds_on: "Sequence[Retriever]" = PrivateAttr(())

    @classmethod
    def build(cls, config: Any, context: "Context") -> Self:
        """The retriever of ``config``, an object of ``config_class``."""
        raise NotImplementedError(f"{cls.__name__} has no build")

    @classmethod
    def index(cls, config: Any, context: "Context") -> int:  # noqa: ARG003  (kinds that store nothing)
        """Make the stored data match ``context.documents``; returns the number of texts that were embedded."""
        return 0

    @classmethod
    def identity(cls, config: Any, context: "Context") -> dict[str, Any]:
        """Settings and model fingerprints; with question, corpus and inner retrievers they determine the results."""
        settings: dict[str, Any] = config.model_dump(mode="json", exclude={"top_k"})
        if settings.get("embedder") is not None:
            from retrievers.embedders import fingerprint

            settings["embedder"] = fingerprint(context.embedder(settings["embedder"]))
        return settings

    def inner(self) -> "Sequence[Retriever]":
        """The retrievers that this one builds on, by default those in ``_builds_on``."""
        return self._builds_on

    def search_text(self, question: str) -> str:
        """The text to search for: the question, shortened if it is too long for a retriever (``token_limits``)."""
        texts = (retriever.search_text(question) for retriever in self.inner())
        return next((text for text in texts if text != question), question)

    def frequencies(self, terms: Collection[str]) -> Frequencies | None:
        """The number of documents that contain each term (``corpus.words``); None without a lexical index."""
        by_retriever = (retriever.frequencies(terms) for retriever in self.inner())
        return next((frequencies for frequencies in by_retriever if frequencies is not None), None)

    @property
    def is_online(self) -> bool:
        """Whether this retriever, or one that it builds on, searches outside the corpus."""
        return any(retriever.is_online for retriever in self.inner())

    @abstractmethod
    def _search(self, questions: list[str], k: int) -> list[list[Hit]]:
        """For each question at least its ``k`` best hits, in any order, each id once."""

    def search(self, questions: Sequence[str], k: int) -> list[list[Document]]:
        """The ``k`` best documents for each question, all questions in one pass.

        Raises:
            UserError: a question is empty or not text, ``k`` is not a whole number of at least 1, or a score is not a
                finite number.
        """
        check_count(k, "passages")
        texts = [self.search_text(_validated(question)) for question in questions]
        return [self._ranked(hits, k) for hits in self._search(texts, k)] if texts else []

    def _ranked(self, hits: list[Hit], k: int) -> list[Document]:
        for hit in hits:
            if not _is_finite(hit.score):
                raise UserError(
                    f"{type(self).__name__} gave document {hit.document.id!r} the score {hit.score!r}; the scores of a "
                    "retriever must be finite numbers."
                )
        best = sorted(hits, key=lambda hit: (-hit.score, hit.document.id or ""))[:k]
        return [
            Document(
                id=hit.document.id,
                page_content=hit.document.page_content,
                metadata={**hit.document.metadata, "score": hit.score},
            )
            for hit in best
        ]

    def configurable_fields(self, **kwargs: AnyConfigurableField) -> RunnableSerializable[str, list[Document]]:
        """LangChain's ``configurable_fields``, such as ``top_k=ConfigurableField("k")``."""
        super().configurable_fields(**kwargs)  # only checks the names; the result is not used
        return _ConfigurableRetriever(default=self, fields=kwargs)

    def batch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        k: int | None = None,
        **kwargs: Any,
    ) -> list[list[Document]]:
        """``invoke`` for many questions with one call of ``search``; ``k`` overrides ``top_k``.

        Callbacks and tracers get one run per question. With ``return_exceptions``, each question is searched for
        separately, as in LangChain's ``batch``.
        """
        if return_exceptions or kwargs:
            return super().batch(inputs, config, return_exceptions=return_exceptions, k=k, **kwargs)
        limit = self.top_k if k is None else k
        configs = get_config_list(config, len(inputs))
        managers = [  # configured as in LangChain's ``invoke``
            CallbackManager.configure(
                each.get("callbacks"),
                inheritable_tags=each.get("tags"),
                local_tags=self.tags,
                inheritable_metadata={**each.get("metadata", {}), **self._get_ls_params()},
                local_metadata=self.metadata,
            )
            for each in configs
        ]
        if not any(manager.handlers for manager in managers):
            return self.search(inputs, limit)
        runs = [
            manager.on_retriever_start(
                None, question, name=each.get("run_name") or self.get_name(), run_id=each.get("run_id")
            )
            for manager, each, question in zip(managers, configs, inputs, strict=True)
        ]
        try:
            results = self.search(inputs, limit)
        except BaseException as error:
            for run in runs:
                run.on_retriever_error(error)
            raise
        for run, documents in zip(runs, results, strict=True):
            run.on_retriever_end(documents)
        return results

    async def abatch(
        self, inputs: list[str], config: RunnableConfig | list[RunnableConfig] | None = None, **kwargs: Any
    ) -> list[list[Document]]:
        """``batch`` in another thread."""
        return await run_in_executor(None, self.batch, inputs, config, **kwargs)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002  (LangChain passes it by name)
        k: int | None = None,
    ) -> list[Document]:
        return self.search([query], self.top_k if k is None else k)[0]


class _ConfigurableRetriever(RunnableConfigurableFields[str, list[Document]]):
    """A retriever whose fields a call's ``config`` can set, in a copy of the retriever.

    LangChain's class would construct a retriever from the public fields alone, without the private attributes.
    """

    def _prepare(self, config: RunnableConfig | None = None) -> Any:
        # LangChain's method constructs an object of the default's class; ``_Fields`` takes all configured values.
        fields: Any = RunnableConfigurableFields.model_construct(default=_Fields(), fields=self.fields)
        values, config = fields._prepare(config)
        changed = values.model_extra
        return (self.default.model_copy(update=changed) if changed else self.default), config


class _Fields(BaseModel, extra="allow"):
    """Values of any fields."""


class WrappingRetriever(Retriever):
    """Base of the kinds that build on one retriever."""

    _retriever: Retriever = PrivateAttr()
    _config: Any = PrivateAttr()

    def __init__(self, retriever: Retriever, config: RetrieverConfig) -> None:
        """Search with ``retriever``; ``config`` is an object of ``config_class``."""
        super().__init__(top_k=config.top_k)
        self._retriever = retriever
        self._builds_on = (retriever,)
        self._config = config


def search_deeper(
    retriever: Retriever,
    questions: Sequence[str],
    depth: int,
    select: Callable[[list[Document], int], list[Hit] | None],
) -> list[list[Hit]]:
    """Search for ``depth`` documents for each question, then for 4 times as many, until ``select`` returns hits.

    ``select(documents, depth)`` returns the hits of one question, or None if the question needs more documents.
    """
    hits: dict[int, list[Hit]] = {}  # by index of the question
    while unanswered := [index for index in range(len(questions)) if index not in hits]:
        results = retriever.search([questions[index] for index in unanswered], depth)
        for index, documents in zip(unanswered, results, strict=True):
            if (selected := select(documents, depth)) is not None:
                hits[index] = selected
        depth *= 4
    return [hits[index] for index in range(len(questions))]


def encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot encode, replaced by question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def check_count(count: object, noun: str) -> None:
    """Raise ``UserError`` unless the number of ``noun``, such as "passages", is a whole number of at least 1."""
    if not isinstance(count, Integral) or int(count) < 1:
        raise UserError(f"The number of {noun} must be a whole number of at least 1; this is {count!r}.")


def is_blank(text: str) -> bool:
    """Whether a text contains only white space and unprintable characters."""
    return not any(character.isprintable() and not character.isspace() for character in text)


def _validated(question: object) -> str:
    if not isinstance(question, str):
        raise UserError(f"A question must be text, not {type(question).__name__} ({str(question)[:60]!r}).")
    if is_blank(question):
        raise UserError("The question is empty. Write what you want to find.")
    return encodable(question)


def _is_finite(score: object) -> bool:
    try:
        return math.isfinite(score)  # type: ignore[arg-type]
    except TypeError:  # the score is no number
        return False
