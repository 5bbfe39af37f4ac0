import io
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
QUESTION = "Is itch score decreased by rotesartan in men with breast cancer?"
SETTINGS = ("--set", "retriever=bm25", "--quiet")


@pytest.fixture
def talk(command: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    def run(*lines: str, options: tuple[str, ...] = ()) -> Any:
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        return command("chat", *SETTINGS, *options)

    return run


def test_lines_are_messages_and_follow_ups_are_understood(talk: Command) -> None:
    told = talk(QUESTION, "And in women?", "")
    assert told.status == 0
    assert "No.\n  probabilities: yes 0.0" in told.out
    assert "[1] mg0312 score" in told.out
    assert "note: read as: Is itch score decreased by rotesartan in women with breast cancer?" in told.out
    assert "medground-tiny answered" in told.err
    assert "llm: medground-tiny · retriever: bm25\n" in told.err


def test_conversations_are_listed_opened_gone_on_with_and_deleted(talk: Command) -> None:
    told = talk(QUESTION, "/new", "What causes gout?", "/list", "/quit", "never asked")
    assert "*1. What causes gout?  1 turn" in told.out
    assert f" 2. {QUESTION}  1 turn" in told.out
    assert "never asked" not in told.out
    told = talk("/open 2", "And in women?", "/list")
    assert f"> {QUESTION}\nNo." in told.out
    assert f"*1. {QUESTION}  2 turns" in told.out
    told = talk("And in children?", "/list", options=("--continue",))
    assert f"*1. {QUESTION}  3 turns" in told.out
    told = talk("/delete 1", "/delete", "/list")
    assert "Deleted." in told.out
    assert "There is no current conversation." in told.out
    assert QUESTION not in told.out
    told = talk("/open 1", "/delete", "/list")
    assert "There are no conversations yet." in told.out
    files = [file for file in Path.cwd().rglob("conversations.sqlite3*") if file.stat().st_size]
    assert files
    assert not any(b"rotesartan" in file.read_bytes() for file in files)


def test_the_passages_are_shown_whole(talk: Command) -> None:
    told = talk("/passages", QUESTION, "/passages")
    assert "There are none yet." in told.out
    assert "1. mg0312  score" in told.out
    assert "The use of rotesartan brought no reduction in itch score." in " ".join(told.out.split())


def test_a_mistake_is_told_and_the_next_line_is_read(talk: Command) -> None:
    told = talk("/nothing", "/open 7", "word " * 3000 + "?", "/list", "/help", QUESTION)
    assert told.status == 0
    assert "There is no command /nothing." in told.err
    assert "There is no conversation '7'" in told.err
    assert "The question is too long" in told.err
    assert "There are no conversations yet." in told.out  # one that begins with a mistake does not begin
    assert "/delete [N]" in told.out
    assert "No.\n" in told.out


def test_the_verdict_comes_after_the_answer(talk: Command) -> None:
    told = talk(QUESTION, options=("--set", "chain.verify=report"))
    assert told.out.index("No.") < told.out.index("score") < told.out.index("verdict: ")


def test_text_cannot_steer_the_terminal(talk: Command) -> None:
    told = talk(f"{QUESTION} \x1b[2J", "/list")
    assert "\x1b" not in told.out


def test_users_are_kept_apart(talk: Command) -> None:
    talk(QUESTION, options=("--set", "chat.user=ann"))
    assert "There are no conversations yet." in talk("/list", options=("--set", "chat.user=bob")).out
    assert QUESTION in talk("/list", options=("--set", "chat.user=ann")).out


def test_a_file_that_can_no_longer_be_written_is_told(talk: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from chains.chat import Conversations

    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Conversations, "create", full)
    told = talk(QUESTION, "/list")
    assert told.status == 0
    assert "the conversations' file (chat.path): database or disk is full" in told.err
    assert "There are no conversations yet." in told.out
