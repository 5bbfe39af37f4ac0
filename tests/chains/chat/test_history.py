from chains.chat.turn import TURN_TOKENS, Turn, truncate_history
from chains.models.base import estimated_tokens


def words(text: str) -> int:
    return len(text.split())


def make_turns(count: int, size: int = 10) -> list[Turn]:
    """Turns of ``size`` tokens, where each word of message and text is a token."""
    return [Turn(message=f"m{n}", question=f"m{n}", text="word " * (size - 1 - TURN_TOKENS)) for n in range(count)]


def test_oldest_turns_are_dropped_with_a_note() -> None:
    history = make_turns(10, size=20)
    turns, note = truncate_history(history, words, 60)
    assert turns == history[-3:]
    assert note.startswith("the 7 oldest turns were left out")
    assert truncate_history(history, words, 59)[0] == history[-2:]
    assert truncate_history(history, words, 200) == (history, None)
    assert truncate_history(history, words, 199) == (
        history[1:],
        "the oldest turn was left out: the conversation is too long for the model",
    )


def test_newest_turn_longer_than_the_budget_leaves_no_turn() -> None:
    turns, note = truncate_history(make_turns(3, size=100), words, 99)
    assert turns == []
    assert note.startswith("the 3 oldest turns were left out")
    assert truncate_history([], words, 1) == ([], None)


def test_tokens_of_the_completed_question_count() -> None:
    short = Turn(message="And in women?", question="And in women?", text="No.")
    long = Turn(message="And in women?", question="Is it so in women with asthma?", text="No.")
    budget = words(short.message) + 1 + TURN_TOKENS
    assert truncate_history([short], words, budget)[0] == [short]
    assert truncate_history([long], words, budget)[0] == []


def test_estimated_tokens_are_a_third_of_the_bytes_rounded_up() -> None:
    assert estimated_tokens("") == 0
    assert estimated_tokens("Is itch score decreased?") == 8
    assert estimated_tokens("äöü") == 2
