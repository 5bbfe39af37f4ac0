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
from chains.chat.events import ChatEvent, DoneEvent
from chains.chat.writer import Writer, WrittenAnswers
from chains.qa.chain import qa_chain
from chains.qa.extractive import extractive_chain
from chains.rewriting.followup_rules import Completed
from chains.verification.answers import Verifier, verified_chain
from common.errors import UserError

TEXTS = {"a": "Aspirin works. It was cheap.", "z": "Zinc fails. It was dear."}
QUESTION = "Is it so of aspirin?"


def words(text: str) -> int:
    return len(text.split())


def chat(conversations: Conversations | None = None, budget: int = 1000, **more: Any) -> Chat:
    chain = more.pop("chain", None) or qa_chain(ObeyingLLM(), WordRetriever(texts=TEXTS))
    return Chat(chain, conversations, count=words, budget=budget, **more)


def judged(answer: Answer) -> Answer:
    return Verifier(WordNLI()).verify([answer])[0]


def kinds(events: Sequence[ChatEvent]) -> list[str]:
    return [event.kind for event in events]


def test_the_question_comes_first_then_the_text_the_citations_and_the_verdict() -> None:
    events = list(chat(verifier=judged).stream([], QUESTION))
    assert kinds(events) == ["question", "token", "answer", "verdict", "done"]
    given, verdict, done = events[2:]
    assert given.answer.verdict is None  # type: ignore[union-attr]
    assert given.answer.citations[0].passage_id == "a"  # type: ignore[union-attr]
    assert verdict.answer.verdict == "supported"  # type: ignore[union-attr]
    assert done.turn.answer == verdict.answer  # type: ignore[union-attr]
    assert done.turn.text == "Yes."  # type: ignore[union-attr]


def test_without_a_verifier_there_is_no_verdict() -> None:
    assert kinds(list(chat().stream([], QUESTION))) == ["question", "token", "answer", "done"]


def test_the_pieces_joined_are_the_text() -> None:
    quoting = chat(chain=extractive_chain(WordRetriever(texts=TEXTS)))
    events = list(quoting.stream([], "Does aspirin help?"))
    pieces = [event.text for event in events if event.kind == "token"]
    assert len(pieces) > 1
    assert "".join(pieces) == events[-1].turn.text == "Aspirin works."  # type: ignore[union-attr]


def test_a_follow_up_is_searched_for_as_it_was_completed() -> None:
    retriever = WordRetriever(texts=TEXTS)
    talk = chat(chain=qa_chain(ObeyingLLM(), retriever))
    first = Turn(message="m", question="Does aspirin lower pain in women with gout?", text="Yes.")
    turn = talk.reply([first], "And in men?")
    assert retriever.searches == [["Does aspirin lower pain in men with gout?"]]
    assert (turn.message, turn.question) == ("And in men?", "Does aspirin lower pain in men with gout?")
    assert turn.notes == ("read as: Does aspirin lower pain in men with gout?",)


def test_the_oldest_turns_are_dropped_and_it_is_said() -> None:
    seen: list[int] = []

    def rewriter(history: Sequence[Turn], message: str) -> Completed:
        seen.append(len(history))
        return Completed(message)

    history = [Turn(message=f"m{n}", question=f"m{n}", text="No.") for n in range(20)]
    turn = chat(budget=50, rewriter=rewriter).reply(history, QUESTION)
    assert seen == [5]
    assert turn.notes == ("the 15 oldest turns were left out: the conversation is too long for the model",)


def test_a_writer_is_shown_what_is_kept_of_the_conversation_and_no_other() -> None:
    model = ObeyingWriter()
    talk = chat(written=WrittenAnswers(Writer(model)), budget=24)
    history = [Turn(message=f"message{n} one two", question=f"message{n} one two", text="No.") for n in range(5)]
    turn = talk.reply(history, QUESTION)
    assert turn.text == turn.answer.text == "It says so [1]."  # type: ignore[union-attr]
    assert turn.answer is not None
    assert turn.answer.label == "yes"
    assert [one["content"] for one in model.shown[0][1:-1]] == ["message3 one two", "No.", "message4 one two", "No."]


