"""A turn of a conversation, and an entry of the list of conversations."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, Field

from chains.answer import Answer
from chains.marks import without_marks

TURN_TOKENS = 8  # approximate tokens of the chat template per turn


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
    """An entry of the list of conversations; ``title`` is the first message unless the conversation was renamed."""

    id: str
    title: str
    created: str
    updated: str
    turns: int


def earlier_turns(history: Sequence[Turn]) -> list[tuple[str, str]]:
    """Pairs of message and answer; citation marks are removed, since they number the passages of an earlier turn."""
    return [(turn.message, without_marks(turn.text)) for turn in history]


def truncate_history(
    history: Sequence[Turn], count: Callable[[str], int], budget: int
) -> tuple[Sequence[Turn], str | None]:
    """The newest turns that fit in ``budget`` tokens, oldest first, and a note if older turns are left out.

    ``count`` counts the tokens of a text.
    """
    room = budget
    for fitting, turn in enumerate(reversed(history)):
        user_text = turn.message if turn.message == turn.question else f"{turn.message}\n{turn.question}"
        room -= count(user_text) + count(turn.text) + TURN_TOKENS
        if room < 0:
            dropped = len(history) - fitting
            turns = "the oldest turn was" if dropped == 1 else f"the {dropped} oldest turns were"
            return history[dropped:], f"{turns} left out: the conversation is too long for the model"
    return history, None
