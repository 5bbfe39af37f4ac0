"""The store: collections by corpus and embedder, changes by other processes, and error messages."""

import json
import os
import re
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from embedders import WordEmbedder, open_word_store
from forked import run_code
from langchain_core.documents import Document

import retrievers.lexical
import retrievers.store
from common.errors import UserError
from retrievers.config import StoreConfig
from retrievers.indexing import index
from retrievers.kinds.bm25 import BM25Config
from retrievers.kinds.dense import DenseConfig, DenseRetriever
from retrievers.kinds.hybrid import HybridConfig
from retrievers.registry import make_retrievers
from retrievers.store import _address, collection_name, open_store, other_collections, store_errors

DOCUMENTS = [Document(id=f"d{i}", page_content=f"finding{i} treated") for i in range(4)]


def test_collection_name_starts_with_the_corpus_and_depends_on_the_embedder() -> None:
    name = collection_name("PubMed QA / 2019", "abc")
    assert name.startswith("PubMed-QA-2019-cosine-")
    others = [collection_name("PubMed QA / 2019", "abd"), collection_name("PubMed QA / 2018", "abc")]
    assert len({name, *others}) == 3
    assert name == collection_name("PubMed QA / 2019", "abc")


@pytest.mark.parametrize("corpus", ["", "x", "a" * 600, "../../etc", "日本語", "-._-", "a\x00b", "\ud800"])
def test_any_corpus_name_gives_a_valid_collection_name(tmp_path: Path, corpus: str) -> None:
    store = open_word_store(tmp_path, corpus)
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]", store.collection.name)  # Chroma's rule
    index(store, DOCUMENTS, quiet=True)
    assert store.collection.count() == 4


def test_a_reopened_store_has_its_documents(tmp_path: Path) -> None:
    index(open_word_store(tmp_path), DOCUMENTS, quiet=True)
    reopened = open_word_store(tmp_path)
    assert reopened.collection.count() == 4
    assert reopened.collection.configuration["hnsw"]["space"] == "cosine"
    assert reopened.vectors.similarity_search("finding3 treated", k=1)[0].id == "d3"


def test_a_file_in_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"is a file or lies under one\. Set store\.path"):
            open_word_store(path)


def test_a_damaged_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"not a database" * 1000)
    with pytest.raises(UserError, match="is damaged or was written by another version"):
        open_word_store(tmp_path)


def test_a_database_with_other_tables_is_reported(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "chroma.sqlite3") as database:
        database.execute("create table migrations (a text)")
    with pytest.raises(UserError, match="store"):
        open_word_store(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_numpys_error_on_a_full_disk_is_explained() -> None:
    with pytest.raises(UserError, match="is on a disk that is full"), store_errors("store"):
        np.zeros(20_000).tofile("/dev/full")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(UserError, match="may not be written"):
        open_word_store(tmp_path / "store")


# A program that locks the database until its standard input is closed.
LOCKER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("begin exclusive")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_database_that_another_process_locks_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievers.store, "LOCK_SECONDS", 0.2)
    sqlite3.connect(tmp_path / "chroma.sqlite3").close()
    command = [sys.executable, "-c", LOCKER, str(tmp_path / "chroma.sqlite3")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as locker:
        assert locker.stdout is not None
        assert locker.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match="is in use by another process"):
            open_word_store(tmp_path)
        locker.communicate()
    assert open_word_store(tmp_path).collection.count() == 0


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_an_unreachable_server_is_reported() -> None:
    with pytest.raises(UserError, match=r"cannot be reached\. Start the server"):
        open_store(StoreConfig(url=f"http://127.0.0.1:{free_port()}"), "c", WordEmbedder())


def test_the_url_of_a_server_may_have_an_ipv6_address() -> None:
    assert _address("http://[::1]:8001") == ("[::1]", 8001, False)


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://a", "http://", "http://a:port", "http://a/path", "http://user:word@a"]
)
def test_an_invalid_server_url_is_rejected(url: str) -> None:
    with pytest.raises(UserError, match="no address of a Chroma server"):
        open_store(StoreConfig(url=url), "c", WordEmbedder())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A Chroma server's address and process."""
    port = free_port()
    program = Path(sys.executable).with_name("chroma")
    folder = str(tmp_path_factory.mktemp("server"))
    command = [str(program), "run", "--host", "127.0.0.1", "--port", str(port), "--path", folder]
    environment = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            try:
                open_store(StoreConfig(url=url), "started", WordEmbedder())
                break
            except UserError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield url, process
    finally:
        process.terminate()
        process.wait()


# A program that indexes the texts of its second argument on the server.
INDEX_ON_SERVER = """
import json, sys
from langchain_core.documents import Document
from embedders import WordEmbedder
from retrievers.config import StoreConfig
from retrievers.indexing import index
from retrievers.store import open_store
texts = json.loads(sys.argv[2])
index(open_store(StoreConfig(url=sys.argv[1]), "shared", WordEmbedder()),
      [Document(id=id, page_content=text, metadata={"year": 2020}) for id, text in texts.items()], quiet=True)
"""


