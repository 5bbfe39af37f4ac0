"""A turn of a conversation, and an entry of the list of conversations."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, Field

from chains.answer import Answer
from chains.marks import without_marks


def now() -> str:
    """The current time in UTC as ISO 8601 with microseconds; conversations are sorted by it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


class Turn(BaseModel, frozen=True):
    """One message and its answer.

    ``question`` is the message made self-contained, which the search uses; ``text`` is the reply that the user sees;
    ``answer`` is None for a turn of a history that the client sent; ``notes`` report changes to the message and to the
    history.
    """

    message: str
    question: str
    text: str
    answer: Answer | None = None
    notes: tuple[str, ...] = ()
    time: str = Field(default_factory=now)


class Summary(BaseModel, frozen=True):
    """An entry of the list of conversations; ``title`` is the first message unless it was renamed."""

    id: str
    title: str
    created: str
    updated: str
    turns: int


def earlier_turns(history: Sequence[Turn]) -> list[tuple[str, str]]:
    """Pairs of message and answer; citation marks are removed, since they number the passages of an earlier turn."""
    return [(turn.message, without_marks(turn.text)) for turn in history]
