from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from obeying import ObeyingLLM, ObeyingWriter
from word_nli import WordNLI
from word_retriever import WordRetriever

from chains.answer import Answer
from chains.chat import Chat, Conversations, NoConversation, Turn
from chains.chat.events import ChatEvent
from chains.chat.writer import Writer, WrittenAnswers
from chains.qa.chain import qa_chain
from chains.qa.extractive import extractive_chain
from chains.rewriting.followup_rules import RewrittenQuestion
from chains.verification.answers import Verifier, verified_chain
from common.errors import UserError

TEXTS = {"a": "Aspirin works. It was cheap.", "z": "Zinc fails. It was dear."}
QUESTION = "Is it so of aspirin?"


def words(text: str) -> int:
    return len(text.split())


def make_chat(conversations: Conversations | None = None, budget: int = 1000, **options: Any) -> Chat:
    chain = options.pop("chain", None) or qa_chain(ObeyingLLM(), WordRetriever(texts=TEXTS))
    return Chat(chain, conversations, count=words, budget=budget, **options)


def verify(answer: Answer) -> Answer:
    return Verifier(WordNLI()).verify([answer])[0]


def kinds(events: Sequence[ChatEvent]) -> list[str]:
    return [event.kind for event in events]


def test_events_are_question_token_answer_verdict_and_done() -> None:
    events = list(make_chat(verifier=verify).stream([], QUESTION))
    assert kinds(events) == ["question", "token", "answer", "verdict", "done"]
    answered, verdict, done = events[2:]
    assert answered.answer.verdict is None
    assert answered.answer.citations[0].passage_id == "a"
    assert verdict.answer.verdict == "supported"
    assert done.turn.answer == verdict.answer
    assert done.turn.text == "Yes."


def test_chat_without_verifier_sends_no_verdict() -> None:
    assert kinds(list(make_chat().stream([], QUESTION))) == ["question", "token", "answer", "done"]


def test_joined_tokens_are_the_text_of_the_turn() -> None:
    extractive_chat = make_chat(chain=extractive_chain(WordRetriever(texts=TEXTS)))
    events = list(extractive_chat.stream([], "Does aspirin help?"))
    pieces = [event.text for event in events if event.kind == "token"]
    assert len(pieces) > 1
    assert "".join(pieces) == events[-1].turn.text == "Aspirin works."


def test_completed_follow_up_is_searched_for() -> None:
    retriever = WordRetriever(texts=TEXTS)
    chat = make_chat(chain=qa_chain(ObeyingLLM(), retriever))
    first = Turn(message="m", question="Does aspirin lower pain in women with gout?", text="Yes.")
    turn = chat.reply([first], "And in men?")
    assert retriever.searches == [["Does aspirin lower pain in men with gout?"]]
    assert (turn.message, turn.question) == ("And in men?", "Does aspirin lower pain in men with gout?")
    assert turn.notes == ("read as: Does aspirin lower pain in men with gout?",)


def test_dropped_oldest_turns_are_noted() -> None:
    history_lengths: list[int] = []

    def rewriter(history: Sequence[Turn], message: str) -> RewrittenQuestion:
        history_lengths.append(len(history))
        return RewrittenQuestion(message)

    history = [Turn(message=f"m{n}", question=f"m{n}", text="No.") for n in range(20)]
    turn = make_chat(budget=50, rewriter=rewriter).reply(history, QUESTION)
    assert history_lengths == [5]  # a turn takes 10 tokens: a word each of message and text, 8 of the chat template
    assert turn.notes == ("the 15 oldest turns were left out: the conversation is too long for the model",)


def test_writer_sees_only_the_turns_within_the_budget() -> None:
    model = ObeyingWriter()
    chat = make_chat(written=WrittenAnswers(Writer(model)), budget=24)  # two turns of 12 tokens
    history = [Turn(message=f"message{n} one two", question=f"message{n} one two", text="No.") for n in range(5)]
    turn = chat.reply(history, QUESTION)
    assert turn.text == turn.answer.text == "It says so [1]."
    assert turn.answer.label == "yes"
    assert [one["content"] for one in model.shown[0][1:-1]] == ["message3 one two", "No.", "message4 one two", "No."]


