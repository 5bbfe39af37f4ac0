"""Indexing: embeds what is new, once; mirrors the documents; survives being killed."""

import random
import signal
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from embedders import WordEmbedder
from forked import run_code, start_code
from langchain_core.documents import Document

from common.errors import UserError
from retrievers.config import StoreConfig
from retrievers.indexing import IndexReport, index, prune
from retrievers.kinds.dense import DenseRetriever
from retrievers.store import Store, open_store

TOTAL = 240


def documents(count: int) -> list[Document]:
    return [
        Document(id=f"d{i}", page_content=f"finding{i} in group{i % 7} treated", metadata={"n": i})
        for i in range(count)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(StoreConfig(path=str(tmp_path / "store")), "corpus", WordEmbedder())


def embedded(store: Store) -> list[str]:
    assert isinstance(store.embedder, WordEmbedder)
    texts = list(store.embedder.embedded)
    store.embedder.embedded.clear()
    return texts


def test_the_second_time_nothing_is_embedded(store: Store) -> None:
    embedded(store)
    assert index(store, documents(300), quiet=True) == IndexReport(total=300, embedded=300, removed=0)
    assert len(embedded(store)) == 300
    assert index(store, documents(300), quiet=True) == IndexReport(total=300, embedded=0, removed=0)
    assert embedded(store) == []
    assert store.collection.count() == 300


def test_a_changed_text_is_replaced(store: Store) -> None:
    index(store, documents(5), quiet=True)
    embedded(store)
    changed = documents(5)
    changed[2] = Document(id="d2", page_content="aspirin lowers the risk", metadata={"n": 2})
    assert index(store, changed, quiet=True).embedded == 1
    assert embedded(store) == ["aspirin lowers the risk"]
    assert store.collection.count() == 5
    found = DenseRetriever(store).search(["aspirin lowers the risk"], 1)[0][0]
    assert (found.id, found.page_content) == ("d2", "aspirin lowers the risk")


def test_changed_metadata_is_replaced(store: Store) -> None:
    index(store, [Document(id="a", page_content="aspirin", metadata={"page": 1, "old": "x"})], quiet=True)
    index(store, [Document(id="a", page_content="aspirin", metadata={"page": 2})], quiet=True)
    found = DenseRetriever(store).search(["aspirin"], 1)[0][0]
    del found.metadata["score"]
    assert found.metadata == {"page": 2}


def test_for_other_metadata_nothing_is_embedded(store: Store) -> None:
    index(store, documents(300), quiet=True)
    embedded(store)
    dated = [
        one.model_copy(update={"metadata": {"year": n, "mesh": ["Adult"], "deep": {"a": n}}})
        for n, one in enumerate(documents(300))
    ]
    assert index(store, dated, quiet=True) == IndexReport(total=300, embedded=0, removed=0)
    assert embedded(store) == []
    found = DenseRetriever(store).search(["finding7 in group0 treated"], 300)[0]
    assert len(found) == 300
    for document in found:
        number = int(str(document.id)[1:])
        del document.metadata["score"]
        assert document.metadata == {"year": number, "mesh": ["Adult"], "deep": {"a": number}}
        assert document.page_content == documents(300)[number].page_content
    assert index(store, documents(300), quiet=True).embedded == 0
    assert store.collection.get(where={"year": {"$gte": 0}})["ids"] == []


def test_a_collection_that_is_not_filled_any_more_loses_old_texts(tmp_path: Path) -> None:
    config = StoreConfig(path=str(tmp_path / "store"))
    store = open_store(config, "corpus", WordEmbedder())
    index(store, Revised(documents(20), "one"), quiet=True)
    changed = [*documents(12), Document(id="d12", page_content="aspirin"), Document(id="new", page_content="new")]
    changed[3] = changed[3].model_copy(update={"metadata": {"year": 2011}})
    prune(open_store(config, "corpus", WordEmbedder()).collection, store.folder, Revised(changed, "two"))
    assert sorted(store.collection.get()["ids"]) == sorted(f"d{n}" for n in range(12))
    store.collection.upsert(ids=["x"], documents=["x"], embeddings=[[1.0] * 64])
    prune(open_store(config, "corpus", WordEmbedder()).collection, store.folder, Revised(changed, "two"))
    assert store.collection.count() == 13  # for this revision it has been done
    again = open_store(config, "corpus", WordEmbedder())
    assert index(again, Revised(changed, "two"), quiet=True) == IndexReport(total=14, embedded=2, removed=1)


def test_what_is_no_longer_wanted_is_removed(store: Store) -> None:
    index(store, documents(20), quiet=True)
    assert index(store, documents(12), quiet=True) == IndexReport(total=12, embedded=0, removed=8)
    found = DenseRetriever(store).search(["finding19 in group5 treated"], 50)[0]
    assert sorted(str(each.id) for each in found) == sorted(f"d{i}" for i in range(12))


def test_a_document_given_twice_counts_once(store: Store) -> None:
    assert index(store, [*documents(3), *documents(3)], quiet=True).total == 3
    assert store.collection.count() == 3


def test_metadata_of_any_kind_comes_back(store: Store) -> None:
    metadata = {
        "title": "naïve \ud800",
        "year": 2020,
        "share": 0.5,
        "free": True,
        "none": None,
        "authors": ["A", "B"],
        "cache": {"name": "J"},
        "huge": 2**70,
        "day": date(2020, 1, 2),
    }
    index(store, [Document(id="a", page_content="aspirin \ud800", metadata=metadata)], quiet=True)
    found = DenseRetriever(store).search(["aspirin"], 1)[0][0]
    del found.metadata["score"]
    assert found.page_content == "aspirin ?"
    assert found.metadata == {**metadata, "title": "naïve ?", "day": "2020-01-02"}
    assert index(store, [Document(id="a", page_content="aspirin \ud800", metadata=metadata)], quiet=True).embedded == 0


def test_lists_of_texts_can_be_filtered_by(store: Store) -> None:
    every = [
        Document(id="a", page_content="aspirin", metadata={"mesh": ["Adult", "Stroke"], "year": 2020}),
        Document(id="b", page_content="aspirin too", metadata={"mesh": ["Child"], "year": 2021}),
        Document(id="c", page_content="aspirin three", metadata={"mesh": [], "odd": ["x", 1]}),
    ]
    index(store, every, quiet=True)
    assert store.collection.get(where={"mesh": {"$contains": "Stroke"}})["ids"] == ["a"]  # type: ignore[dict-item]
    found = {one.id: one.metadata for one in DenseRetriever(store).search(["aspirin"], 3)[0]}
    for document in every:
        del found[document.id]["score"]
        assert found[document.id] == document.metadata


class Revised(list[Document]):
    """Documents that say when they change, and count how often they are gone through."""

    def __init__(self, documents: list[Document], revision: str) -> None:
        super().__init__(documents)
        self.revision = revision
        self.read = 0

    def __iter__(self) -> Iterator[Document]:
        self.read += 1
        return super().__iter__()


def test_a_store_that_holds_this_revision_is_not_compared(store: Store) -> None:
    every = Revised(documents(20), "one")
    index(store, every, quiet=True)
    every.read = 0
    assert index(store, every, quiet=True) == IndexReport(total=20, embedded=0, removed=0)
    assert every.read == 0
    assert index(store, Revised(documents(25), "two"), quiet=True).embedded == 5
    # The first revision again: what is stored is another one.
    assert index(store, every, quiet=True).removed == 5
    index(store, documents(22), quiet=True)  # documents without a revision
    assert index(store, every, quiet=True).removed == 2


class Stopping(WordEmbedder):
    """Stops at the second of its batches."""

    batches = 2

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if len(texts) > 1:
            self.batches -= 1
            if self.batches == 0:
                raise KeyboardInterrupt
        return super().embed_documents(texts)


def test_a_revision_that_was_stopped_is_not_taken_for_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import retrievers.indexing

    monkeypatch.setattr(retrievers.indexing, "BATCH", 8)
    embedder = Stopping()
    store = open_store(StoreConfig(path=str(tmp_path)), "corpus", embedder)
    first = Revised(documents(20), "one")
    with pytest.raises(KeyboardInterrupt):
        index(store, first, quiet=True)
    assert store.collection.count() == 8
    assert index(store, first, quiet=True) == IndexReport(total=20, embedded=12, removed=0)
    # A part of the second revision is stored, and there are as many as of the first.
    second = [one.model_copy(update={"page_content": f"other {one.page_content}"}) for one in first]
    embedder.batches = 2
    with pytest.raises(KeyboardInterrupt):
        index(store, Revised(second, "two"), quiet=True)
    assert store.collection.count() == 20
    assert index(store, first, quiet=True).embedded == 8


def test_few_documents_are_in_memory_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import gc
    import weakref

    import retrievers.indexing

    monkeypatch.setattr(retrievers.indexing, "SORTED", 16)
    monkeypatch.setattr(retrievers.indexing, "BATCH", 8)
    alive: weakref.WeakSet[Document] = weakref.WeakSet()
    most = 0

    class Traced(Document):
        __hash__ = object.__hash__  # type: ignore[assignment]

    class Lazy(Revised):
        def __iter__(self) -> Iterator[Document]:
            nonlocal most
            for document in documents(200):
                traced = Traced(id=document.id, page_content=document.page_content)
                alive.add(traced)
                gc.collect(0)
                most = max(most, len(alive))
                yield traced

    assert index(store, Lazy([], "one"), quiet=True).embedded == 200
    assert most <= 40


def test_clashing_ids_change_nothing(store: Store) -> None:
    index(store, documents(3), quiet=True)
    with pytest.raises(UserError, match="d1"):
        index(store, [*documents(2), Document(id="d1", page_content="other")], quiet=True)
    assert store.collection.count() == 3


def test_the_bar_is_shown_unless_quiet(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    index(store, documents(2), quiet=True)
    assert capsys.readouterr() == ("", "")
    index(store, documents(4))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "4/4 passages" in shown.err


def test_an_embedders_own_error_is_not_blamed_on_the_store(tmp_path: Path) -> None:
    class Broken(WordEmbedder):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            if "finding" in texts[0]:
                raise RuntimeError("out of memory")
            return super().embed_documents(texts)

    store = open_store(StoreConfig(path=str(tmp_path)), "corpus", Broken())
    with pytest.raises(RuntimeError, match="out of memory"):
        index(store, documents(2), quiet=True)


INDEX = f"""
import sys, time
from embedders import WordEmbedder
from langchain_core.documents import Document
import retrievers.indexing as indexing
from retrievers.config import StoreConfig
from retrievers.store import open_store

class Slow(WordEmbedder):
    def embed_documents(self, texts):
        for text in texts:
            time.sleep(0.002)
            print(text, flush=True)
        return super().embed_documents(texts)

indexing.BATCH = 10
store = open_store(StoreConfig(path=sys.argv[1]), "corpus", Slow())
print("STORED", store.collection.count(), flush=True)
texts = [f"finding{{i}} in group{{i % 7}} treated" for i in range({TOTAL})]
documents = [Document(id=f"d{{i}}", page_content=text, metadata={{"n": i}}) for i, text in enumerate(texts)]
print("REPORT", indexing.index(store, documents, quiet=True).embedded, flush=True)
"""


def test_kill_at_five_moments_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rng = random.Random(20)
    stored: list[int] = []
    for _ in range(5):
        process, printed = start_code(INDEX, str(tmp_path / "store"))
        with printed:
            stored.append(next(int(line.split()[1]) for line in printed if line.startswith("STORED")))
            for _ in range(rng.randrange(5, 45)):
                printed.readline()
            time.sleep(rng.random() * 0.02)
            process.kill()
            process.join()
        assert process.exitcode == -signal.SIGKILL
    # Every run began with what the one before had stored, and none began again.
    assert stored == sorted(stored)
    assert stored[-1] > 0

    status, shown = run_code(INDEX, str(tmp_path / "store"))
    assert status == 0
    last = shown.splitlines()
    before = next(int(line.split()[1]) for line in last if line.startswith("STORED"))
    asked = [line for line in last if line.startswith("finding")]
    assert before < TOTAL
    assert len(asked) == len(set(asked)) == TOTAL - before
    assert f"REPORT {TOTAL - before}" in last

    # The class of the embedder is part of its identity, so the collection is opened by name.
    import chromadb
    from chromadb.config import Settings

    client = chromadb.PersistentClient(str(tmp_path / "store"), settings=Settings())
    (collection,) = client.list_collections()
    everything = collection.get()
    assert sorted(everything["ids"]) == sorted(f"d{i}" for i in range(TOTAL))
    vectors = WordEmbedder().embed_documents([document.page_content for document in documents(TOTAL)])
    nearest = collection.query(query_embeddings=vectors, n_results=1)["ids"]
    assert nearest == [[f"d{i}"] for i in range(TOTAL)]
