"""What happens while a message is answered, in order: asked, tokens, given, judged (where answers are), done."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from chains.answer import Answer
from chains.chat.turn import Turn


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True)


class Asked(_Event):
    """The message was made self-contained: ``question`` is what is searched for."""

    kind: Literal["question"] = "question"
    message: str
    question: str
    notes: tuple[str, ...] = ()


class Token(_Event):
    """A piece of the answer's text; all pieces joined are the turn's text."""

    kind: Literal["token"] = "token"
    text: str


class Given(_Event):
    """The answer with its passages and citations."""

    kind: Literal["answer"] = "answer"
    answer: Answer


class Judged(_Event):
    """The answer with its verdict."""

    kind: Literal["verdict"] = "verdict"
    answer: Answer


class Done(_Event):
    """The whole turn, and the id of the conversation in which it has been stored, if any."""

    kind: Literal["done"] = "done"
    turn: Turn
    conversation: str | None = None


ChatEvent = Asked | Token | Given | Judged | Done
