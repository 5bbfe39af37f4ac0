"""Conversations of several users in one SQLite file."""

import os
import sqlite3
import threading
import unicodedata
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from chains.chat.turn import Summary, Turn
from common.errors import UserError

_DEFAULT_TITLE_CHARACTERS = 80  # the default title is the beginning of the first message
MAX_TITLE_CHARACTERS = 200
_SCHEMA_VERSION = 1  # stored in SQLite's user_version
_CREATE_TABLES = (
    "CREATE TABLE conversation ("
    "id TEXT PRIMARY KEY, user TEXT NOT NULL, title TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL)",
    "CREATE INDEX conversations_of_a_user ON conversation (user, updated)",
    "CREATE TABLE turn (conversation TEXT NOT NULL REFERENCES conversation, number INTEGER NOT NULL, "
    "turn TEXT NOT NULL, PRIMARY KEY (conversation, number))",
)
_SELECT_SUMMARY = (
    "SELECT id, title, created, updated, (SELECT count(*) FROM turn WHERE conversation = id) AS turns FROM conversation"
)


class NoConversation(UserError):  # noqa: N818  (an HTTP 404, not a failure)
    """The user has no conversation with the given id; another user may have one."""


class NotErased(UserError):  # noqa: N818  (an HTTP 409, not a failure)
    """A conversation is deleted, but its text is still on the disk, because another program reads the file."""


