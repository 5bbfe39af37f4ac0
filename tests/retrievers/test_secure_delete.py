"""Files of a store contain no removed texts."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from embedders import open_word_store
from forked import run_code
from langchain_core.documents import Document

import retrievers.secure_delete
from common.errors import UserError
from retrievers.indexing import fill, index
from retrievers.kinds.dense import DenseRetriever
from retrievers.kinds.parent import Parts
from retrievers.secure_delete import DATABASE, MARK, purge, removal

SECRET = "the secretariat of Wolframstrasse"  # no other document contains "Wolfram" or its trigrams "olf" and "ams"


def make_documents(count: int, **texts: str) -> list[Document]:
    """``count`` documents, and a document for each id and text of ``texts``."""
    all_texts = {f"d{i}": f"finding{i} in group{i % 7} treated" for i in range(count)} | texts
    return [Document(id=id, page_content=text, metadata={"title": f"about {id}"}) for id, text in all_texts.items()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def traces_of_secret(folder: Path) -> list[str]:
    """Names of files that contain "Wolfram", and "trigrams" for each block of the full-text index with its trigrams."""
    names = [file.name for file in sorted(folder.rglob("*")) if file.is_file() and b"Wolfram" in file.read_bytes()]
    with closing(sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True)) as database:
        blocks = database.execute("SELECT block FROM embedding_fulltext_search_data").fetchall()
    return names + ["trigrams" for (block,) in blocks if b"ams" in block or b"olf" in block]


@pytest.mark.parametrize("replacement", [{}, {"secret": "other words"}], ids=["removed", "changed"])
def test_index_purges_removed_and_changed_texts(folder: Path, replacement: dict[str, str]) -> None:
    index(open_word_store(folder), make_documents(300, secret=SECRET), quiet=True)
    assert DATABASE in traces_of_secret(folder)
    index(open_word_store(folder), make_documents(300, **replacement), quiet=True)
    assert traces_of_secret(folder) == []
    assert not (folder / MARK).exists()
    results = DenseRetriever(open_word_store(folder)).search(["finding19 in group5 treated"], 400)[0]
    assert results[0].id == "d19"
    assert len(results) == 300 + len(replacement)


def test_changed_metadata_are_purged_and_added_metadata_need_no_purge(folder: Path) -> None:
    secret, public = (Document(id="a", page_content="text", metadata={"title": title}) for title in (SECRET, "none"))
    index(open_word_store(folder), [secret], quiet=True)
    assert DATABASE in traces_of_secret(folder)
    index(open_word_store(folder), [public], quiet=True)
    assert traces_of_secret(folder) == []
    with_year = public.model_copy(update={"metadata": {"title": "none", "year": 2011}})
    fill(open_word_store(folder), [with_year], quiet=True)
    assert not (folder / MARK).exists()


def test_index_purges_removed_parts_of_documents(folder: Path) -> None:
    secret, public = f"One thing. {SECRET}. Another.", "One thing. Another."
    for text in (secret, public):
        index(open_word_store(folder), Parts(make_documents(3, secret=text), "sentence"), quiet=True)
    assert traces_of_secret(folder) == []
    assert open_word_store(folder).collection.count() == 5  # one sentence in each of 3 documents, two in ``public``


def test_index_runs_no_purge_if_nothing_was_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a purge was run"))
    index(open_word_store(folder), make_documents(3), quiet=True)
    index(open_word_store(folder), make_documents(5), quiet=True)
    purge(None)


def test_a_purge_stays_due_if_another_process_removes_texts_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = subprocess.run

    def run_and_remove(*arguments: Any, **options: Any) -> Any:
        with removal(folder):
            return run(*arguments, **options)

    index(open_word_store(folder), make_documents(3), quiet=True)
    with monkeypatch.context() as patch, removal(folder):
        patch.setattr(subprocess, "run", run_and_remove)
        purge(folder)
        assert (folder / MARK).exists()
        patch.undo()
        purge(folder)
        assert not (folder / MARK).exists()
    assert (folder / MARK).exists()


# A program that reads from the database in a transaction until its standard input is closed.
READER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("begin")
database.execute("select * from embeddings").fetchall()
print("reading", flush=True)
sys.stdin.read()
"""


def test_a_purge_stays_due_if_another_process_reads_the_database(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievers.secure_delete, "LOCK_SECONDS", 0.1)
    index(open_word_store(folder), make_documents(3, secret=SECRET), quiet=True)
    fill(open_word_store(folder), make_documents(3), quiet=True)
    command = [sys.executable, "-c", READER, str(folder / DATABASE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reading\n"
        with pytest.raises(UserError, match="is in use by another process"), open_word_store(folder).errors():
            purge(folder)
        assert (folder / MARK).exists()
        reader.communicate()
    purge(folder)
    assert traces_of_secret(folder) == []


# A program that removes the secret document and kills itself with SIGKILL before the purge.
KILLED = """
import os, signal, sys
from embedders import WordEmbedder
from langchain_core.documents import Document
import retrievers.indexing as indexing
from retrievers.config import StoreConfig
from retrievers.store import open_store

store = open_store(StoreConfig(path=sys.argv[1]), "corpus", WordEmbedder())
record = indexing._record
indexing._record = lambda store, revision, *state: (
    os.kill(os.getpid(), signal.SIGKILL) if revision else record(store, revision, *state)
)
indexing.index(store, [Document(id=f"d{i}", page_content=f"finding{i}") for i in range(3)], quiet=True)
"""


def test_index_runs_a_purge_that_a_kill_prevented(folder: Path) -> None:
    public = [Document(id=f"d{i}", page_content=f"finding{i}") for i in range(3)]
    index(open_word_store(folder), [*public, Document(id="secret", page_content=SECRET)], quiet=True)
    assert run_code(KILLED, str(folder)) == (-signal.SIGKILL, "")
    assert DATABASE in traces_of_secret(folder)
    assert index(open_word_store(folder), public, quiet=True).removed == 0
    assert traces_of_secret(folder) == []


# A program that prints the number of results, and text and title of the best result.
SEARCH = """
import sys
from embedders import WordEmbedder
from retrievers.config import StoreConfig
from retrievers.kinds.dense import DenseRetriever
from retrievers.store import open_store

results = DenseRetriever(open_store(StoreConfig(path=sys.argv[1]), "corpus", WordEmbedder())).search(["group3"], 100)[0]
print(len(results), results[0].page_content, results[0].metadata["title"])
"""


def test_another_process_finds_all_remaining_documents_after_a_purge(folder: Path) -> None:
    """Without the vector file, a new process builds the graph of vectors from the log, which then has no texts."""
    index(open_word_store(folder), make_documents(60, secret=SECRET), quiet=True)
    index(open_word_store(folder), make_documents(60), quiet=True)
    shutil.rmtree(folder / "vectors")
    status, printed = run_code(SEARCH, str(folder))
    assert status == 0
    assert printed.startswith("60 finding")
    assert "group3 treated about d" in printed
