"""The library: an SQLite file with the user's files, the texts of their documents, and the passages.

A file is stored completely or not at all, so the process may be killed at any moment. If several files have the same
document, as PubMed's update files do, the file whose name sorts last gives the document's text or withdraws it.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

from langchain_core.documents import Document

from common.errors import DataError, UserError
from corpus.documents.extract import Extract, Problem, Withdrawn
from corpus.documents.passages import Passage

SCHEMA_VERSION = 1
LOCK_SECONDS = 10.0
# Files that are read within this time are committed together. If the process is killed before, they are not stored.
COMMIT_SECONDS = 1.0

_TABLES = """
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), revision TEXT NOT NULL);
INSERT OR IGNORE INTO state VALUES (1, '');
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY,
    place TEXT NOT NULL UNIQUE,     -- path relative to the folder of this database
    name TEXT NOT NULL UNIQUE,      -- name in ids and messages
    rank TEXT NOT NULL,             -- sort key: of several files with the same document, the last one counts
    digest TEXT NOT NULL,           -- hash of its bytes
    made_by TEXT NOT NULL,          -- hash of the readers' edition and the settings that determine its passages
    problems TEXT NOT NULL          -- members, records and pages that could not be read: [[name, why], ...]
);
CREATE TABLE IF NOT EXISTS documents (
    id INTEGER PRIMARY KEY,
    file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
    key TEXT NOT NULL,
    text TEXT,                      -- NULL: the document is withdrawn
    metadata TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS documents_by_key ON documents (key);
CREATE INDEX IF NOT EXISTS documents_by_file ON documents (file);
CREATE TABLE IF NOT EXISTS passages (
    document INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
    number INTEGER NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    page INTEGER,
    section TEXT,
    PRIMARY KEY (document, number)
) WITHOUT ROWID;
"""
# Documents d of files f, except those that have a later version: a document o with the same key, in a file g of higher
# rank or later in the same file.
_LIVE_DOCUMENTS = """
    SELECT d.id, d.key, d.text, d.metadata, f.name AS source
    FROM documents d JOIN files f ON f.id = d.file
    WHERE d.text IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM documents o JOIN files g ON g.id = o.file
        WHERE o.key = d.key AND (g.rank > f.rank OR (g.rank = f.rank AND o.id > d.id))
    )"""
_LIVE_PASSAGES = """
    SELECT key, text, metadata, source, number, start, end, page, section
    FROM live JOIN passages ON passages.document = live.id"""
# A library has no triggers, and no views except ``live``, which earlier versions stored. A file with other views or
# with triggers is rejected, because their code could run forever and SQLite cannot be interrupted.
_FOREIGN_CODE = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' OR (type = 'view' AND name != 'live') LIMIT 1"

Entry = tuple[Extract, Sequence[Passage]] | Withdrawn | Problem
Member = tuple[str, Iterable[Entry]]  # the name of an archive's member, or of a whole file, and the entries in it


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A row of the table ``files``."""

    name: str
    digest: str
    settings_digest: str  # column ``made_by``
    problems: tuple[Problem, ...]


class LibraryError(UserError):
    """The library cannot be used: it is locked, read-only, damaged, of another version, or the disk is full."""


