"""What was removed from a store leaves its files too.

Chroma deletes as any program with SQLite does: the text stays in the file's free space, in its log of writes until a
thousand more have come, and cut into trigrams in its full-text index until that merges its parts.

This file is also a program of its own. SQLite's locks belong to a process, and Chroma has an SQLite of its own in this
one: the two would not see each other's locks, and the first to close the file would drop both.
"""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

DATABASE = "chroma.sqlite3"
MARK = "unpurged"  # in the store's folder: a kill between removal and purge is made good by the next purge
LOCK_SECONDS = 10.0

# What the rows that a log entry made say already. The graph of vectors, which may lag behind, reads the vectors only.
_EMPTY_LOG = """
UPDATE embeddings_queue SET metadata = '{}' WHERE metadata <> '{}' AND EXISTS (
    SELECT 1 FROM segments JOIN max_seq_id ON max_seq_id.segment_id = segments.id
    WHERE segments.scope = 'METADATA' AND embeddings_queue.topic LIKE '%/' || segments.collection
        AND embeddings_queue.seq_id <= max_seq_id.seq_id
)
"""
_MERGE_INDEX = "INSERT INTO embedding_fulltext_search (embedding_fulltext_search) VALUES ('optimize')"


def mark(folder: Path | None) -> None:
    """Note, before something is removed, that a purge is due; a store on a server (None) is its own business."""
    if folder is not None:
        (folder / MARK).touch()


def purge(folder: Path | None) -> None:
    """Have the texts that were removed from the store gone from its database, where a purge is due.

    It reads and writes the whole database once, and needs as much free space beside it.

    Raises:
        sqlite3.OperationalError: the database is in use, the disk is full, or it is of another version of Chroma. The
            purge stays due.
    """
    if folder is None or not (folder / MARK).exists():
        return
    # The copy that SQLite makes for a while holds the texts too, so it is made in the store's own folder.
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
