"""Secure deletion: a purge erases from a store's files the texts that were removed from the store.

Chroma deletes rows with SQLite. The deleted text stays in free pages of the database file, in Chroma's log of writes
(the table ``embeddings_queue``) until a thousand further writes, and as trigrams in the full-text index until its
segments are merged.

The purge runs this file as a separate process. SQLite's file locks belong to a process, and Chroma brings its own copy
of SQLite. If both copies opened the file in one process, they would not see each other's locks; and when one closed the
file, the other would lose its locks too.
"""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

DATABASE = "chroma.sqlite3"
MARK = (
    "unpurged"  # file in the store's folder; while it exists, a purge is due, even if the removing process was killed
)
LOCK_SECONDS = 10.0  # maximum wait for other processes' locks

# The metadata column of Chroma's log contains texts. This statement empties the column in log entries that Chroma has
# applied to its tables. The index of vectors may not have applied the entries yet, but it reads only their vectors.
_EMPTY_LOG = """
UPDATE embeddings_queue SET metadata = '{}' WHERE metadata <> '{}' AND EXISTS (
    SELECT 1 FROM segments JOIN max_seq_id ON max_seq_id.segment_id = segments.id
    WHERE segments.scope = 'METADATA' AND embeddings_queue.topic LIKE '%/' || segments.collection
        AND embeddings_queue.seq_id <= max_seq_id.seq_id
)
"""
_MERGE_INDEX = "INSERT INTO embedding_fulltext_search (embedding_fulltext_search) VALUES ('optimize')"


@contextmanager
def removal(folder: Path | None) -> Iterator[None]:
    """Record that a purge is due, because the block removes texts. Without a folder, on a server, nothing is recorded.

    The time is recorded before the block, because the process may be killed in it, and again after the block, because
    another process may purge in between.
    """
    if folder is not None:
        (folder / MARK).touch()
    yield
    if folder is not None:
        (folder / MARK).touch()


def purge(folder: Path | None) -> None:
    """Remove deleted texts from the store's database file, if a purge is due.

    A purge rewrites the whole database and needs free disk space of the database's size.

    Raises:
        sqlite3.OperationalError: the database is in use, the disk is full, or another version of Chroma wrote it. The
            purge then stays due.
    """
    if folder is None or (marked := _mark_time(folder)) is None:
        return
    # VACUUM's temporary copy also contains the texts, so it is written to the store's private folder.
    environment = {**os.environ, "SQLITE_TMPDIR": str(folder)}
    command = [sys.executable, "-I", "-S", __file__, str(folder / DATABASE), str(LOCK_SECONDS)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if outcome.returncode:
        raise sqlite3.OperationalError((outcome.stderr.strip().splitlines() or ["the purge was stopped"])[-1])
    if _mark_time(folder) == marked:  # otherwise another process has removed texts during the purge
        (folder / MARK).unlink(missing_ok=True)


def _mark_time(folder: Path) -> int | None:
    """The time of the last recorded removal, in nanoseconds; None if no purge is due."""
    try:
        return (folder / MARK).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _purge(database: str, lock_seconds: float) -> None:
    with closing(sqlite3.connect(database, timeout=lock_seconds, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_EMPTY_LOG)
        connection.execute(_MERGE_INDEX)
        connection.execute("COMMIT")
        connection.execute("VACUUM")


if __name__ == "__main__":
    try:
        _purge(sys.argv[1], float(sys.argv[2]))
    except sqlite3.Error as error:
        sys.exit(str(error))
