"""Events of an answered message, in order: question, tokens, answer, verdict (if answers are verified), and done."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from chains.answer import Answer
from chains.chat.turn import Turn


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)


class QuestionEvent(_Event):
    """The message, the self-contained ``question`` for the search, and notes on its rewriting and the history."""

    kind: Literal["question"] = "question"
    message: str
    question: str
    notes: tuple[str, ...] = ()


class TokenEvent(_Event):
    """A piece of the answer's text; all pieces joined are the turn's text."""

    kind: Literal["token"] = "token"
    text: str


class AnswerEvent(_Event):
    """The answer with its passages and citations."""

    kind: Literal["answer"] = "answer"
    answer: Answer


class VerdictEvent(_Event):
    """The answer with its verdict."""

    kind: Literal["verdict"] = "verdict"
    answer: Answer


class DoneEvent(_Event):
    """The finished turn, and the id of its stored conversation, if any."""

    kind: Literal["done"] = "done"
    turn: Turn
    conversation: str | None = None


ChatEvent = QuestionEvent | TokenEvent | AnswerEvent | VerdictEvent | DoneEvent
