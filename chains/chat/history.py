"""Truncation of a conversation to the newest turns that fit the token budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chains.chat.turn import Turn

TURN_TOKENS = 8  # approximate tokens of the chat template per turn


@dataclass(frozen=True, slots=True)
class Kept:
    """The newest turns that fit, oldest first, and the number of older turns."""

    turns: tuple[Turn, ...]
    dropped: int

    @property
    def note(self) -> str | None:
        """The note for the reader; None if all turns fit."""
        if not self.dropped:
            return None
        what = "the oldest turn was" if self.dropped == 1 else f"the {self.dropped} oldest turns were"
        return f"{what} left out: the conversation is too long for the model"


def keep(history: Sequence[Turn], count: Callable[[str], int], budget: int) -> Kept:
    """The longest run of newest turns whose messages, questions and answers take at most ``budget`` tokens."""
    room = budget
    for kept, turn in enumerate(reversed(history)):
        questions = turn.message if turn.message == turn.question else f"{turn.message}\n{turn.question}"
        room -= count(questions) + count(turn.text) + TURN_TOKENS
        if room < 0:
            return Kept(tuple(history[len(history) - kept :]), len(history) - kept)
    return Kept(tuple(history), 0)
