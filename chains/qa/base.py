"""Base class of question-answering chains: input, batching and retrieval."""

import math
import textwrap
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic_core import to_jsonable_python

from chains.answer import Answer, Passage
from chains.models.one_pass import OnePassRunnable, apply_to_valid
from common.errors import UserError
from corpus.evidence import is_evidence
from retrievers.base import Retriever, encodable, is_blank
from retrievers.document_ids import with_id

NOTE_QUESTION_CHARACTERS = 200  # maximum length of the part of a question that a note quotes

ChainInput = str | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """A validated input; ``context`` is the gold text, if given, and ``passage_id`` its id.

    ``config`` is LangChain's configuration for this question, with callbacks, tags, metadata and configurable values.
    """

    text: str
    context: str | None = None
    passage_id: str | None = None
    config: RunnableConfig | None = field(default=None, compare=False, repr=False)


class AnswerChain(OnePassRunnable[ChainInput, Answer]):
    """A LangChain ``Runnable`` from a question to an ``Answer``; ``stream`` yields a single Answer.

    The input is the question, or ``{"question": ..., "context": ..., "passage_id": ...}`` with the last two optional.

    The config of each question reaches the retriever, also in a batch: callbacks see the runs of chain and retriever,
    and the retriever's configurable fields and alternatives apply. The chain itself has no configurable fields and no
    alternatives, like a ``RunnableLambda``. The Answer contains the model's prompt and output. A chain cannot be
    pickled.
    """

    @abstractmethod
    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """An Answer or an error for each question, in order; all questions in one pass."""

    def _in_one_pass(self, inputs: Sequence[ChainInput], configs: Sequence[RunnableConfig]) -> list[Exception | Answer]:
        questions = [_parse_input(input, config) for input, config in zip(inputs, configs, strict=True)]
        return [*apply_to_valid(questions, self.answer_all)]


@dataclass(eq=False)
class MappedChain(AnswerChain):
    """A chain whose answers are changed by a function.

    Args:
        chain: answers the questions.
        change: maps all answers of a pass to changed answers or errors, in order.
    """

    chain: AnswerChain
    change: Callable[[Sequence[Answer]], Sequence[Answer | UserError]]

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """Answer all, then change all answers."""
        return apply_to_valid(self.chain.answer_all(questions), self.change)


AnswerAll = Callable[[Sequence[Question]], Sequence[Answer | UserError]]


class SharedChain(AnswerChain):
    """A chain whose ``answer_all`` runs through ``share``, which batches questions of concurrent callers."""

    def __init__(self, chain: AnswerChain, share: Callable[[AnswerAll], AnswerAll]) -> None:
        self._answer_all = share(chain.answer_all)

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """The answers of the chain."""
        return list(self._answer_all(questions))


def check_retriever(retriever: object) -> None:
    """Raise ``UserError`` unless an object is a LangChain retriever."""
    if not isinstance(retriever, Runnable):
        raise UserError(
            f"The retriever must be a LangChain retriever; this is {type(retriever).__name__}. Make one with "
            "retrievers.make_retriever, derive one from BaseRetriever, or put a function into a RunnableLambda."
        )


def retrieve(retriever: Runnable[str, list[Document]], questions: Sequence[Question], k: int) -> list[list[Passage]]:
    """The best ``k`` passages for each question, best first.

    medground's retrievers (``Retriever``) search for all questions in one pass; of other retrievers' results, the first
    ``k`` are used. Documents without text are left out, and so are passages that consist of references or a table of
    contents. A passage that repeats the text of a better one is left out too, and listed in the metadata ``also_in`` of
    the better one. If fewer than ``k`` of ``k`` results remain, medground's retrievers search once more for twice as
    many.
    """
    found = _search(retriever, questions, k)
    if isinstance(retriever, Retriever):
        short = [index for index, passages in enumerate(found) if len(passages) == k and len(_usable(passages)) < k]
        longer = _search(retriever, [questions[index] for index in short], 2 * k)
        for index, passages in zip(short, longer, strict=True):
            found[index] = passages
    return [_usable(passages)[:k] for passages in found]


def search_text(retriever: object, question: str) -> str:
    """The question, or the part of a long question for which the retriever searches (``Retriever.search_text``)."""
    return retriever.search_text(question) if isinstance(retriever, Retriever) else question


def truncation_notes(question: str, searched: str) -> list[str]:
    """A note if only the part ``searched`` of the question was searched for."""
    if searched == question:
        return []
    part = textwrap.shorten(searched, NOTE_QUESTION_CHARACTERS, placeholder=" ...")
    return [f"the question is too long to be searched for as a whole: only this part was searched for: {part}"]


