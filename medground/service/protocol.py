"""JSON bodies of the API: OpenAI's chat completions with the field ``medground``, and requests of other routes."""

import re
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from chains.answer import Answer, Citation
from chains.chat.turn import Turn
from chains.marks import passage_numbers
from chains.verification.statements import Check
from common.errors import UserError

MODEL = "medground"  # name of the only model
NEW = "new"  # in place of a conversation's id, to create a conversation
_EVIDENCE_FIELDS = {
    "label", "label_scores", "sentences", "removed", "citations", "passages", "verdict", "verification", "conflicts",
    "withheld",
}  # fmt: skip
# Matches the output of ``footnotes``: an empty line, then lines for passages, sentences, verdict and notes.
_FOOTNOTE = r"(?:\[\d+\] [^\n]*|(?:Sentences|Verdict|Note): [^\n]*)"
_FOOTNOTES = re.compile(rf"\n\n{_FOOTNOTE}(?:\n{_FOOTNOTE})*\Z")
_ERROR_TYPES = {401: "authentication_error", 429: "rate_limit_error"}  # by status


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it contains a lone surrogate, which is not a valid character") from error
    return text


class _Part(BaseModel):
    """A part of a message's content; only text is supported."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One message of the conversation that the client sends."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Part] | None = None

    @property
    def text(self) -> str:
        """The content as one text."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""

    @field_validator("content", mode="before")
    @classmethod
    def _has_only_text(cls, content: object) -> object:
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and (kind := part.get("type")) not in ("text", None):
                raise ValueError(f"a part is of type {kind!r}, and the service reads text only; leave this part out")
        return content

    @model_validator(mode="after")
    def _is_encodable(self) -> Self:
        _encodable(self.text)
        return self


class _ResponseFormat(BaseModel):
    """Only text is supported."""

    type: Literal["text"]


class Extension(BaseModel):
    """Fields of a request beyond OpenAI's protocol.

    Attributes:
        conversation: ``new`` creates a stored conversation, an id continues one. For both, only the last message is
            read. Null stores nothing.
    """

    model_config = ConfigDict(extra="forbid")

    conversation: str | None = Field(default=None, pattern=r"^(new|[0-9a-f]{32})$")


def _none_given(tools: list[Any] | None) -> list[Any] | None:
    if tools:
        raise ValueError("the service cannot call tools; leave them out")
    return tools


Unsupported = Annotated[list[Any] | None, AfterValidator(_none_given)]


class ChatRequest(BaseModel):
    """The body of ``POST /v1/chat/completions``; OpenAI's other fields, such as temperature, are ignored."""

    model: str = MODEL
    messages: list[Message] = Field(min_length=1)
    stream: bool | None = None
    n: Literal[1] | None = None
    response_format: _ResponseFormat | None = None
    tools: Unsupported = Field(default=None, description="Tools cannot be called.")
    functions: Unsupported = Field(default=None, description="Functions cannot be called.")
    medground: Extension | None = None

    @property
    def conversation(self) -> str | None:
        """The stored conversation that the request belongs to, if any."""
        return self.medground.conversation if self.medground is not None else None


Statement = Annotated[str, Field(max_length=20_000), AfterValidator(_encodable)]


class CheckRequest(BaseModel):
    """The body of ``POST /v1/check``: one statement, or a list of them."""

    model_config = ConfigDict(extra="forbid")

    statement: Statement | None = None
    statements: list[Statement] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _has_one_field(self) -> Self:
        if (self.statement is None) == (self.statements is None):
            raise ValueError("give statement or statements")
        return self


class Login(BaseModel):
    """The body of ``POST /v1/session``."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=4096)


class Rename(BaseModel):
    """The body of ``PATCH /v1/conversations/ID``."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, AfterValidator(_encodable)]


def history(messages: Sequence[Message]) -> list[tuple[str, str]]:
    """Roles and texts of the messages before the last, answers without their footnotes."""
    return [
        (message.role, _FOOTNOTES.sub("", message.text) if message.role == "assistant" else message.text)
        for message in messages[:-1]
    ]


