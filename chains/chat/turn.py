"""One question and its answer in a conversation, and what a user sees of a conversation in a list."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from chains.answer import Answer
from chains.marks import without_marks


def now() -> str:
    """The time of day as ISO 8601 in UTC, to the microsecond: conversations are put in order by it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Turn(BaseModel):
    """What was said and what was answered.

    ``message`` is the user's text, ``question`` the same made self-contained, which is what was searched for, ``text``
    what the user was told. ``answer`` has the evidence; it is None where a client brought its own history. ``notes``
    tell what was done to the message and to the history.
    """

    model_config = ConfigDict(frozen=True)

    message: str
    question: str
    text: str
    answer: Answer | None = None
    notes: tuple[str, ...] = ()
    time: str = Field(default_factory=now)


class Summary(BaseModel):
    """A conversation as a list shows it; ``title`` is its first message unless it was given another."""

    model_config = ConfigDict(frozen=True)

    id: str
    title: str
    created: str
    updated: str
    turns: int


def said_before(history: Sequence[Turn]) -> list[tuple[str, str]]:
    """The turns as pairs of message and answer; marks are left out, since they number the passages of their turn."""
    return [(turn.message, without_marks(turn.text)) for turn in history]