def test_an_answer_that_was_withheld_is_not_written() -> None:
    chain = verified_chain(
        qa_chain(ObeyingLLM(), WordRetriever(texts={"a": "Aspirin fails, it works not."})), WordNLI(), verify="abstain"
    )
    turn = chat(chain=chain, written=WrittenAnswers(Writer(ObeyingWriter()))).reply([], QUESTION)
    assert turn.text.startswith("No answer is given: what the model answered is contradicted")


@pytest.mark.parametrize("message", ["", "  \n", "\u200b"])
def test_an_empty_message_is_refused(message: str) -> None:
    with pytest.raises(UserError, match="empty"):
        chat().reply([], message)


def test_a_message_too_long_to_be_a_question_is_refused() -> None:
    with pytest.raises(UserError, match=r"The question is too long: it has 20,001 characters, the maximum is 20,000"):
        next(chat().stream([], "x" * 20_001))
    assert next(chat().stream([], "x" * 20_000)).kind == "question"


@pytest.fixture
def kept(tmp_path: Path) -> Conversations:
    return Conversations(tmp_path / "c.sqlite3")


def test_a_stored_conversation_is_created_and_continued(kept: Conversations) -> None:
    talk = chat(kept, verifier=judged)
    *_, first = talk.converse("ann", None, "Does aspirin lower pain in women with gout?")
    assert isinstance(first, DoneEvent)
    assert first.conversation is not None
    *_, done = talk.converse("ann", first.conversation, "And in men?")
    assert isinstance(done, DoneEvent)
    assert done.conversation == first.conversation
    assert done.turn.question == "Does aspirin lower pain in men with gout?"
    assert kept.read("ann", first.conversation) == [first.turn, done.turn]
    assert talk.conversations is kept


def test_a_turn_is_stored_before_done_and_a_stopped_one_is_not(kept: Conversations) -> None:
    talk = chat(kept)
    events = talk.converse("ann", None, QUESTION)
    assert next(events).kind == "question"
    assert next(events).kind == "token"
    events.close()  # type: ignore[attr-defined]
    assert kept.list("ann") == []
    for event in talk.converse("ann", None, QUESTION):
        assert len(kept.list("ann")) == (event.kind == "done")


def test_another_user_s_conversation_cannot_be_continued(kept: Conversations) -> None:
    *_, done = chat(kept).converse("ann", None, QUESTION)
    assert isinstance(done, DoneEvent)
    assert done.conversation is not None
    with pytest.raises(NoConversation):
        list(chat(kept).converse("bob", done.conversation, QUESTION))
    assert len(kept.read("ann", done.conversation)) == 1


def test_a_conversation_that_is_deleted_meanwhile_stays_deleted(kept: Conversations) -> None:
    *_, done = chat(kept).converse("ann", None, QUESTION)
    assert isinstance(done, DoneEvent)
    assert done.conversation is not None
    events = chat(kept).converse("ann", done.conversation, QUESTION)
    next(events)
    kept.delete("ann", done.conversation)
    with pytest.raises(NoConversation):
        list(events)
    assert kept.list("ann") == []


def test_a_chat_without_a_file_says_so() -> None:
    with pytest.raises(UserError, match="stores no conversations"):
        _ = chat().conversations


def test_a_client_s_own_history_is_read() -> None:
    messages = [
        ("system", "Be kind."),
        ("user", "Does aspirin lower pain in women with gout?"),
        ("assistant", "Yes."),
        ("assistant", "Really."),
        ("user", "And in men?"),
        ("tool", "x"),
        ("assistant", "No."),
    ]
    turns = chat().replayed(messages)
    assert [(turn.message, turn.question, turn.text) for turn in turns] == [
        (messages[1][1], messages[1][1], "Yes.\nReally."),
        ("And in men?", "Does aspirin lower pain in men with gout?", "No."),
    ]
    assert chat().replayed([("assistant", "Hello.")]) == []


def test_closing_a_stream_closes_the_writer() -> None:
    closed: list[bool] = []

    class Endless(ObeyingWriter):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            try:
                while True:
                    yield ChatGenerationChunk(message=AIMessageChunk("on and on "))
            finally:
                closed.append(True)

    events = chat(written=WrittenAnswers(Writer(Endless()))).stream([], QUESTION)
    while next(events).kind != "token":
        pass
    events.close()  # type: ignore[attr-defined]
    assert closed == [True]