class Conversations:
    """Creates, lists, reads, extends, renames and deletes conversations.

    Every method takes the user and reaches only this user's conversations; any other id raises ``NoConversation``. Each
    change is one transaction. Any number of threads and processes may call the methods. Deleted text is overwritten:
    SQLite zeroes freed space (``secure_delete``), and the write-ahead log is emptied into the file.

    A file of medground 0.1.0, which stored turns in LangGraph's checkpoint tables, is converted on opening.

    Args:
        path: the file. Missing folders are created with mode 0700; the file gets mode 0600.

    Raises:
        UserError: the file cannot be opened, or is not a file of conversations.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path).expanduser()
        self._lock = threading.RLock()
        try:
            for folder in reversed([one for one in self._path.parents if not one.exists()]):
                folder.mkdir(mode=0o700, exist_ok=True)  # with parents=True, only the last folder would get the mode
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    os.fchmod(descriptor, 0o600)
            finally:
                os.close(descriptor)
            self._connection = sqlite3.connect(self._path, check_same_thread=False, timeout=30)
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.create_function("contains", 2, _contains, deterministic=True)
            self._migrate()
        except (OSError, sqlite3.DatabaseError) as error:
            raise UserError(
                f"Conversations cannot be stored in {self._path}: {error}. Set chat.path to another file."
            ) from error

    def create(self, user: str, turn: Turn, title: str = "") -> str:
        """Store a new conversation with its first turn and return its id."""
        if not user.strip():
            raise UserError("The user's name is empty. Set chat.user.")
        id, title = uuid.uuid4().hex, title or " ".join(turn.message.split())[:_DEFAULT_TITLE_CHARACTERS]
        with self._lock, self._connection as connection:
            connection.execute("INSERT INTO conversation VALUES (?1, ?2, ?3, ?4, ?4)", (id, user, title, turn.time))
            connection.execute("INSERT INTO turn VALUES (?, 0, ?)", (id, turn.model_dump_json()))
        return id

    def list(self, user: str, query: str = "") -> Sequence[Summary]:
        """The user's conversations, the last changed first.

        With a query, only conversations that contain all its words, regardless of case. The words must be together in
        the title, or in the message and the answer of one turn.
        """
        with self._lock:
            rows = self._connection.execute(
                f"{_SELECT_SUMMARY} WHERE user = :user AND (:query = '' OR contains(title, :query) OR EXISTS ("
                "SELECT 1 FROM turn WHERE conversation = id AND "
                "contains(json_extract(turn, '$.message') || char(10) || json_extract(turn, '$.text'), :query)"
                ")) ORDER BY updated DESC, conversation.rowid DESC",
                {"user": user, "query": query.strip()},
            ).fetchall()
        return [Summary(**row) for row in rows]

    def summary(self, user: str, id: str) -> Summary:
        """Title, times and number of turns of a conversation."""
        with self._lock:
            row = self._connection.execute(f"{_SELECT_SUMMARY} WHERE user = ? AND id = ?", (user, id)).fetchone()
        if row is None:
            raise _no_conversation(id)
        return Summary(**row)

    def read(self, user: str, id: str) -> Sequence[Turn]:
        """The turns of a conversation, oldest first."""
        with self._lock:
            self.summary(user, id)
            rows = self._connection.execute("SELECT turn FROM turn WHERE conversation = ? ORDER BY number", (id,))
            return [Turn.model_validate_json(turn) for (turn,) in rows]

    def append(self, user: str, id: str, turn: Turn) -> None:
        """Add a turn; it is on disk when this returns."""
        with self._lock, self._connection as connection:
            self._change("UPDATE conversation SET updated = ? WHERE user = ? AND id = ?", turn.time, user, id)
            connection.execute(
                "INSERT INTO turn SELECT ?1, coalesce(max(number) + 1, 0), ?2 FROM turn WHERE conversation = ?1",
                (id, turn.model_dump_json()),
            )

    def rename(self, user: str, id: str, title: str) -> None:
        """Give a conversation another title; ``UserError`` if the title is empty or too long."""
        title = " ".join(title.split())
        if not 0 < len(title) <= MAX_TITLE_CHARACTERS:
            raise UserError(f"A title has 1 to {MAX_TITLE_CHARACTERS} characters; this one has {len(title)}.")
        with self._lock, self._connection:
            self._change("UPDATE conversation SET title = ? WHERE user = ? AND id = ?", title, user, id)

    def delete(self, user: str, id: str) -> None:
        """Delete a conversation from the file.

        Raises:
            NotErased: another program that reads the file prevents the write-ahead log from being emptied.
        """
        with self._lock:
            with self._connection as connection:
                self._change("DELETE FROM conversation WHERE user = ? AND id = ?", user, id)
                connection.execute("DELETE FROM turn WHERE conversation = ?", (id,))
            busy, *_ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise NotErased(
                f"The conversation is deleted, but another program is reading {self._path}, so its text may still be "
                f"in {self._path}-wal. It is removed when that program ends, or with the next deletion."
            )

    def close(self) -> None:
        """Close the file; no other method may be called afterwards."""
        with self._lock:
            self._connection.close()

    def _change(self, statement: str, *values: str) -> None:
        """Run a statement that changes one conversation; its id is the last value."""
        if self._connection.execute(statement, values).rowcount == 0:
            raise _no_conversation(values[-1])

    def _migrate(self) -> None:
        """Create missing tables and convert the conversations of a file of 0.1.0, all in one transaction."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")  # locks the file: another process may open it and migrate it too
        with connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == _SCHEMA_VERSION:
                return
            if version > _SCHEMA_VERSION:
                raise sqlite3.DatabaseError("a newer version of medground wrote it")
            for statement in _CREATE_TABLES:
                connection.execute(statement)
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if (old_tables := {"conversations", "checkpoints", "writes"}) <= tables:
                for row, turns in _conversations_of_0_1_0(connection):
                    connection.execute("INSERT INTO conversation VALUES (?, ?, ?, ?, ?)", row)
                    numbered = [(row[0], number, turn.model_dump_json()) for number, turn in enumerate(turns)]
                    connection.executemany("INSERT INTO turn VALUES (?, ?, ?)", numbered)
                for table in old_tables:
                    connection.execute(f"DROP TABLE {table}")
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _conversations_of_0_1_0(connection: sqlite3.Connection) -> Iterator[tuple[tuple[str, ...], list[Turn]]]:
    """Rows and turns of the conversations in a file of 0.1.0; a conversation without turns is left out."""
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    load = JsonPlusSerializer().loads_typed
    for user, id, title, created, updated in connection.execute(
        "SELECT user, id, title, created, updated FROM conversations ORDER BY updated, rowid"
    ).fetchall():
        last = connection.execute(
            "SELECT type, checkpoint FROM checkpoints WHERE thread_id = ? AND checkpoint_ns = '' "
            "ORDER BY checkpoint_id DESC LIMIT 1",
            (f"{id}/{user}",),
        ).fetchone()
        turns = load(last)["channel_values"].get("turns", []) if last else []
        if turns:
            yield (id, user, title, created, updated), [Turn.model_validate(turn) for turn in turns]


def _contains(text: str, query: str) -> bool:
    """Whether a text contains every word of a query, in any case and Unicode form.

    SQLite's LIKE ignores case only in ASCII.
    """
    folded = _folded(text)
    return all(word in folded for word in _folded(query).split())


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _no_conversation(id: str) -> NoConversation:
    return NoConversation(f"There is no conversation {id!r}.")