def _usable(passages: Sequence[Passage]) -> list[Passage]:
    """The passages without reference lists and copies; the first of equal passages lists the others in ``also_in``.

    A number is added to the id of a passage if an earlier passage, such as another part of its document, has that id.
    """
    first: dict[str, Passage] = {}
    copies: dict[str, list[str]] = {}
    for passage in passages:
        text = " ".join(passage.text.casefold().split())
        if first.setdefault(text, passage) is not passage:
            copies.setdefault(text, []).append(passage.origin or passage.id)
    usable: dict[str, Passage] = {}
    for text, passage in first.items():
        if not is_evidence(passage.text, *passage.section_and_title):
            continue
        metadata, id, number = passage.metadata, passage.id, 1
        if text in copies:
            metadata = {**metadata, "also_in": list(dict.fromkeys(copies[text]))}
        while id in usable:
            number += 1
            id = f"{passage.id}#{number}"
        usable[id] = passage.model_copy(update={"id": id, "metadata": metadata})
    return list(usable.values())


def _search(retriever: Runnable[str, list[Document]], questions: Sequence[Question], k: int) -> list[list[Passage]]:
    if not questions:
        return []
    texts, configs = [question.text for question in questions], [question.config or {} for question in questions]
    batch: Any = partial(retriever.batch, k=k) if isinstance(retriever, Retriever) else retriever.batch
    results: list[object] = batch(texts, configs)
    return [[as_passage(document) for document in _documents(result)] for result in results]


def _documents(result: object) -> list[Document]:
    """The documents with text in a retriever's result; ``UserError`` if the result is no list of documents."""
    wrong = [result]
    if isinstance(result, list | tuple):
        wrong = [one for one in result if not isinstance(one, Document)]
    if wrong:
        raise UserError(
            f"A retriever must return a list of LangChain documents; this one returned {type(wrong[0]).__name__}."
        )
    return [document for document in result if document.page_content.strip()]  # type: ignore[attr-defined]


def as_passage(document: Document) -> Passage:
    """A retriever's document as a passage.

    Metadata that JSON cannot express become text; NaN and infinity become null. A document without an id gets the id of
    ``retrievers.document_ids.with_id``, which depends only on the text. A score that is not a number stays in the
    metadata.
    """
    metadata = {key: value for key, value in document.metadata.items() if key != "id"}
    score = metadata.pop("score", None)
    try:
        number = None if score is None else float(score)
    except (TypeError, ValueError):
        number, metadata["score"] = None, score
    id = document.id or document.metadata.get("id")
    return Passage(
        id=str(with_id(document).id if id in (None, "") else id),
        text=encodable(document.page_content),
        score=number if number is not None and math.isfinite(number) else None,
        metadata={str(key): _jsonable(value) for key, value in metadata.items()},
    )


def _jsonable(value: object) -> object:
    try:
        if isinstance(value, str):
            return encodable(value)
        return to_jsonable_python(value, inf_nan_mode="null", fallback=str)
    except ValueError:  # bytes that are not text, or a circular reference
        return str(value)


def _parse_input(input: object, config: RunnableConfig) -> Question | UserError:
    """The question of a chain's input, or an error."""
    mapping = {"question": input} if isinstance(input, str) else input
    fields: Mapping[object, object] = mapping if isinstance(mapping, Mapping) else {}
    question, context, passage_id = (fields.get(name) for name in ("question", "context", "passage_id"))
    if not isinstance(question, str):
        kind = f"a mapping with {_wrong_content(input)}" if isinstance(input, Mapping) else type(input).__name__
        return UserError(f'Ask with a text or with {{"question": text}}; this is {kind}.')
    if is_blank(question):
        return UserError("The question is empty. Write what you want to know.")
    if encodable(question) != question:
        return UserError("The question contains half of a character (a lone surrogate). Remove it.")
    if context is not None and not isinstance(context, str):
        return UserError(f"The context of a question must be a text; this is {type(context).__name__}.")
    if context is not None and encodable(context) != context:
        return UserError("The context contains half of a character (a lone surrogate). Remove it.")
    return Question(question, context, None if passage_id is None else str(passage_id), config)


def _wrong_content(mapping: Mapping[object, object]) -> str:
    """The wrong content of a mapping, for an error message."""
    if "question" in mapping:
        return f"a question of type {type(mapping['question']).__name__}"
    return f"the keys {', '.join(map(repr, mapping))}" if mapping else "no keys"
