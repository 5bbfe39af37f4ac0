"""``medground chat``: messages and commands from standard input."""

import io
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
QUESTION = "Is itch score decreased by rotesartan in men with breast cancer?"
SETTINGS = ("--set", "retriever=bm25", "--quiet")


@pytest.fixture
def chat(command: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """A function that runs ``medground chat`` with lines as standard input."""

    def run(*lines: str, options: tuple[str, ...] = ()) -> Any:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return command("chat", *SETTINGS, *options)

    return run


def test_follow_up_question_is_completed_from_the_conversation(chat: Command) -> None:
    outcome = chat(QUESTION, "And in women?", "")
    assert outcome.status == 0
    assert "No.\n  probabilities: yes 0.0" in outcome.out
    assert "[1] mg0312 score" in outcome.out
    assert "note: read as: Is itch score decreased by rotesartan in women with breast cancer?" in outcome.out
    assert "medground-tiny answered" in outcome.err
    assert "llm: medground-tiny · retriever: bm25\n" in outcome.err


def test_conversations_can_be_listed_opened_continued_and_deleted(chat: Command) -> None:
    outcome = chat(QUESTION, "/new", "What causes gout?", "/list", "/quit", "never asked")
    assert "*1. What causes gout?  1 turn" in outcome.out
    assert f" 2. {QUESTION}  1 turn" in outcome.out
    assert "never asked" not in outcome.out
    outcome = chat("/open 2", "And in women?", "/list")
    assert f"> {QUESTION}\nNo." in outcome.out
    assert f"*1. {QUESTION}  2 turns" in outcome.out
    outcome = chat("And in children?", "/list", options=("--continue",))
    assert f"*1. {QUESTION}  3 turns" in outcome.out
    outcome = chat("/delete 1", "/delete", "/list")
    assert "Deleted." in outcome.out
    assert "There is no current conversation." in outcome.out
    assert QUESTION not in outcome.out
    outcome = chat("/open 1", "/delete", "/list")
    assert "There are no conversations yet." in outcome.out
    files = [file for file in Path.cwd().rglob("conversations.sqlite3*") if file.stat().st_size]
    assert files
    assert not any(b"rotesartan" in file.read_bytes() for file in files)


def test_delete_while_another_program_reads_the_file_is_reported_and_ends_the_conversation(
    chat: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chains.chat.conversations import Conversations, NotErased

    delete = Conversations.delete

    def delete_but_not_erase(conversations: Conversations, user: str, id: str) -> None:
        delete(conversations, user, id)
        raise NotErased("Another program is reading.")

    monkeypatch.setattr(Conversations, "delete", delete_but_not_erase)
    outcome = chat(QUESTION, "/delete", QUESTION, "/list")
    assert "medground: Another program is reading." in outcome.err
    assert "Deleted." not in outcome.out
    assert f"*1. {QUESTION}  1 turn" in outcome.out


def test_passages_command_shows_the_full_passages_of_the_last_answer(chat: Command) -> None:
    outcome = chat("/passages", QUESTION, "/passages")
    assert "There are none yet." in outcome.out
    assert "1. mg0312  score" in outcome.out
    assert "The use of rotesartan brought no reduction in itch score." in " ".join(outcome.out.split())


def test_passages_are_those_of_the_current_conversation(chat: Command) -> None:
    outcome = chat(QUESTION, "/new", "/passages", "/open 1", "/passages", "/delete", "/passages")
    _, started, rest = re.split(r"starts a new conversation\.|(?=> Is itch)", outcome.out)
    opened, deleted = rest.split("Deleted.")
    assert "There are none yet." in started
    assert "1. mg0312  score" in opened
    assert "There are none yet." in deleted


def test_message_that_is_not_utf8_is_reported_and_the_session_continues(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = io.BytesIO("Ist Fieber schädlich?\n/help\n".encode("latin-1"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(lines, encoding="utf-8"))
    outcome = command("chat", *SETTINGS)
    assert outcome.status == 0
    assert "bytes that are not UTF-8" in outcome.err
    assert "/delete [N]" in outcome.out


def test_session_continues_after_invalid_input(chat: Command) -> None:
    outcome = chat("/nothing", "/open 7", "word " * 3000 + "?", "/list", "/help", QUESTION)
    assert outcome.status == 0
    assert "There is no command /nothing." in outcome.err
    assert "There is no conversation '7'" in outcome.err
    assert "The question is too long" in outcome.err
    assert "There are no conversations yet." in outcome.out  # the question that is too long creates none
    assert "/delete [N]" in outcome.out
    assert "No.\n" in outcome.out


def test_verdict_is_printed_after_answer_and_quotes(chat: Command) -> None:
    outcome = chat(QUESTION, options=("--set", "chain.verify=report"))
    assert outcome.out.index("No.") < outcome.out.index("score") < outcome.out.index("verdict: ")


def test_control_characters_of_messages_are_escaped(chat: Command) -> None:
    outcome = chat(f"{QUESTION} \x1b[2J", "/list")
    assert "\x1b" not in outcome.out


def test_users_see_only_their_own_conversations(chat: Command) -> None:
    chat(QUESTION, options=("--set", "chat.user=ann"))
    assert "There are no conversations yet." in chat("/list", options=("--set", "chat.user=bob")).out
    assert QUESTION in chat("/list", options=("--set", "chat.user=ann")).out


def test_full_disk_is_reported_and_the_session_continues(chat: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from chains.chat import Conversations

    def raise_full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Conversations, "create", raise_full)
    outcome = chat(QUESTION, "/list")
    assert outcome.status == 0
    assert "the conversations' file (chat.path): database or disk is full" in outcome.err
    assert "There are no conversations yet." in outcome.out
