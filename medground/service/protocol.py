"""OpenAI's chat protocol: what is read of a request, and how a turn is told. The field ``medground`` is our own."""

import re
import time
import uuid
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from chains.answer import Answer
from chains.chat.turn import Turn

MODEL = "medground"
NEW = "new"
# What ``footnotes`` adds: from the first quote on, or where there is none the lines for verdict and note.
_FOOTNOTES = re.compile(r"\n\n(?:\[1\] .*|Verdict: [a-z ]+\.(?:\nNote: [^\n]*)?|Note: [^\n]*)\Z", re.S)


class _Part(BaseModel):
    """A piece of a message's content; only text can be read."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message of the conversation that the client carries."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class Extension(BaseModel):
    """What a request may say beyond OpenAI's protocol.

    Attributes:
        conversation: ``new`` begins a stored conversation, an id goes on with one; of the messages only the last is
            read then. Null stores nothing.
    """

    model_config = ConfigDict(extra="forbid")

    conversation: str | None = Field(default=None, pattern=r"^(new|[0-9a-f]{32})$")


class ChatRequest(BaseModel):
    """The body of ``POST /v1/chat/completions``; of OpenAI's other fields those that shape the wording are ignored."""

    model: str = MODEL
    messages: list[Message] = Field(min_length=1)
    stream: bool = False
    n: Literal[1] | None = None
    tools: list[Any] | None = Field(default=None, max_length=0, description="Tools cannot be called.")
    functions: list[Any] | None = Field(default=None, max_length=0, description="Functions cannot be called.")
    medground: Extension = Extension()


def history(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Roles and texts before the last message, answers without the footnotes that were added to them."""
    return [
        (message.role, _FOOTNOTES.sub("", message.text) if message.role == "assistant" else message.text)
        for message in messages[:-1]
    ]


def footnotes(answer: Answer | None, note: str | None) -> str:
    """What is added to an answer's text: a line for each quote, for the verdict, and for what a reader must know."""
    if answer is None:
        return ""
    origins = {passage.id: f" ({passage.origin})" for passage in answer.passages if passage.origin}
    lines = []
    for number, citation in enumerate(answer.citations, start=1):
        origin = origins.get(citation.passage_id, "")
        lines.append(f"[{number}] {citation.passage_id}{origin}: \u201c{' '.join(citation.quote.split())}\u201d")
    if answer.verdict is not None:
        lines.append(f"Verdict: {answer.verdict}.")
    if note is not None:
        lines.append(f"Note: {note}")
    return "\n\n" + "\n".join(lines) if lines else ""


def evidence(turn: Turn, conversation: str | None, note: str | None) -> dict[str, Any]:
    """The field ``medground`` of an answer; documented in docs/service.md."""
    answer = turn.answer
    given: dict[str, Any] = {}
    if answer is not None:
        given = answer.model_dump(
            mode="json",
            include={"label", "label_scores", "citations", "passages", "verdict", "verification", "withheld"},
        )
    notes = [*turn.notes, *(answer.notes if answer is not None else ()), *([note] if note else [])]
    return {"conversation": conversation, "question": turn.question, "text": turn.text, **given, "notes": notes}


class Told:
    """The documents of one completion, which share its id and time."""

    def __init__(self) -> None:
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())

    def whole(self, text: str, extension: dict[str, Any]) -> dict[str, Any]:
        """The answer in one document."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
        return {**self._head("chat.completion"), "choices": [choice], "usage": None, "medground": extension}

    def piece(self, text: str | None = None, *, first: bool = False) -> dict[str, Any]:
        """A piece of the answer's text."""
        delta = {**({"role": "assistant"} if first else {}), "content": text or ""}
        return self._chunk(delta, None)

    def last(self, extension: dict[str, Any]) -> dict[str, Any]:
        """The end, with the evidence."""
        return {**self._chunk({}, "stop"), "medground": extension}

    def _chunk(self, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": MODEL}


def error_body(message: str, kind: str, code: str | None = None) -> dict[str, Any]:
    """An error as OpenAI's clients read it."""
    sendable = message.encode("utf-8", "replace").decode()  # it may quote half of a character
    return {"error": {"message": sendable, "type": kind, "param": None, "code": code}}
