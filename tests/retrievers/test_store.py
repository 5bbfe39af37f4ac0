"""The store: one collection for each corpus and embedder, and every trouble in a sentence."""

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

import numpy as np
import pytest
from embedders import WordEmbedder, save_tiny_embedder
from forked import run_code
from langchain_core.documents import Document

import retrievers.lexical
import retrievers.store
from common.errors import UserError
from retrievers import make_retriever
from retrievers.config import EmbedderConfig, StoreConfig
from retrievers.indexing import index
from retrievers.kinds.bm25 import BM25Config
from retrievers.kinds.dense import DenseConfig, DenseRetriever
from retrievers.kinds.hybrid import HybridConfig
from retrievers.registry import make_retrievers
from retrievers.store import collection_name, open_store, other_collections

DOCUMENTS = [Document(id=f"d{i}", page_content=f"finding{i} treated") for i in range(4)]


def names(path: Path) -> list[str]:
    import chromadb
    from chromadb.config import Settings

    client = chromadb.PersistentClient(str(path.resolve()), settings=Settings())
    return sorted(collection.name for collection in client.list_collections())


def test_the_name_is_readable_and_tells_embedders_and_corpora_apart() -> None:
    name = collection_name("PubMed QA / 2019", "abc")
    assert name.startswith("PubMed-QA-2019-cosine-")
    others = [collection_name("PubMed QA / 2019", "abd"), collection_name("PubMed QA / 2018", "abc")]
    assert len({name, *others}) == 3
    assert name == collection_name("PubMed QA / 2019", "abc")


@pytest.mark.parametrize("corpus", ["", "x", "a" * 600, "../../etc", "日本語", "-._-", "a\x00b", "\ud800"])
def test_any_corpus_name_makes_a_name_that_chroma_takes(tmp_path: Path, corpus: str) -> None:
    store = open_store(StoreConfig(path=str(tmp_path)), corpus, WordEmbedder())
    assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{1,510}[a-zA-Z0-9]", store.collection.name)
    index(store, DOCUMENTS, quiet=True)
    assert store.collection.count() == 4


def test_two_embedders_never_share_a_collection(tmp_path: Path) -> None:
    tiny = save_tiny_embedder(tmp_path / "tiny")
    embedders = {"minilm": EmbedderConfig(), "tiny": EmbedderConfig(model=str(tiny))}
    store = StoreConfig(path=str(tmp_path / "store"))
    found = {
        name: make_retriever(
            DenseConfig(embedder=name), DOCUMENTS, corpus="c", embedders=embedders, store=store, quiet=True
        ).search(["finding2 treated"], 4)[0]
        for name in embedders
    }
    assert len(names(tmp_path / "store")) == 2
    assert {len(documents) for documents in found.values()} == {4}
    scores = [[document.metadata["score"] for document in documents] for documents in found.values()]
    assert scores[0] != pytest.approx(scores[1])


def test_the_same_folder_with_other_weights_gets_another_collection(tmp_path: Path) -> None:
    from retrievers.embedders.sentence import SentenceEmbedder

    store = StoreConfig(path=str(tmp_path / "store"))
    folder = save_tiny_embedder(tmp_path / "a", seed=0)
    first = open_store(store, "c", SentenceEmbedder(str(folder)))
    index(first, DOCUMENTS, quiet=True)
    shutil.rmtree(folder)
    shutil.copytree(save_tiny_embedder(tmp_path / "b", seed=1), folder)
    second = open_store(store, "c", SentenceEmbedder(str(folder)))
    assert second.collection.name != first.collection.name
    assert second.collection.count() == 0


def test_a_store_is_found_again(tmp_path: Path) -> None:
    config = StoreConfig(path=str(tmp_path))
    index(open_store(config, "c", WordEmbedder()), DOCUMENTS, quiet=True)
    again = open_store(config, "c", WordEmbedder())
    assert again.collection.count() == 4
    assert again.collection.configuration["hnsw"]["space"] == "cosine"
    assert again.vectors.similarity_search("finding3 treated", k=1)[0].id == "d3"


