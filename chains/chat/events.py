"""Events of an answered message, in order: question, tokens, answer, verdict, and done.

There is no verdict event if the answer is not verified.
"""

from typing import Literal

from pydantic import BaseModel

from chains.answer import Answer
from chains.chat.turn import Turn


class QuestionEvent(BaseModel, frozen=True):
    """The message, the self-contained ``question`` for the search, and notes on its rewriting and the history."""

    kind: Literal["question"] = "question"
    message: str
    question: str
    notes: tuple[str, ...] = ()


class TokenEvent(BaseModel, frozen=True):
    """A piece of the answer's text; all pieces joined are the turn's text."""

    kind: Literal["token"] = "token"
    text: str


class AnswerEvent(BaseModel, frozen=True):
    """The answer with its passages and citations."""

    kind: Literal["answer"] = "answer"
    answer: Answer


class VerdictEvent(BaseModel, frozen=True):
    """The answer with its verdict."""

    kind: Literal["verdict"] = "verdict"
    answer: Answer


class DoneEvent(BaseModel, frozen=True):
    """The finished turn, and the id of its stored conversation, if any."""

    kind: Literal["done"] = "done"
    turn: Turn
    conversation: str | None = None


ChatEvent = QuestionEvent | TokenEvent | AnswerEvent | VerdictEvent | DoneEvent
