"""Truncation of a conversation to the newest turns that fit the token budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chains.chat.turn import Turn

TURN_TOKENS = 8  # approximate tokens of the chat template per turn


@dataclass(frozen=True, slots=True)
class TruncatedHistory:
    """The newest turns that fit, oldest first, and the number of dropped older turns."""

    turns: tuple[Turn, ...]
    dropped: int

    @property
    def note(self) -> str | None:
        """The note for the user; None if all turns fit."""
        if not self.dropped:
            return None
        turns = "the oldest turn was" if self.dropped == 1 else f"the {self.dropped} oldest turns were"
        return f"{turns} left out: the conversation is too long for the model"


def truncate_history(history: Sequence[Turn], count: Callable[[str], int], budget: int) -> TruncatedHistory:
    """As many of the newest turns as fit in ``budget`` tokens; ``count`` counts the tokens of a text."""
    room = budget
    for fitting, turn in enumerate(reversed(history)):
        user_text = turn.message if turn.message == turn.question else f"{turn.message}\n{turn.question}"
        room -= count(user_text) + count(turn.text) + TURN_TOKENS
        if room < 0:
            dropped = len(history) - fitting
            return TruncatedHistory(tuple(history[dropped:]), dropped)
    return TruncatedHistory(tuple(history), 0)