def test_search_is_exact_at_a_thousand(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(1000, 48)).astype(np.float32)
    questions = rng.normal(size=(200, 48)).astype(np.float32)

    class Given(WordEmbedder):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            rows = [vectors[int(text)] if text.isdecimal() else vectors[0] for text in texts]
            return [row.tolist() for row in rows]

        def embed_query(self, text: str) -> list[float]:
            return (questions[int(text)] if text.isdecimal() else questions[0]).tolist()  # type: ignore[no-any-return]

    store = open_store(StoreConfig(path=str(tmp_path)), "c", Given())
    index(store, [Document(id=f"{i:04}", page_content=str(i)) for i in range(1000)], quiet=True)
    found = DenseRetriever(store).search([str(i) for i in range(200)], 10)

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    similarity = unit(questions) @ unit(vectors).T
    best = np.argsort(-similarity, axis=1, kind="stable")[:, :10]
    for row, documents in enumerate(found):
        assert [int(str(document.id)) for document in documents] == best[row].tolist()
        scores = [document.metadata["score"] for document in documents]
        assert scores == pytest.approx(similarity[row, best[row]].tolist(), abs=1e-5)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"is a file or lies under one\. Set store\.path"):
            open_store(StoreConfig(path=str(path)), "c", WordEmbedder())


def test_a_damaged_database(tmp_path: Path) -> None:
    (tmp_path / "chroma.sqlite3").write_bytes(b"not a database" * 1000)
    with pytest.raises(UserError, match="is damaged or was written by another version"):
        open_store(StoreConfig(path=str(tmp_path)), "c", WordEmbedder())


def test_a_database_of_something_else(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "chroma.sqlite3") as database:
        database.execute("create table migrations (a text)")
    with pytest.raises(UserError, match="store"):
        open_store(StoreConfig(path=str(tmp_path)), "c", WordEmbedder())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(UserError, match="may not be written"):
        open_store(StoreConfig(path=str(tmp_path / "store")), "c", WordEmbedder())


def test_a_database_that_another_process_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievers.store, "LOCK_SECONDS", 0.2)
    sqlite3.connect(tmp_path / "chroma.sqlite3").close()
    hold = (
        "import sqlite3, sys; database = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "database.execute('begin exclusive'); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(tmp_path / "chroma.sqlite3")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="is in use by another process"):
            open_store(StoreConfig(path=str(tmp_path)), "c", WordEmbedder())
        holder.communicate()
    assert open_store(StoreConfig(path=str(tmp_path)), "c", WordEmbedder()).collection.count() == 0


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UserError, match=r"cannot be reached\. Start the server"):
        open_store(StoreConfig(url=f"http://127.0.0.1:{port}"), "c", WordEmbedder())


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://a", "http://", "http://a:port"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(UserError, match="no address of a Chroma server"):
        open_store(StoreConfig(url=url), "c", WordEmbedder())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A Chroma server's address, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("chroma")
    folder = str(tmp_path_factory.mktemp("server"))
    command = [str(program), "run", "--host", "127.0.0.1", "--port", str(port), "--path", folder]
    quiet = {**os.environ, "ANONYMIZED_TELEMETRY": "False"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=quiet)
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


