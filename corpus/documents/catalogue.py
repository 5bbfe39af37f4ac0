"""Where the user's documents are kept as they were read: their files, their texts, and the passages cut from them.

One SQLite file. What is written of a file of the user's is written whole or not at all, so a process may be killed at
any moment. A document that several files bring, as PubMed's update files bring citations anew, counts as the last of
them has it, by the files' names; where that one withdraws it, it is not there.
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
from typing import Any, overload

from langchain_core.documents import Document

from common.errors import DataError, UserError
from corpus.documents.extract import Extract, Withdrawn
from corpus.documents.passages import Passage

VERSION = 1  # of the tables
LOCK_SECONDS = 10.0
COMMIT_SECONDS = 1.0  # a kill costs the reading of so long

_TABLES = """
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), revision TEXT NOT NULL);
INSERT OR IGNORE INTO state VALUES (1, '');
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY,
    place TEXT NOT NULL UNIQUE,     -- its path from the folder of this database
    name TEXT NOT NULL UNIQUE,      -- what it is called in ids and messages
    rank TEXT NOT NULL,             -- of files that bring one document the last by this counts
    digest TEXT NOT NULL,           -- of its bytes
    made_by TEXT NOT NULL,          -- of all else that its passages depend on
    problems TEXT NOT NULL          -- what could not be read in an archive: [[name, why], ...]
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
CREATE VIEW IF NOT EXISTS live AS {live};
"""
_LIVE = """
    SELECT d.id, d.key, d.text, d.metadata, f.name AS source
    FROM documents d JOIN files f ON f.id = d.file
    WHERE d.text IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM documents o JOIN files g ON g.id = o.file
        WHERE o.key = d.key AND (g.rank > f.rank OR (g.rank = f.rank AND o.id > d.id))
    )"""
# A view or trigger of a file from elsewhere may run without end, and SQLite cannot be interrupted.
_FOREIGN = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' OR (type = 'view' AND name != 'live') LIMIT 1"

Entry = tuple[Extract, Sequence[Passage]] | Withdrawn
Part = tuple[str, Iterable[Entry]]  # the name of a file, or of an archive's member, and what it brings


@dataclass(frozen=True, slots=True)
class Problem:
    """A file, or a member of an archive, that could not be read, and the sentence that says why."""

    file: str
    why: str


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file as it was read; see the table ``files``."""

    name: str
    digest: str
    made_by: str
    problems: tuple[Problem, ...]


class LibraryError(UserError):
    """The library itself cannot be used: it is locked, read-only, damaged, of another version, or the disk is full."""


