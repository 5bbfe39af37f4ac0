"""Conversations in one SQLite file, each belonging to one user."""

import os
import sqlite3
import threading
import uuid
from collections.abc import Sequence
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from chains.chat.turn import Summary, Turn, now
from common.errors import UserError

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

_TITLE = 80  # characters of a first message that become the title
_TABLE = """
CREATE TABLE IF NOT EXISTS conversations (
    user TEXT NOT NULL, id TEXT NOT NULL, title TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL,
    turns INTEGER NOT NULL, PRIMARY KEY (user, id)
)
"""


class NoConversation(UserError):  # noqa: N818  (it says what is the matter, as a 404 does)
    """The user has no conversation of that id; another user may have."""


class _State(TypedDict):
    turns: Annotated[list[dict[str, Any]], add]


class Conversations:
    """Starts, lists, reads, adds to and deletes conversations; every call names the user, who reaches only their own.

    The turns are the state of a LangGraph thread, kept by LangGraph's SQLite checkpointer; of a thread only the last
    checkpoint stays, since each holds all turns. A table beside the checkpointer's says whose a conversation is. Calls
    may come from any number of threads. What is deleted is overwritten: SQLite zeroes freed space (``secure_delete``),
    and the log of recent writes is emptied into the file.

    Args:
        path: the file; it and its folder are made where they are not there, readable by their owner only.

    Raises:
        UserError: the file cannot be opened, or is no such file.
    """

    def __init__(self, path: Path | str) -> None:
        from langgraph.checkpoint.sqlite import SqliteSaver
        from langgraph.graph import END, START, StateGraph

        self._path = Path(path).expanduser()
        self._lock = threading.RLock()
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._connection = sqlite3.connect(self._path, check_same_thread=False, timeout=30)
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.execute(_TABLE)
            self._saver = SqliteSaver(self._connection)
            self._saver.setup()
        except (OSError, sqlite3.DatabaseError) as error:
            raise UserError(
                f"Conversations cannot be kept in {self._path}: {error}. Set chat.path to another file."
            ) from error
        graph = StateGraph(_State)
        graph.add_node("keep", lambda _: {"turns": []})
        graph.add_edge(START, "keep")
        graph.add_edge("keep", END)
        self._graph = graph.compile(checkpointer=self._saver)

    def start(self, user: str, title: str = "") -> str:
        """Begin a conversation; its id.

        Raises:
            UserError: the user has no name.
        """
        if not user.strip():
            raise UserError("A conversation belongs to a user, and the user's name is empty. Set chat.user.")
        id, time = uuid.uuid4().hex, now()
        with self._lock, self._connection:
            row = (user, id, title.strip()[:_TITLE], time, time, 0)
            self._connection.execute("INSERT INTO conversations VALUES (?, ?, ?, ?, ?, ?)", row)
        return id

    def list(self, user: str) -> list[Summary]:
        """The user's conversations, the one that was added to last first."""
        columns = "id, title, created, updated, turns"
        query = f"SELECT {columns} FROM conversations WHERE user = ? ORDER BY updated DESC, rowid DESC"
        with self._lock:
            rows = self._connection.execute(query, (user,)).fetchall()
        return [Summary(**dict(zip(columns.split(", "), row, strict=True))) for row in rows]

    def read(self, user: str, id: str) -> Sequence[Turn]:
        """The turns of a conversation, oldest first.

        Raises:
            NoConversation: the user has none of this id.
        """
        with self._lock:
            self._check(user, id)
            values = self._graph.get_state(_thread(user, id)).values
        return [Turn.model_validate(turn) for turn in values.get("turns", ())]

    def append(self, user: str, id: str, turn: Turn) -> None:
        """Add a turn; it is on disk when this returns.

        Raises:
            NoConversation: the user has none of this id, or no longer.
        """
        with self._lock:
            self._check(user, id)
            config = _thread(user, id)
            self._graph.invoke({"turns": [turn.model_dump(mode="json")]}, config, durability="exit")
            last = self._graph.get_state(config).config["configurable"]["checkpoint_id"]
            older = (config["configurable"]["thread_id"], last)
            with self._connection:
                for table in ("checkpoints", "writes"):
                    query = f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_id <> ?"
                    self._connection.execute(query, older)
                self._connection.execute(
                    "UPDATE conversations SET updated = ?, turns = turns + 1, "
                    "title = CASE WHEN title = '' THEN ? ELSE title END WHERE user = ? AND id = ?",
                    (turn.time, " ".join(turn.message.split())[:_TITLE], user, id),
                )

    def delete(self, user: str, id: str) -> None:
        """Delete a conversation from the file.

        Raises:
            NoConversation: the user has none of this id.
            UserError: it is deleted, and another program that reads the file keeps the log of writes from being
                emptied.
        """
        with self._lock:
            self._check(user, id)
            self._saver.delete_thread(_thread(user, id)["configurable"]["thread_id"])
            with self._connection:
                self._connection.execute("DELETE FROM conversations WHERE user = ? AND id = ?", (user, id))
            busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise UserError(
                f"The conversation is deleted, but another program is reading {self._path}, so that its text may still "
                f"be in {self._path}-wal. It goes when that program ends, or with the next deletion."
            )

    def close(self) -> None:
        """Close the file; nothing else may be called then."""
        with self._lock:
            self._connection.close()

    def _check(self, user: str, id: str) -> None:
        query = "SELECT 1 FROM conversations WHERE user = ? AND id = ?"
        if self._connection.execute(query, (user, id)).fetchone() is None:
            raise NoConversation(f"There is no conversation {id!r}.")


def _thread(user: str, id: str) -> "RunnableConfig":
    """The LangGraph thread: an id has 32 digits, so that no two pairs of id and user make the same one."""
    return {"configurable": {"thread_id": f"{id}/{user}", "checkpoint_ns": ""}}