class Library:
    """The library, open for writing; use as a context manager, which commits at its end.

    All methods may raise ``LibraryError``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._transaction_start = 0.0  # by time.monotonic

    def __enter__(self) -> "Library":
        with _sqlite_errors(self._path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # the texts are confidential
            self._database = _connect(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        with _sqlite_errors(self._path), closing(self._database):
            self._commit()

    def files(self) -> dict[str, KnownFile]:
        """The stored files by place."""
        with _sqlite_errors(self._path), _damage_errors(self._path):
            rows = self._database.execute("SELECT place, name, digest, made_by, problems FROM files")
            return {
                place: KnownFile(name, digest, settings_digest, tuple(Problem(*pair) for pair in json.loads(problems)))
                for place, name, digest, settings_digest, problems in rows
            }

    def replace(
        self,
        place: str,
        name: str,
        digest: str,
        settings_digest: str,
        members: Iterable[Member],
        *,
        problems_digest: str | None = None,
    ) -> tuple[Problem, ...]:
        """Replace a file's documents.

        A member that cannot be read is skipped. If no member can be read, the stored documents stay.

        Args:
            place: path of the file relative to the database's folder.
            name: its name in ids and messages.
            digest: hash of its bytes.
            settings_digest: column ``made_by`` of the table ``files``.
            members: the members of an archive, or the file itself as the only member.
            problems_digest: if given and there are problems, it is stored instead of ``settings_digest``.

        Returns:
            The members, records and pages that could not be read.

        Raises:
            DataError: no member could be read.
        """
        with self._change():
            self._database.execute("DELETE FROM files WHERE place = ? OR name = ?", (place, name))
            insert = "INSERT INTO files (place, name, rank, digest, made_by, problems) VALUES (?, ?, ?, ?, ?, '[]')"
            row = (place, name, _rank(place), digest, settings_digest)
            file_id = self._database.execute(insert, row).lastrowid
            problems: list[Problem] = []
            first_error: DataError | None = None
            stored_members = 0
            for member, documents in members:
                try:
                    problems += self._add_member(file_id, name, member, documents)
                    stored_members += 1
                except DataError as error:
                    first_error = first_error or error
                    problems.append(Problem(member, str(error)))
            if not stored_members:
                raise first_error or DataError(name, "has no file of a supported type.")
            stored = json.dumps([[problem.file, problem.why] for problem in problems])
            made_by = (problems_digest if problems else None) or settings_digest
            update = "UPDATE files SET problems = ?, made_by = ? WHERE id = ?"
            self._database.execute(update, (stored, made_by, file_id))
        return tuple(problems)

    def move(self, old: str, new: str, name: str) -> None:
        """Change the place and name of a file; a file stored at the new place is removed."""
        with self._change():
            self._database.execute("DELETE FROM files WHERE place = ?", (new,))
            row = self._database.execute("SELECT id, name FROM files WHERE place = ?", (old,)).fetchone()
            file_id, old_name = row
            self._database.execute("UPDATE files SET place = ?, rank = ? WHERE id = ?", (new, _rank(new), file_id))
            if name != old_name:
                self._rename(file_id, old_name, name)

    def remove(self, place: str) -> None:
        """Remove a file and its documents."""
        with self._change():
            self._database.execute("DELETE FROM files WHERE place = ?", (place,))

    def _rename(self, file_id: int, old_name: str, name: str) -> None:
        """Rename a file, and its documents' keys and sources, which begin with its name."""

        def renamed(text: str) -> str:
            return name + text[len(old_name) :] if text == old_name or text.startswith(f"{old_name}/") else text

        (problems_text,) = self._database.execute("SELECT problems FROM files WHERE id = ?", (file_id,)).fetchone()
        problems = json.loads(problems_text)
        stored = json.dumps([[renamed(failed), why.replace(old_name, name, 1)] for failed, why in problems])
        self._database.execute("UPDATE files SET name = ?, problems = ? WHERE id = ?", (name, stored, file_id))
        rows = self._database.execute("SELECT id, key, metadata FROM documents WHERE file = ?", (file_id,)).fetchall()
        for id, key, metadata in rows:
            values = json.loads(metadata)
            if "source" in values:
                values["source"] = renamed(values["source"])
            update = "UPDATE documents SET key = ?, metadata = ? WHERE id = ?"
            self._database.execute(update, (renamed(key), json.dumps(values), id))

    def _add_member(
        self, file_id: int | None, file_name: str, member_name: str, documents: Iterable[Entry]
    ) -> list[Problem]:
        """Write the documents of a member; return its problems."""
        insert = "INSERT INTO documents (file, key, text, metadata) VALUES (?, ?, ?, ?)"
        # Citations of an archive's document name the member, not the archive.
        source = {} if member_name == file_name else {"source": member_name}
        is_empty = True
        problems: list[Problem] = []
        with self._all_or_nothing("member"):
            for document in documents:
                if isinstance(document, Problem):
                    problems.append(document)
                    continue
                is_empty = False
                if isinstance(document, Withdrawn):
                    self._database.execute(insert, (file_id, document.key, None, "{}"))
                    continue
                extract, passages = document
                row = (file_id, extract.key, extract.text, json.dumps({**extract.metadata, **source}))
                id = self._database.execute(insert, row).lastrowid
                self._database.executemany(
                    "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)",
                    [(id, number, p.start, p.end, p.page, p.section) for number, p in enumerate(passages, start=1)],
                )
            if is_empty:
                raise DataError(member_name, "has no text.")
        return problems

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Make the changes of the block atomic, and give the library a new revision."""
        with _sqlite_errors(self._path):
            if not self._database.in_transaction:
                self._database.execute("BEGIN IMMEDIATE")
                self._transaction_start = time.monotonic()
            with self._all_or_nothing("file"):
                yield
                self._database.execute("UPDATE state SET revision = ?", (secrets.token_hex(8),))
            self._commit(min_seconds=COMMIT_SECONDS)

    @contextmanager
    def _all_or_nothing(self, name: str) -> Iterator[None]:
        """Undo the changes of the block if it raises; ``name`` names SQLite's savepoint."""
        self._database.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            if self._database.in_transaction:  # on a full disk SQLite itself rolls back the transaction
                self._database.execute(f"ROLLBACK TO {name}")
                self._database.execute(f"RELEASE {name}")
            raise
        self._database.execute(f"RELEASE {name}")

    def _commit(self, min_seconds: float = 0.0) -> None:
        """Commit the transaction if it began at least ``min_seconds`` ago."""
        if self._database.in_transaction and time.monotonic() - self._transaction_start >= min_seconds:
            self._database.execute("COMMIT")