class Library:
    """The documents, open for writing; use it as a context. What was begun when it is left is written.

    Raises:
        LibraryError: from every method.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begun = 0.0

    def __enter__(self) -> "Library":
        with _errors(self._path):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # the texts are the user's own
            self._database = _connect(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        with _errors(self._path), closing(self._database):
            self._commit()

    def files(self) -> dict[str, KnownFile]:
        """What is known, by place."""
        with _errors(self._path), _damage(self._path):
            rows = self._database.execute("SELECT place, name, digest, made_by, problems FROM files")
            return {
                place: KnownFile(name, digest, made_by, tuple(Problem(*pair) for pair in json.loads(problems)))
                for place, name, digest, made_by, problems in rows
            }

    def replace(self, place: str, name: str, digest: str, made_by: str, parts: Iterable[Part]) -> tuple[Problem, ...]:
        """Put a file's documents in the place of those that it brought before.

        A part of it that cannot be read is left out. Where none can be read everything stays as it was.

        Args:
            place: the file.
            name: see the table ``files``, as ``digest`` and ``made_by``.
            parts: a plain file has one, an archive one for each member; read document by document.

        Returns:
            The parts, and pieces of their documents, that could not be read.

        Raises:
            DataError: no part could be read.
        """
        with _errors(self._path):
            self._begin()
            with self._all_or_nothing("file"):
                self._database.execute("DELETE FROM files WHERE place = ? OR name = ?", (place, name))
                insert = "INSERT INTO files (place, name, rank, digest, made_by, problems) VALUES (?, ?, ?, ?, ?, '[]')"
                rank = f"{place.rpartition('/')[2]}\n{place}"
                file = self._database.execute(insert, (place, name, rank, digest, made_by)).lastrowid
                problems: list[tuple[str, DataError]] = []
                done = 0
                for part, documents in parts:
                    try:
                        problems += [(part, lack) for lack in self._add_part(file, name, part, documents)]
                        done += 1
                    except DataError as error:
                        problems.append((part, error))
                if not done:
                    raise problems[0][1] if problems else DataError(name, "holds no file that is read.")
                told = tuple(Problem(part, str(error)) for part, error in problems)
                said = json.dumps([[problem.file, problem.why] for problem in told])
                self._database.execute("UPDATE files SET problems = ? WHERE id = ?", (said, file))
                self._revise()
            self._commit(COMMIT_SECONDS)
        return told

    def move(self, old: str, new: str, name: str) -> None:
        """Note that a file lies elsewhere now, and its name; a file noted there is forgotten."""
        with _errors(self._path):
            self._begin()
            self._database.execute("DELETE FROM files WHERE place = ?", (new,))
            rank = f"{new.rpartition('/')[2]}\n{new}"
            [file, before] = self._database.execute("SELECT id, name FROM files WHERE place = ?", (old,)).fetchone()
            self._database.execute("UPDATE files SET place = ?, rank = ? WHERE place = ?", (new, rank, old))
            if name != before:
                self._rename(file, before, name)
            self._revise()
            self._commit(COMMIT_SECONDS)

    def _rename(self, file: int, before: str, name: str) -> None:
        """Give a file's documents, whose keys and sources begin with its name, another one."""

        def renamed(text: str) -> str:
            return name + text[len(before) :] if text == before or text.startswith(f"{before}/") else text

        problems = json.loads(self._database.execute("SELECT problems FROM files WHERE id = ?", (file,)).fetchone()[0])
        said = json.dumps([[renamed(part), why.replace(before, name, 1)] for part, why in problems])
        self._database.execute("UPDATE files SET name = ?, problems = ? WHERE id = ?", (name, said, file))
        rows = self._database.execute("SELECT id, key, metadata FROM documents WHERE file = ?", (file,)).fetchall()
        for id, key, metadata in rows:
            known = json.loads(metadata)
            if "source" in known:
                known["source"] = renamed(known["source"])
            update = "UPDATE documents SET key = ?, metadata = ? WHERE id = ?"
            self._database.execute(update, (renamed(key), json.dumps(known), id))

    def remove(self, place: str) -> None:
        """Forget a file and what it brought."""
        with _errors(self._path):
            self._begin()
            self._database.execute("DELETE FROM files WHERE place = ?", (place,))
            self._revise()
            self._commit(COMMIT_SECONDS)

    def _add_part(self, file: int | None, whole: str, name: str, documents: Iterable[Entry]) -> list[DataError]:
        """Write the documents of a part; return what of them could not be read."""
        insert = "INSERT INTO documents (file, key, text, metadata) VALUES (?, ?, ?, ?)"
        member = {} if name == whole else {"source": name}  # of an archive it is the member that is cited
        empty = True
        lacks: list[DataError] = []
        with self._all_or_nothing("part"):
            for document in documents:
                empty = False
                if isinstance(document, Withdrawn):
                    self._database.execute(insert, (file, document.key, None, "{}"))
                    continue
                extract, passages = document
                if extract.missing:
                    lacks.append(DataError(name, extract.missing))
                row = (file, extract.key, extract.text, json.dumps({**extract.metadata, **member}))
                id = self._database.execute(insert, row).lastrowid
                self._database.executemany(
                    "INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)",
                    [(id, n, one.start, one.end, one.page, one.section) for n, one in enumerate(passages, start=1)],
                )
            if empty:
                raise DataError(name, "holds nothing to read.")
        return lacks

    @contextmanager
    def _all_or_nothing(self, name: str) -> Iterator[None]:
        self._database.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            if self._database.in_transaction:  # a full disk has rolled all of it back already
                self._database.execute(f"ROLLBACK TO {name}")
                self._database.execute(f"RELEASE {name}")
            raise
        self._database.execute(f"RELEASE {name}")

    def _begin(self) -> None:
        if not self._database.in_transaction:
            self._database.execute("BEGIN IMMEDIATE")
            self._begun = time.monotonic()

    def _revise(self) -> None:
        """Mark the library as changed; a file that could not be read leaves it as it was."""
        self._database.execute("UPDATE state SET revision = ?", (secrets.token_hex(8),))

    def _commit(self, after: float = 0.0) -> None:
        if self._database.in_transaction and time.monotonic() - self._begun >= after:
            self._database.execute("COMMIT")


