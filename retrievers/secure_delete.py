"""Secure deletion: texts removed from a store also leave its files.

Chroma deletes with SQLite, so the text stays in free pages of the file, in its log of writes until a thousand more
writes, and as trigrams in the full-text index until segments are merged.

This file also runs as a separate program. SQLite's locks belong to a process, and Chroma has its own SQLite library in
this one: the two would not see each other's locks, and the first to close the file would drop both.
"""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

DATABASE = "chroma.sqlite3"
MARK = "unpurged"  # file in the store's folder; after a kill before the purge, the next one removes the texts
LOCK_SECONDS = 10.0

# Empties the metadata of log entries that Chroma has applied to its tables. The index of vectors, which may lag behind,
# reads only the vectors of log entries.
_EMPTY_LOG = """
UPDATE embeddings_queue SET metadata = '{}' WHERE metadata <> '{}' AND EXISTS (
    SELECT 1 FROM segments JOIN max_seq_id ON max_seq_id.segment_id = segments.id
    WHERE segments.scope = 'METADATA' AND embeddings_queue.topic LIKE '%/' || segments.collection
        AND embeddings_queue.seq_id <= max_seq_id.seq_id
)
"""
_MERGE_INDEX = "INSERT INTO embedding_fulltext_search (embedding_fulltext_search) VALUES ('optimize')"


def mark(folder: Path | None) -> None:
    """Record, before a removal, that a purge is due; a server (None) is not purged."""
    if folder is not None:
        (folder / MARK).touch()


def purge(folder: Path | None) -> None:
    """Remove deleted texts from the files of the store's database, if a purge is due.

    It reads and writes the whole database once and needs as much free disk space.

    Raises:
        sqlite3.OperationalError: the database is in use, the disk is full, or another version of Chroma wrote it. The
            purge stays due.
    """
    if folder is None or not (folder / MARK).exists():
        return
    # SQLite's temporary copy also contains the texts, so it is made in the store's folder.
    environment = {**os.environ, "SQLITE_TMPDIR": str(folder)}
    command = [sys.executable, "-I", "-S", __file__, str(folder / DATABASE), str(LOCK_SECONDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise sqlite3.OperationalError((done.stderr.strip().splitlines() or ["the purge was stopped"])[-1])
    (folder / MARK).unlink(missing_ok=True)


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
