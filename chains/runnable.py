"""What every question-answering chain has in common: its input, and one pass for many questions."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, run_in_executor
from pydantic_core import to_jsonable_python

from chains.answer import Answer, Passage
from corpus.errors import UserError

ChainInput = str | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """A checked input. ``context`` is the gold text where one was given, ``passage_id`` its id."""

    text: str
    context: str | None = None
    passage_id: str | None = None


class AnswerChain(Runnable[ChainInput, Answer], ABC):
    """A LangChain ``Runnable`` from a question to an ``Answer``.

    The input is the question, or ``{"question": ..., "context": ..., "passage_id": ...}`` of which the last two are
    optional. ``batch`` and ``abatch`` answer all questions in one pass; ``stream`` yields the one Answer. An input
    that cannot be answered raises ``UserError``, or is returned as one where ``return_exceptions`` is set.
    """

    @abstractmethod
    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """An Answer, or what was wrong, for each question, in order; all in one pass."""

    def invoke(self, input: ChainInput, config: RunnableConfig | None = None, **kwargs: Any) -> Answer:
        """Answer one question."""
        return self._call_with_config(self._one, input, config, **kwargs)

    def batch(
        self,
        inputs: list[ChainInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Answer]:
        """Answer many questions in one pass."""
        return self._batch_with_config(self._many, inputs, config, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: list[ChainInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Answer]:
        """Answer many questions in one pass, in a thread of their own."""

        def run() -> list[Answer]:
            return self.batch(inputs, config, return_exceptions=return_exceptions, **kwargs)

        return await run_in_executor(None, run)

    def _one(self, input: ChainInput) -> Answer:
        answer = self._many([input])[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _many(self, inputs: list[ChainInput]) -> list[Exception | Answer]:
        read = [_read(input) for input in inputs]
        answers = iter(self.answer_all([question for question in read if isinstance(question, Question)]))
        return [question if isinstance(question, UserError) else next(answers) for question in read]


class NotedChain(AnswerChain):
    """A chain all of whose answers carry a note besides their own."""

    def __init__(self, chain: AnswerChain, note: str) -> None:
        self._chain = chain
        self._note = note

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """As the chain answers, with the note last."""
        return [
            answer.model_copy(update={"notes": (*answer.notes, self._note)}) if isinstance(answer, Answer) else answer
            for answer in self._chain.answer_all(questions)
        ]


def retrieve(retriever: BaseRetriever, questions: Sequence[str], k: int) -> list[list[Passage]]:
    """The best ``k`` passages for each question, best first, through the retriever's batched search if it has one."""
    if not questions:
        return []
    search = getattr(retriever, "search", None)
    found = retriever.batch(list(questions)) if search is None else search(list(questions), k)
    return [[as_passage(document, rank) for rank, document in enumerate(documents[:k])] for documents in found]


def as_passage(document: Document, rank: int = 0) -> Passage:
    """A retriever's document; metadata that JSON cannot write become text. ``rank`` names one that has no id."""
    rest = {key: value for key, value in document.metadata.items() if key not in ("id", "score")}
    return Passage(
        id=str(document.id or document.metadata.get("id") or rank),
        text=document.page_content,
        score=document.metadata.get("score"),
        metadata=to_jsonable_python(rest, fallback=str),
    )


def _read(input: object) -> Question | UserError:
    fields: Mapping[object, object] = {"question": input} if isinstance(input, str) else {}
    if isinstance(input, Mapping):
        fields = input
    question, context, passage_id = (fields.get(name) for name in ("question", "context", "passage_id"))
    if not isinstance(question, str):
        return UserError('Ask with a text or with {"question": text}; ' + f"this is {type(input).__name__}.")
    if not any(character.isprintable() and not character.isspace() for character in question):
        return UserError("The question is empty. Write what you want to know.")
    if any("\ud800" <= character <= "\udfff" for character in question):
        return UserError("The question holds half of a character that cannot be written as text. Take it out.")
    if context is not None and not isinstance(context, str):
        return UserError(f"The context of a question must be a text; this is {type(context).__name__}.")
    return Question(question, context, None if passage_id is None else str(passage_id))