def test_withheld_answer_is_not_written() -> None:
    chain = verified_chain(
        qa_chain(ObeyingLLM(), WordRetriever(texts={"a": "Aspirin fails, it works not."})), WordNLI(), verify="abstain"
    )
    turn = make_chat(chain=chain, written=WrittenAnswers(Writer(ObeyingWriter()))).reply([], QUESTION)
    assert turn.text.startswith("No answer is given: what the model answered is contradicted")


@pytest.mark.parametrize("message", ["", "  \n", "\u200b"])
def test_empty_message_is_refused(message: str) -> None:
    with pytest.raises(UserError, match="empty"):
        make_chat().reply([], message)


def test_message_of_more_than_20000_characters_is_refused() -> None:
    with pytest.raises(UserError, match=r"The question is too long: it has 20,001 characters, the maximum is 20,000"):
        next(make_chat().stream([], "x" * 20_001))
    assert next(make_chat().stream([], "x" * 20_000)).kind == "question"


@pytest.fixture
def store(tmp_path: Path) -> Conversations:
    return Conversations(tmp_path / "c.sqlite3")


def test_stored_conversation_is_created_and_continued(store: Conversations) -> None:
    chat = make_chat(store, verifier=verify)
    *_, first = chat.converse("ann", None, "Does aspirin lower pain in women with gout?")
    *_, done = chat.converse("ann", first.conversation, "And in men?")
    assert done.conversation == first.conversation
    assert done.turn.question == "Does aspirin lower pain in men with gout?"
    assert store.read("ann", first.conversation) == [first.turn, done.turn]
    assert chat.conversations is store


def test_turn_is_stored_before_the_event_done_and_not_stored_if_the_stream_is_closed(store: Conversations) -> None:
    chat = make_chat(store)
    events = chat.converse("ann", None, QUESTION)
    assert next(events).kind == "question"
    assert next(events).kind == "token"
    events.close()
    assert store.list("ann") == []
    for event in chat.converse("ann", None, QUESTION):
        assert len(store.list("ann")) == (event.kind == "done")


def test_conversation_of_another_user_cannot_be_continued(store: Conversations) -> None:
    *_, done = make_chat(store).converse("ann", None, QUESTION)
    with pytest.raises(NoConversation):
        list(make_chat(store).converse("bob", done.conversation, QUESTION))
    assert len(store.read("ann", done.conversation)) == 1


def test_conversation_deleted_during_an_answer_stays_deleted(store: Conversations) -> None:
    *_, done = make_chat(store).converse("ann", None, QUESTION)
    events = make_chat(store).converse("ann", done.conversation, QUESTION)
    next(events)
    store.delete("ann", done.conversation)
    with pytest.raises(NoConversation):
        list(events)
    assert store.list("ann") == []


def test_chat_without_a_store_raises_user_error() -> None:
    with pytest.raises(UserError, match="stores no conversations"):
        _ = make_chat().conversations


def test_replayed_history_of_a_client_has_completed_questions() -> None:
    messages = [
        ("system", "Be kind."),
        ("user", "Does aspirin lower pain in women with gout?"),
        ("assistant", "Yes."),
        ("assistant", "Really."),
        ("user", "And in men?"),
        ("tool", "x"),
        ("assistant", "No."),
    ]
    turns = make_chat().replayed(messages)
    assert [(turn.message, turn.question, turn.text) for turn in turns] == [
        (messages[1][1], messages[1][1], "Yes.\nReally."),
        ("And in men?", "Does aspirin lower pain in men with gout?", "No."),
    ]
    assert make_chat().replayed([("assistant", "Hello.")]) == []


def test_closing_the_stream_closes_the_writer() -> None:
    closed: list[bool] = []

    class EndlessWriter(ObeyingWriter):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            try:
                while True:
                    yield ChatGenerationChunk(message=AIMessageChunk("on and on "))
            finally:
                closed.append(True)

    events = make_chat(written=WrittenAnswers(Writer(EndlessWriter()))).stream([], QUESTION)
    while next(events).kind != "token":
        pass
    events.close()
    assert closed == [True]