def footnotes(answer: Answer | None, note: str | None) -> str:
    """Lines added to an answer: one for each quote with its passage's number, then those of verdicts and notes.

    A cited passage without a quote gets a line too.
    """
    if answer is None:
        return ""
    lines = []
    for number, id, origin, citation in cited_sources(answer):
        text = f"{id} ({origin})" if origin else id
        if citation is not None:
            also = f" (also in {'; '.join(citation.also_in)})" if citation.also_in else ""
            text += f"{also}: \u201c{citation.readable}\u201d"
        lines.append((f"[{number}] " if number else "") + " ".join(text.split()))
    if support := support_in_words(answer):
        lines.append(f"Sentences: {support}.")
    if answer.verdict is not None:
        lines.append(f"Verdict: {answer.verdict}.")
    notes = (*answer.notes, *([note] if note is not None else []))
    lines += [f"Note: {' '.join(text.split())}" for text in notes]
    return "\n\n" + "\n".join(lines) if lines else ""


def cited_sources(answer: Answer) -> Iterator[tuple[int | None, str, str | None, Citation | None]]:
    """Number, id, origin and citation of each quote, then of each passage that sentences cite without a quote."""
    numbers = passage_numbers(answer.passages)
    origins = {passage.id: passage.origin for passage in answer.passages if passage.origin}
    for citation in answer.citations:
        yield numbers.get(citation.passage_id), citation.passage_id, origins.get(citation.passage_id), citation
    quoted = {citation.passage_id for citation in answer.citations}
    cited = {number for sentence in answer.sentences for number in sentence.citations}
    for number, passage in enumerate(answer.passages, start=1):
        if number in cited and passage.id not in quoted:
            yield number, passage.id, origins.get(passage.id), None


def support_in_words(answer: Answer) -> str:
    """Verdict and attributed citations of each sentence by its number, such as "1 supported; 2 attributed to [3]"."""
    parts = []
    for number, sentence in enumerate(answer.sentences, start=1):
        cited = "".join(f"[{passage}]" for passage in sentence.citations)
        attributed = f"attributed to {cited}" if sentence.attributed else ""
        if support := ", ".join(filter(None, (sentence.verdict, attributed))):
            parts.append(f"{number} {support}")
    return "; ".join(parts)


def evidence(turn: Turn, conversation: str | None, note: str | None) -> dict[str, Any]:
    """The field ``medground`` of an answer; documented in docs/service.md."""
    answer = turn.answer
    fields = {} if answer is None else answer.model_dump(mode="json", include=_EVIDENCE_FIELDS)
    notes = [*turn.notes, *(answer.notes if answer is not None else ()), *([note] if note else [])]
    return {"conversation": conversation, "question": turn.question, "text": turn.text, **fields, "notes": notes}


def finish_reason(answer: Answer | None) -> str:
    """``length`` if the token limit cut the answer's text off, else ``stop``."""
    return "length" if answer is not None and answer.truncated and answer.withheld is None else "stop"


def check_result(statement: str, result: Check | UserError) -> dict[str, Any]:
    """The JSON object of a checked statement, documented in docs/check.md; with ``error`` if the check failed."""
    if isinstance(result, Check):
        return {"object": "check", **result.model_dump(mode="json")}
    return {"object": "check", "statement": statement, **error_body(400, str(result))}


class Completion:
    """The JSON objects of one completion; all have the same id and time."""

    def __init__(self) -> None:
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())

    def complete(self, text: str, reason: str, extension: dict[str, Any]) -> dict[str, Any]:
        """The answer as one object; ``reason`` is its ``finish_reason``, ``extension`` the field ``medground``."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": None,
            "finish_reason": reason,
        }
        return {**self._head("chat.completion"), "choices": [choice], "usage": None, "medground": extension}

    def chunk(self, text: str | None = None, *, first: bool = False) -> dict[str, Any]:
        """A chunk of the answer's text."""
        delta = {**({"role": "assistant"} if first else {}), "content": text or ""}
        return self._chunk(delta, None)

    def last(self, reason: str, extension: dict[str, Any]) -> dict[str, Any]:
        """The last chunk; ``reason`` is its ``finish_reason``, ``extension`` the field ``medground``."""
        return {**self._chunk({}, reason), "medground": extension}

    def _chunk(self, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": MODEL}


def error_body(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's format, whose type depends on the HTTP status."""
    encodable = message.encode("utf-8", "replace").decode()  # the message may quote a lone surrogate
    kind = _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": encodable, "type": kind, "param": None, "code": code}}