ELSEWHERE = """
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


def test_words_follow_what_another_process_changes_on_the_server(
    tmp_path: Path, server: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server[0]
    config = StoreConfig(url=url, path=str(tmp_path / "store"))
    texts = {"a": "Corvinol lowers uric acid.", "b": "Norvacine cures sepsis."}

    def elsewhere(**changed: str) -> None:
        assert run_code(ELSEWHERE, url, json.dumps(changed)) == (0, "")

    documents = [Document(id=id, page_content=text, metadata={"year": 2020}) for id, text in texts.items()]
    made = make_retrievers(
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

    def found(question: str, retriever: str = "bm25") -> list[str | None]:
        return [document.id for document in made[retriever].search([question], 3)[0]]

    builds: list[int] = []
    build = retrievers.lexical._build
    monkeypatch.setattr(retrievers.lexical, "_build", lambda *given: (builds.append(1), build(*given))[1])
    assert found("sepsis") == ["b"]
    assert builds == []  # it is the same as on the server
    elsewhere(**texts, c="Zelparin prevents stroke.")
    assert found("stroke") == ["c"]
    assert "c" in found("stroke", "hybrid")
    assert made["bm25"].search(["stroke"], 1)[0][0].metadata["year"] == 2020
    elsewhere(a=texts["a"], c="Zelparin prevents gout.")
    assert found("sepsis") == []
    assert found("stroke") == []
    assert found("gout") == ["c"]
    assert len(builds) == 2
    collection = open_store(config, "shared", WordEmbedder()).collection
    collection.delete(ids=["c"])  # by a program that is not ours
    assert found("gout") == []
    assert found("uric acid") == ["a"]
    assert len(builds) == 3


def test_a_chroma_server(server: tuple[str, "subprocess.Popen[bytes]"]) -> None:
    url, process = server
    store = open_store(StoreConfig(url=url), "c", WordEmbedder())
    index(store, DOCUMENTS, quiet=True)
    assert index(store, DOCUMENTS, quiet=True).embedded == 0
    assert DenseRetriever(store).search(["finding2 treated"], 2)[0][0].id == "d2"
    process.terminate()
    process.wait()
    with pytest.raises(UserError, match="cannot be reached"):
        DenseRetriever(store).search(["finding2 treated"], 2)


def test_a_new_folder_is_its_owners_alone(tmp_path: Path) -> None:
    open_store(StoreConfig(path=str(tmp_path / "a" / "store")), "c", WordEmbedder())
    assert stat.S_IMODE((tmp_path / "a" / "store").stat().st_mode) == 0o700
    (tmp_path / "shared").mkdir(mode=0o755)
    open_store(StoreConfig(path=str(tmp_path / "shared")), "c", WordEmbedder())
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o755


def test_other_collections_are_those_of_the_corpus(tmp_path: Path) -> None:
    config = StoreConfig(path=str(tmp_path / "store"))
    assert other_collections(config, "c", set()) == []
    assert not (tmp_path / "store").exists()
    first, second = (open_store(config, "c", WordEmbedder(size)) for size in (8, 16))
    open_store(config, "d", WordEmbedder())
    assert [one.name for one in other_collections(config, "c", {first.collection.name})] == [second.collection.name]


OTHER = """
import sys
from embedders import WordEmbedder
from langchain_core.documents import Document
from retrievers.config import StoreConfig
from retrievers.indexing import index
from retrievers.store import open_store
store = open_store(StoreConfig(path=sys.argv[1]), "corpus", WordEmbedder())
index(store, [Document(id="b", page_content="metformin"), Document(id="c", page_content="measles vaccine")], quiet=True)
"""


@pytest.mark.parametrize("again", [False, True], ids=["opened", "indexed"])
def test_a_store_opened_again_has_what_another_process_added(tmp_path: Path, again: bool) -> None:
    config = StoreConfig(path=str(tmp_path / "store"))
    before = [Document(id="a", page_content="aspirin"), Document(id="b", page_content="metformin")]
    first = open_store(config, "corpus", WordEmbedder())
    index(first, before, quiet=True)
    assert DenseRetriever(first).search(["aspirin"], 1)[0][0].id == "a"
    assert run_code(OTHER, config.path) == (0, "")
    second = open_store(config, "corpus", WordEmbedder())
    if again:
        index(second, [before[1], Document(id="c", page_content="measles vaccine")], quiet=True)
    for store in (second, first):
        found = DenseRetriever(store).search(["measles vaccine"], 3)[0]
        assert [one.id for one in found] == ["c", "b"]
