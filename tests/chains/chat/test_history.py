from chains.chat.history import TURN_TOKENS, truncate_history
from chains.chat.turn import Turn
from chains.models.base import estimated_tokens


def words(text: str) -> int:
    return len(text.split())


def turns(count: int, size: int = 10) -> list[Turn]:
    return [Turn(message=f"m{n}", question=f"m{n}", text="word " * (size - 1 - TURN_TOKENS)) for n in range(count)]


def test_the_oldest_turns_are_left_out_and_it_is_said() -> None:
    history = turns(10, size=20)
    kept = truncate_history(history, words, 60)
    assert kept.turns == tuple(history[-3:])
    assert kept.dropped == 7
    assert kept.note is not None
    assert kept.note.startswith("the 7 oldest turns were left out")
    assert truncate_history(history, words, 59).dropped == 8
    assert truncate_history(history, words, 200).note is None
    assert truncate_history(history, words, 199).note == (
        "the oldest turn was left out: the conversation is too long for the model"
    )


def test_a_turn_too_long_for_the_budget_leaves_nothing() -> None:
    kept = truncate_history(turns(3, size=100), words, 99)
    assert (kept.turns, kept.dropped) == ((), 3)
    assert truncate_history([], words, 1).turns == ()


def test_what_a_message_was_completed_to_counts_too() -> None:
    short = Turn(message="And in women?", question="And in women?", text="No.")
    long = Turn(message="And in women?", question="Is it so in women with asthma?", text="No.")
    budget = words(short.message) + 1 + TURN_TOKENS
    assert truncate_history([short], words, budget).dropped == 0
    assert truncate_history([long], words, budget).dropped == 1


def test_the_estimate_is_cautious() -> None:
    assert estimated_tokens("") == 0
    assert estimated_tokens("Is itch score decreased?") == 8
    assert estimated_tokens("äöü") == 2