class Passages(Sequence[Document]):
    """All passages of a library, read from the disk whenever they are gone through; few are in memory at a time.

    A passage's id is ``KEY#N``, N counted from 1 within its document. Its metadata hold the id, the document's own
    (title, year ...), ``source`` (the file, or ARCHIVE/MEMBER), ``start`` and ``end`` (where it lies in the document's
    text), and ``page`` and ``section`` where the format knows them.

    Attributes:
        revision: changes whenever the library does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _reading(path) as database:
            (self.revision,) = database.execute("SELECT revision FROM state").fetchone()

    @cached_property
    def _length(self) -> int:
        with _reading(self._path) as database:
            counted = "SELECT count(*) FROM live JOIN passages ON passages.document = live.id"
            (count,) = database.execute(counted).fetchone()
        return int(count)

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        """Whether there are any, without counting them."""
        with _reading(self._path) as database:
            any_ = "SELECT 1 FROM live JOIN passages ON passages.document = live.id LIMIT 1"
            return database.execute(any_).fetchone() is not None

    def find(self, ids: Sequence[str]) -> dict[str, Document]:
        """The passages that have these ids now; ids that are gone are left out."""
        query = (
            "SELECT text, metadata, source, number, start, end, page, section FROM live JOIN passages "
            "ON passages.document = live.id WHERE key = ? AND number = ?"
        )
        found: dict[str, Document] = {}
        with _reading(self._path) as database:
            for id in ids:
                key, _, number = id.rpartition("#")
                row = database.execute(query, (key, number)).fetchone()
                if row is not None:
                    text, metadata, source, *cut = row
                    found[id] = _document(key, text, json.loads(metadata), source, *cut)
        return found

    def __iter__(self) -> Iterator[Document]:
        last = -1
        with _reading(self._path) as database:
            # A query for each document: one for all would keep whoever wants to write waiting.
            query = "SELECT id, key, text, metadata, source FROM live WHERE id > ? ORDER BY id LIMIT 1"
            while (row := database.execute(query, (last,)).fetchone()) is not None:
                last, key, text, metadata, source = row
                cuts = "SELECT number, start, end, page, section FROM passages WHERE document = ? ORDER BY number"
                for cut in database.execute(cuts, (last,)).fetchall():
                    yield _document(key, text, json.loads(metadata), source, *cut)

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> list[Document]: ...
    def __getitem__(self, index: int | slice) -> Document | list[Document]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        query = (
            "SELECT key, text, metadata, source, number, start, end, page, section FROM live JOIN passages "
            "ON passages.document = live.id ORDER BY live.id, number LIMIT 1 OFFSET ?"
        )
        with _reading(self._path) as database:
            key, text, metadata, source, *cut = database.execute(query, (place,)).fetchone()
        return _document(key, text, json.loads(metadata), source, *cut)


def document_text(path: Path, passage_id: str) -> str:
    """The whole text of the document that a passage was cut from: what its ``start`` and ``end`` count in.

    Raises:
        UserError: there is no such passage.
    """
    key = passage_id.rpartition("#")[0]
    with _reading(path) as database:
        row = database.execute("SELECT text FROM live WHERE key = ?", (key,)).fetchone()
    if row is None:
        raise UserError(f"There is no passage {passage_id!r} among the indexed documents.")
    return str(row[0])


def _document(
    key: str,
    text: str,
    metadata: dict[str, Any],
    source: str,
    number: int,
    start: int,
    end: int,
    page: int | None,
    section: str | None,
) -> Document:
    id = f"{key}#{number}"
    where = {name: value for name, value in (("page", page), ("section", section)) if value is not None}
    return Document(
        id=id,
        page_content=text[start:end],
        metadata={"id": id, "source": source, **metadata, "start": start, "end": end, **where},
    )


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    with _errors(path), closing(_connect(path)) as database, _damage(path):
        yield database


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            tables = _TABLES.format(live=_LIVE)
            database.executescript(f"BEGIN IMMEDIATE; {tables} PRAGMA user_version = {VERSION}; COMMIT;")
        elif version != VERSION:
            problem = "was written by another version. Move it away and index your documents again."
            raise LibraryError(f"{path} {problem}")
        if database.execute(_FOREIGN).fetchone() is not None:
            problem = "has views or triggers of another program. Remove the file and index your documents again."
            raise LibraryError(f"{path} {problem}")
        database.execute(f"CREATE TEMP VIEW live AS {_LIVE}")  # it is read instead of the file's own
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("PRAGMA secure_delete = ON")  # what is removed is overwritten; some builds have it off
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Translate what rows raise that this program does not write."""
    try:
        yield
    except (ValueError, TypeError, RecursionError) as error:
        raise LibraryError(f"{path} {_trouble(str(error).lower())}") from error


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Translate what SQLite raises about the file at ``path``."""
    try:
        yield
    except sqlite3.Error as error:
        raise LibraryError(f"{path} {_trouble(str(error).lower())}") from error
    except OSError as error:
        problem = f"cannot be written ({error.strerror}). Set store.path to another folder."
        raise LibraryError(f"{error.filename or path} {problem}") from error


def _trouble(told: str) -> str:
    if "locked" in told:
        return "is in use by another process. Wait until that has finished."
    if "readonly" in told or "unable to open" in told:
        return "may not be written. Check the folder's permissions, or set store.path to another folder."
    if "full" in told:
        return "is on a disk that is full. Free some space and run the same command again: it goes on where it stopped."
    return f"is damaged ({told}). Remove the file and index your documents again."