def test_bm25_is_rebuilt_only_when_the_documents_on_the_server_change(
    tmp_path: Path, server: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server[0]
    config = StoreConfig(url=url, path=str(tmp_path / "store"))
    texts = {"a": "Corvinol lowers uric acid.", "b": "Norvacine cures sepsis."}

    def index_in_another_process(**texts: str) -> None:
        assert run_code(INDEX_ON_SERVER, url, json.dumps(texts)) == (0, "")

    documents = [Document(id=id, page_content=text, metadata={"year": 2020}) for id, text in texts.items()]
    retrievers_by_name = make_retrievers(
        {
            "dense": DenseConfig(embedder="words"),
            "bm25": BM25Config(),
            "hybrid": HybridConfig(retrievers={"dense": 1.0, "bm25": 1.0}),
        },
        ["bm25", "hybrid"],
        documents,
        corpus="shared",
        embedders={"words": WordEmbedder()},
        store=config,
        quiet=True,
    )

    def search_ids(question: str, retriever: str = "bm25") -> list[str | None]:
        return [document.id for document in retrievers_by_name[retriever].search([question], 3)[0]]

    monkeypatch.setattr("chromadb.HttpClient", lambda **_: pytest.fail("a search opened another connection"))
    build = Mock(wraps=retrievers.lexical._build)
    monkeypatch.setattr(retrievers.lexical, "_build", build)
    assert search_ids("sepsis") == ["b"]
    assert build.call_count == 0
    index_in_another_process(**texts, c="Zelparin prevents stroke.")
    assert search_ids("stroke") == ["c"]
    assert "c" in search_ids("stroke", "hybrid")
    assert retrievers_by_name["bm25"].search(["stroke"], 1)[0][0].metadata["year"] == 2020
    index_in_another_process(a=texts["a"], c="Zelparin prevents gout.")
    assert search_ids("sepsis") == []
    assert search_ids("stroke") == []
    assert search_ids("gout") == ["c"]
    assert build.call_count == 2
    open_store(config, "shared", WordEmbedder()).collection.delete(ids=["c"])  # without a new revision
    assert search_ids("gout") == []
    assert search_ids("uric acid") == ["a"]
    assert build.call_count == 3


def test_documents_are_indexed_and_found_on_a_server_until_it_stops(
    server: tuple[str, "subprocess.Popen[bytes]"],
) -> None:
    url, process = server
    store = open_store(StoreConfig(url=url), "c", WordEmbedder())
    index(store, DOCUMENTS, quiet=True)
    assert index(store, DOCUMENTS, quiet=True).embedded == 0
    assert DenseRetriever(store).search(["finding2 treated"], 2)[0][0].id == "d2"
    process.terminate()
    process.wait()
    with pytest.raises(UserError, match="cannot be reached"):
        DenseRetriever(store).search(["finding2 treated"], 2)


def test_a_new_folder_is_private_and_an_existing_one_keeps_its_mode(tmp_path: Path) -> None:
    open_word_store(tmp_path / "a" / "store")
    assert stat.S_IMODE((tmp_path / "a" / "store").stat().st_mode) == 0o700
    (tmp_path / "shared").mkdir(mode=0o755)
    open_word_store(tmp_path / "shared")
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o755


def test_other_collections_lists_the_collections_of_the_corpus_except_excluded_ones(tmp_path: Path) -> None:
    config = StoreConfig(path=str(tmp_path / "store"))
    assert other_collections(config, "c", ()) == []
    assert not (tmp_path / "store").exists()
    first, second = (open_store(config, "c", WordEmbedder(size)) for size in (8, 16))
    open_store(config, "d", WordEmbedder())
    others = other_collections(config, "c", {first.collection.name})
    assert [collection.name for collection in others] == [second.collection.name]


# A program that indexes the documents b and c.
INDEX_IN_FOLDER = """
import sys
from embedders import WordEmbedder
from langchain_core.documents import Document
from retrievers.config import StoreConfig
from retrievers.indexing import index
from retrievers.store import open_store
store = open_store(StoreConfig(path=sys.argv[1]), "corpus", WordEmbedder())
index(store, [Document(id="b", page_content="metformin"), Document(id="c", page_content="measles vaccine")], quiet=True)
"""


# A program that stores a document and removes another.
STORE_AND_REMOVE = """
import sys
from pathlib import Path
from embedders import open_word_store
collection = open_word_store(Path(sys.argv[1])).collection
collection.add(ids=["new"], documents=["new"], embeddings=[[1.0] * 64])
collection.delete(ids=["d1"])
"""


def test_texts_that_another_process_is_storing_or_removing_are_left_out(tmp_path: Path) -> None:
    store = open_word_store(tmp_path)
    index(store, DOCUMENTS, quiet=True)
    shutil.rmtree(tmp_path / "vectors")
    reopened = open_word_store(tmp_path)
    assert list(reopened.embeddings(["d1"])) == ["d1"]  # loads the graph
    assert run_code(STORE_AND_REMOVE, str(tmp_path)) == (0, "")
    assert reopened.embeddings(["new"]) == {}
    found = DenseRetriever(reopened).search(["finding1 treated"], 4)[0]
    assert {document.id for document in found} == {"d0", "d2", "d3"}


@pytest.mark.parametrize(("reindexed", "has_vector_file"), [(False, True), (False, False), (True, True)])
def test_open_and_reopened_stores_find_documents_that_another_process_indexed(
    tmp_path: Path, reindexed: bool, has_vector_file: bool
) -> None:
    a, b, c = (
        Document(id=id, page_content=text)
        for id, text in (("a", "aspirin"), ("b", "metformin"), ("c", "measles vaccine"))
    )
    open_before = open_word_store(tmp_path / "store")
    index(open_before, [a, b], quiet=True)
    assert DenseRetriever(open_before).search(["aspirin"], 1)[0][0].id == "a"
    assert run_code(INDEX_IN_FOLDER, str(tmp_path / "store")) == (0, "")
    if not has_vector_file:
        shutil.rmtree(tmp_path / "store" / "vectors")
    reopened = open_word_store(tmp_path / "store")
    if reindexed:
        index(reopened, [b, c], quiet=True)
    for store in (reopened, open_before):
        results = DenseRetriever(store).search(["measles vaccine"], 3)[0]
        assert [document.id for document in results] == ["c", "b"]
