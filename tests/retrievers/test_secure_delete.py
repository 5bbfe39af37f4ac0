"""What was removed from a store is in none of its files."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from embedders import WordEmbedder
from forked import run_code
from langchain_core.documents import Document

import retrievers.secure_delete
from common.errors import UserError
from retrievers.config import StoreConfig
from retrievers.indexing import fill, index
from retrievers.kinds.dense import DenseRetriever
from retrievers.kinds.parent import Parts
from retrievers.secure_delete import DATABASE, MARK, purge
from retrievers.store import Store, open_store

SECRET = "the secretariat of Wolframstrasse"  # its name stands in no other document


def documents(count: int, **more: str) -> list[Document]:
    texts = {f"d{i}": f"finding{i} in group{i % 7} treated" for i in range(count)} | more
    return [Document(id=id, page_content=text, metadata={"title": f"about {id}"}) for id, text in texts.items()]


def opened(path: Path) -> Store:
    return open_store(StoreConfig(path=str(path)), "corpus", WordEmbedder())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def traces(folder: Path) -> list[str]:
    """Files that hold the name, and parts of the full-text index that hold a trigram of it."""
    found = [file.name for file in sorted(folder.rglob("*")) if file.is_file() and b"Wolfram" in file.read_bytes()]
    with closing(sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True)) as database:
        blocks = database.execute("SELECT block FROM embedding_fulltext_search_data").fetchall()
    return found + ["trigrams" for (block,) in blocks if b"ams" in block or b"olf" in block]


@pytest.mark.parametrize("after", [{}, {"secret": "other words"}], ids=["removed", "changed"])
def test_a_text_that_was_removed_or_changed_is_gone(folder: Path, after: dict[str, str]) -> None:
    index(opened(folder), documents(300, secret=SECRET), quiet=True)
    assert DATABASE in traces(folder)
    index(opened(folder), documents(300, **after), quiet=True)
    assert traces(folder) == []
    assert not (folder / MARK).exists()
    found = DenseRetriever(opened(folder)).search(["finding19 in group5 treated"], 400)[0]
    assert found[0].id == "d19"
    assert len(found) == 300 + len(after)


def test_metadata_that_were_changed_are_gone(folder: Path) -> None:
    secret, plain = (Document(id="a", page_content="text", metadata={"title": one}) for one in (SECRET, "none"))
    index(opened(folder), [secret], quiet=True)
    assert DATABASE in traces(folder)
    index(opened(folder), [plain], quiet=True)
    assert traces(folder) == []
    dated = plain.model_copy(update={"metadata": {"title": "none", "year": 2011}})
    fill(opened(folder), [dated], quiet=True)
    assert not (folder / MARK).exists()  # some were added and none went


def test_parts_are_gone_too(folder: Path) -> None:
    index(opened(folder), Parts(documents(3, secret=f"One thing. {SECRET}. Another."), "sentence"), quiet=True)
    index(opened(folder), Parts(documents(3, secret="One thing. Another."), "sentence"), quiet=True)
    assert traces(folder) == []
    assert opened(folder).collection.count() == 5


def test_a_purge_that_was_missed_is_made_good(folder: Path) -> None:
    index(opened(folder), documents(3, secret=SECRET), quiet=True)
    fill(opened(folder), documents(3), quiet=True)
    assert DATABASE in traces(folder)
    index(opened(folder), documents(3), quiet=True)
    assert traces(folder) == []


def test_where_nothing_was_removed_nothing_is_done(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: object, **__: object) -> None:
        pytest.fail("a purge is run")

    monkeypatch.setattr(subprocess, "run", run)
    index(opened(folder), documents(3), quiet=True)
    index(opened(folder), documents(5), quiet=True)
    purge(None)


def test_while_another_process_reads_it_stays_due(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievers.secure_delete, "LOCK_SECONDS", 0.1)
    index(opened(folder), documents(3, secret=SECRET), quiet=True)
    fill(opened(folder), documents(3), quiet=True)
    hold = (
        "import sqlite3, sys; database = sqlite3.connect(sys.argv[1], isolation_level=None); database.execute('begin');"
        "database.execute('select * from embeddings').fetchall(); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(folder / DATABASE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="is in use by another process"), opened(folder).errors():
            purge(folder)
        assert (folder / MARK).exists()
        holder.communicate()
    purge(folder)
    assert traces(folder) == []


KILLED = """
import os, signal, sys
from embedders import WordEmbedder
from langchain_core.documents import Document
import retrievers.indexing as indexing
from retrievers.config import StoreConfig
from retrievers.store import open_store

store = open_store(StoreConfig(path=sys.argv[1]), "corpus", WordEmbedder())
note = indexing._note
indexing._note = lambda store, revision, *state: (
    os.kill(os.getpid(), signal.SIGKILL) if revision else note(store, revision, *state)
)
indexing.index(store, [Document(id=f"d{i}", page_content=f"finding{i}") for i in range(3)], quiet=True)
"""


def test_a_kill_after_the_removal_leaves_nothing_for_good(folder: Path) -> None:
    kept = [Document(id=f"d{i}", page_content=f"finding{i}") for i in range(3)]
    index(opened(folder), [*kept, Document(id="secret", page_content=SECRET)], quiet=True)
    assert run_code(KILLED, str(folder)) == (-signal.SIGKILL, "")
    assert DATABASE in traces(folder)
    assert index(opened(folder), kept, quiet=True).removed == 0
    assert traces(folder) == []


READ = """
import sys
from embedders import WordEmbedder
from retrievers.config import StoreConfig
from retrievers.kinds.dense import DenseRetriever
from retrievers.store import open_store

found = DenseRetriever(open_store(StoreConfig(path=sys.argv[1]), "corpus", WordEmbedder())).search(["group3"], 100)[0]
print(len(found), found[0].page_content, found[0].metadata["title"])
"""


def test_another_process_finds_all_that_is_left(folder: Path) -> None:
    """It makes the graph of vectors anew from the log, which holds no texts now."""
    index(opened(folder), documents(60, secret=SECRET), quiet=True)
    index(opened(folder), documents(60), quiet=True)
    status, shown = run_code(READ, str(folder))
    assert status == 0
    assert shown.startswith("60 finding")
    assert "group3 treated about d" in shown