class Passages(Sequence[Document]):
    """All passages of a library, which are read from the disk one document at a time.

    A passage's id is ``KEY#N``, with N counted from 1 within its document. Its metadata are the id, the document's
    metadata (title, year ...), ``source`` (the file, or ARCHIVE/MEMBER), ``start`` and ``end`` (offsets in the
    document's text), and ``page`` and ``section`` where the format has them.

    Attributes:
        revision: changes whenever the library does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _open_for_reading(path) as database:
            (self.revision,) = database.execute("SELECT revision FROM state").fetchone()

    @cached_property
    def _length(self) -> int:
        with _open_for_reading(self._path) as database:
            query = "SELECT count(*) FROM live JOIN passages ON passages.document = live.id"
            (count,) = database.execute(query).fetchone()
        return int(count)

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        """Whether there are passages, without counting them."""
        with _open_for_reading(self._path) as database:
            return database.execute(f"{_LIVE_PASSAGES} LIMIT 1").fetchone() is not None

    def find(self, ids: Sequence[str]) -> dict[str, Document]:
        """The passages with these ids; unknown ids are left out."""
        found: dict[str, Document] = {}
        with _open_for_reading(self._path) as database:
            for id in ids:
                key, _, number = id.rpartition("#")
                row = database.execute(f"{_LIVE_PASSAGES} WHERE key = ? AND number = ?", (key, number)).fetchone()
                if row is not None:
                    found[id] = _document(*row)
        return found

    def __iter__(self) -> Iterator[Document]:
        document_id = -1
        with _open_for_reading(self._path) as database:
            # One query for each document, since a single query for all documents would block writers.
            next_document = "SELECT id, key, text, metadata, source FROM live WHERE id > ? ORDER BY id LIMIT 1"
            passages = "SELECT number, start, end, page, section FROM passages WHERE document = ? ORDER BY number"
            while (document := database.execute(next_document, (document_id,)).fetchone()) is not None:
                document_id, *fields = document
                for passage in database.execute(passages, (document_id,)).fetchall():
                    yield _document(*fields, *passage)

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> list[Document]: ...
    def __getitem__(self, index: int | slice) -> Document | list[Document]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        offset = range(len(self))[index]
        with _open_for_reading(self._path) as database:
            query = f"{_LIVE_PASSAGES} ORDER BY live.id, number LIMIT 1 OFFSET ?"
            return _document(*database.execute(query, (offset,)).fetchone())


def document_text(path: Path, passage_id: str) -> str:
    """The text of a passage's document; the passage's ``start`` and ``end`` are offsets in it."""
    key = passage_id.rpartition("#")[0]
    with _open_for_reading(path) as database:
        row = database.execute("SELECT text FROM live WHERE key = ?", (key,)).fetchone()
    if row is None:
        raise UserError(f"There is no passage {passage_id!r} among the indexed documents.")
    return str(row[0])


def _document(
    key: str,
    text: str,
    metadata: str,
    source: str,
    number: int,
    start: int,
    end: int,
    page: int | None,
    section: str | None,
) -> Document:
    id = f"{key}#{number}"
    location = {name: value for name, value in (("page", page), ("section", section)) if value is not None}
    return Document(
        id=id,
        page_content=text[start:end],
        metadata={"id": id, "source": source, **json.loads(metadata), "start": start, "end": end, **location},
    )


@contextmanager
def _open_for_reading(path: Path) -> Iterator[sqlite3.Connection]:
    with _sqlite_errors(path), closing(_connect(path)) as database, _damage_errors(path):
        yield database


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            database.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            problem = "was written by another version. Move it away and index your documents again."
            raise LibraryError(f"{path} {problem}")
        if database.execute(_FOREIGN_CODE).fetchone() is not None:
            problem = "has views or triggers of another program. Remove the file and index your documents again."
            raise LibraryError(f"{path} {problem}")
        # In queries this temporary view takes precedence over a view ``live`` that the file may have.
        database.execute(f"CREATE TEMP VIEW live AS {_LIVE_DOCUMENTS}")
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("PRAGMA secure_delete = ON")  # off in some builds of SQLite
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def _damage_errors(path: Path) -> Iterator[None]:
    """Translate errors caused by damaged rows into ``LibraryError``."""
    try:
        yield
    except (ValueError, TypeError, RecursionError) as error:
        raise LibraryError(f"{path} {_message_for(str(error).lower())}") from error


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    """Translate errors of SQLite and the file system into ``LibraryError``."""
    try:
        yield
    except sqlite3.Error as error:
        raise LibraryError(f"{path} {_message_for(str(error).lower())}") from error
    except OSError as error:
        problem = f"cannot be written ({error.strerror}). Set store.path to another folder."
        raise LibraryError(f"{error.filename or path} {problem}") from error


def _message_for(message: str) -> str:
    """The message to the user for a message of SQLite."""
    if "locked" in message:
        return "is in use by another process. Wait until that has finished."
    if "readonly" in message or "unable to open" in message:
        return "may not be written. Check the folder's permissions, or set store.path to another folder."
    if "full" in message:
        return "is on a disk that is full. Free some space and run the same command again to resume."
    return f"is damaged ({message}). Remove the file and index your documents again."


def _rank(place: str) -> str:
    """A sort key of files: files are sorted by name, and files with the same name by folder."""
    return f"{place.rpartition('/')[2]}\n{place}"
