"""Indexing: embeds new texts once, removes other texts, and continues after a kill."""

import gc
import random
import signal
import time
import weakref
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from embedders import WordEmbedder, open_word_store
from forked import run_code, start_code
from langchain_core.documents import Document

import retrievers.indexing
from common.errors import UserError
from retrievers.config import StoreConfig
from retrievers.indexing import IndexReport, index, prune, read_document
from retrievers.kinds.dense import DenseRetriever
from retrievers.store import Store, open_store

TOTAL = 240  # number of documents that the program INDEX indexes


def make_documents(count: int) -> list[Document]:
    return [
        Document(id=f"d{i}", page_content=f"finding{i} in group{i % 7} treated", metadata={"n": i})
        for i in range(count)
    ]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(StoreConfig(path=str(tmp_path / "store")), "corpus", WordEmbedder())


def take_embedded(store: Store) -> list[str]:
    """The texts that were embedded since the last call."""
    assert isinstance(store.embedder, WordEmbedder)
    texts = list(store.embedder.embedded)
    store.embedder.embedded.clear()
    return texts


def stored_metadata(store: Store, text: str) -> dict[str, Any]:
    metadata = DenseRetriever(store).search([text], 1)[0][0].metadata
    del metadata["score"]
    return metadata


def test_unchanged_documents_are_not_embedded_again(store: Store) -> None:
    take_embedded(store)
    assert index(store, make_documents(300), quiet=True) == IndexReport(total=300, embedded=300, removed=0)
    assert len(take_embedded(store)) == 300
    assert index(store, make_documents(300), quiet=True) == IndexReport(total=300, embedded=0, removed=0)
    assert take_embedded(store) == []
    assert store.collection.count() == 300


def test_a_changed_text_is_replaced(store: Store) -> None:
    index(store, make_documents(5), quiet=True)
    take_embedded(store)
    changed = make_documents(5)
    changed[2] = Document(id="d2", page_content="aspirin lowers the risk", metadata={"n": 2})
    assert index(store, changed, quiet=True).embedded == 1
    assert take_embedded(store) == ["aspirin lowers the risk"]
    assert store.collection.count() == 5
    best = DenseRetriever(store).search(["aspirin lowers the risk"], 1)[0][0]
    assert (best.id, best.page_content) == ("d2", "aspirin lowers the risk")


def test_documents_with_changed_metadata_are_not_embedded_again(store: Store) -> None:
    index(store, make_documents(300), quiet=True)
    take_embedded(store)
    changed = [
        document.model_copy(update={"metadata": {"year": n, "mesh": ["Adult"], "nested": {"a": n}}})
        for n, document in enumerate(make_documents(300))
    ]
    assert index(store, changed, quiet=True) == IndexReport(total=300, embedded=0, removed=0)
    assert take_embedded(store) == []
    results = DenseRetriever(store).search(["finding7 in group0 treated"], 300)[0]
    assert len(results) == 300
    for document in results:
        del document.metadata["score"]
    assert sorted(results, key=lambda document: document.metadata["year"]) == changed
    assert index(store, make_documents(300), quiet=True).embedded == 0
    assert store.collection.get(where={"year": {"$gte": 0}})["ids"] == []


def test_prune_removes_old_texts_once_for_each_revision(tmp_path: Path) -> None:
    config = StoreConfig(path=str(tmp_path / "store"))
    store = open_store(config, "corpus", WordEmbedder())
    index(store, RevisedDocuments(make_documents(20), "one"), quiet=True)
    changed = make_documents(12)
    changed += [Document(id="d12", page_content="aspirin"), Document(id="new", page_content="new")]
    changed[3] = changed[3].model_copy(update={"metadata": {"year": 2011}})
    prune(open_store(config, "corpus", WordEmbedder()).collection, store.folder, RevisedDocuments(changed, "two"))
    assert sorted(store.collection.get()["ids"]) == sorted(f"d{n}" for n in range(12))
    store.collection.upsert(ids=["x"], documents=["x"], embeddings=[[1.0] * 64])
    prune(open_store(config, "corpus", WordEmbedder()).collection, store.folder, RevisedDocuments(changed, "two"))
    assert store.collection.count() == 13  # the same revision is not pruned again
    reopened = open_store(config, "corpus", WordEmbedder())
    report = index(reopened, RevisedDocuments(changed, "two"), quiet=True)
    assert report == IndexReport(total=14, embedded=2, removed=1)


def test_removed_texts_are_not_found_after_a_prune_that_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = retrievers.indexing._remove

    def remove_and_interrupt(*arguments: Any) -> None:
        remove(*arguments)
        raise KeyboardInterrupt

    store = open_word_store(tmp_path)
    index(store, make_documents(20), quiet=True)
    remaining = RevisedDocuments(make_documents(5), "two")
    collection = open_word_store(tmp_path).collection
    with monkeypatch.context() as patch:
        patch.setattr(retrievers.indexing, "_remove", remove_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            prune(collection, tmp_path, remaining)
    assert not [file for file in tmp_path.rglob("*.jsonl") if b"finding7" in file.read_bytes()]
    prune(open_word_store(tmp_path).collection, tmp_path, remaining)
    index(open_word_store(tmp_path), remaining, quiet=True)
    results = DenseRetriever(store).search(["finding7 in group0 treated"], 20)[0]
    assert sorted(str(document.id) for document in results) == [f"d{n}" for n in range(5)]


def test_stored_documents_that_are_missing_in_the_corpus_are_removed(store: Store) -> None:
    index(store, make_documents(20), quiet=True)
    assert index(store, make_documents(12), quiet=True) == IndexReport(total=12, embedded=0, removed=8)
    results = DenseRetriever(store).search(["finding19 in group5 treated"], 50)[0]
    assert sorted(str(document.id) for document in results) == sorted(f"d{i}" for i in range(12))


def test_a_duplicate_document_is_stored_once(store: Store) -> None:
    assert index(store, [*make_documents(3), *make_documents(3)], quiet=True).total == 3
    assert store.collection.count() == 3


def test_metadata_of_all_types_are_stored(store: Store) -> None:
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
    document = Document(id="a", page_content="aspirin \ud800", metadata=metadata)
    index(store, [document], quiet=True)
    assert DenseRetriever(store).search(["aspirin"], 1)[0][0].page_content == "aspirin ?"
    assert stored_metadata(store, "aspirin") == {**metadata, "title": "naïve ?", "day": "2020-01-02"}
    assert index(store, [document], quiet=True).embedded == 0


@pytest.mark.parametrize("key", ["", "#1", "$gt", "chroma:document", "_digest", "_json"])
def test_metadata_under_keys_that_chroma_refuses_are_stored(store: Store, key: str) -> None:
    index(store, [Document(id="a", page_content="aspirin", metadata={key: "value"})], quiet=True)
    metadatas = store.collection.get()["metadatas"]
    assert metadatas is not None
    assert read_document("a", "aspirin", metadatas[0]).metadata == {key: "value"}


def test_lists_of_texts_in_metadata_can_be_filtered_by(store: Store) -> None:
    documents = [
        Document(id="a", page_content="aspirin", metadata={"mesh": ["Adult", "Stroke"], "year": 2020}),
        Document(id="b", page_content="aspirin too", metadata={"mesh": ["Child"], "year": 2021}),
        Document(id="c", page_content="aspirin three", metadata={"mesh": [], "odd": ["x", 1]}),
    ]
    index(store, documents, quiet=True)
    assert store.collection.get(where={"mesh": {"$contains": "Stroke"}})["ids"] == ["a"]  # type: ignore[dict-item]
    for document in documents:
        assert stored_metadata(store, document.page_content) == document.metadata


class RevisedDocuments(list[Document]):
    """Documents with a revision, which count how often they are iterated over."""

    def __init__(self, documents: list[Document], revision: str) -> None:
        super().__init__(documents)
        self.revision = revision
        self.iterations = 0

    def __iter__(self) -> Iterator[Document]:
        self.iterations += 1
        return super().__iter__()


def test_documents_of_the_stored_revision_are_not_read(store: Store) -> None:
    first = RevisedDocuments(make_documents(20), "one")
    index(store, first, quiet=True)
    first.iterations = 0
    assert index(store, first, quiet=True) == IndexReport(total=20, embedded=0, removed=0)
    assert first.iterations == 0
    # The documents are read if the store has another revision, or was filled without a revision.
    assert index(store, RevisedDocuments(make_documents(25), "two"), quiet=True).embedded == 5
    assert index(store, first, quiet=True).removed == 5
    index(store, make_documents(22), quiet=True)
    assert index(store, first, quiet=True).removed == 2


class InterruptedEmbedder(WordEmbedder):
    """Raises KeyboardInterrupt at the second batch; single texts, which opening a store embeds, are no batch."""

    batches_left = 2

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if len(texts) > 1:
            self.batches_left -= 1
            if self.batches_left == 0:
                raise KeyboardInterrupt
        return super().embed_documents(texts)


def test_indexing_continues_after_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievers.indexing, "BATCH", 8)
    embedder = InterruptedEmbedder()
    store = open_store(StoreConfig(path=str(tmp_path)), "corpus", embedder)
    first = RevisedDocuments(make_documents(20), "one")
    with pytest.raises(KeyboardInterrupt):
        index(store, first, quiet=True)
    assert store.collection.count() == 8
    assert index(store, first, quiet=True) == IndexReport(total=20, embedded=12, removed=0)
    # After an interrupt, the store has 8 texts of the second revision and 12 of the first, as many as the first has.
    second = [each.model_copy(update={"page_content": f"other {each.page_content}"}) for each in first]
    embedder.batches_left = 2
    with pytest.raises(KeyboardInterrupt):
        index(store, RevisedDocuments(second, "two"), quiet=True)
    assert store.collection.count() == 20
    assert index(store, first, quiet=True).embedded == 8


def test_few_documents_are_in_memory_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrievers.indexing, "SORT_GROUP", 16)
    monkeypatch.setattr(retrievers.indexing, "BATCH", 8)
    alive: weakref.WeakSet[Document] = weakref.WeakSet()
    peak = 0

    class HashableDocument(Document):
        __hash__ = object.__hash__  # type: ignore[assignment]

    class GeneratedDocuments(RevisedDocuments):
        def __iter__(self) -> Iterator[Document]:
            nonlocal peak
            for each in make_documents(200):
                document = HashableDocument(id=each.id, page_content=each.page_content)
                alive.add(document)
                gc.collect(0)
                peak = max(peak, len(alive))
                yield document

    assert index(store, GeneratedDocuments([], "one"), quiet=True).embedded == 200
    assert peak <= 40  # far fewer than 200: two groups of SORT_GROUP documents, and a batch


def test_two_texts_with_the_same_id_are_rejected_and_the_store_is_unchanged(store: Store) -> None:
    index(store, make_documents(3), quiet=True)
    with pytest.raises(UserError, match="d1"):
        index(store, [*make_documents(2), Document(id="d1", page_content="other")], quiet=True)
    assert store.collection.count() == 3


def test_a_progress_bar_is_shown_on_stderr_unless_quiet(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    index(store, make_documents(2), quiet=True)
    assert capsys.readouterr() == ("", "")
    index(store, make_documents(4))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "4/4 passages" in printed.err


def test_an_error_of_the_embedder_is_not_reported_as_an_error_of_the_store(tmp_path: Path) -> None:
    class FailingEmbedder(WordEmbedder):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            if "finding" in texts[0]:
                raise RuntimeError("out of memory")
            return super().embed_documents(texts)

    store = open_store(StoreConfig(path=str(tmp_path)), "corpus", FailingEmbedder())
    with pytest.raises(RuntimeError, match="out of memory"):
        index(store, make_documents(2), quiet=True)


# A program that indexes TOTAL documents slowly. It prints the number of documents that were stored at the start, each
# text that it embeds, and the number of these texts.
INDEX = f"""
import sys, time
from embedders import WordEmbedder
from langchain_core.documents import Document
import retrievers.indexing as indexing
from retrievers.config import StoreConfig
from retrievers.store import open_store

class SlowEmbedder(WordEmbedder):
    def embed_documents(self, texts):
        for text in texts:
            time.sleep(0.002)
            print(text, flush=True)
        return super().embed_documents(texts)

indexing.BATCH = 10
store = open_store(StoreConfig(path=sys.argv[1]), "corpus", SlowEmbedder())
print("STORED", store.collection.count(), flush=True)
texts = [f"finding{{i}} in group{{i % 7}} treated" for i in range({TOTAL})]
documents = [Document(id=f"d{{i}}", page_content=text, metadata={{"n": i}}) for i, text in enumerate(texts)]
print("REPORT", indexing.index(store, documents, quiet=True).embedded, flush=True)
"""


def test_after_five_kills_indexing_completes_without_repeated_work(tmp_path: Path) -> None:
    rng = random.Random(20)
    stored: list[int] = []  # at the start of each run
    for _ in range(5):
        process, stdout = start_code(INDEX, str(tmp_path / "store"))
        with stdout:
            stored.append(next(int(line.split()[1]) for line in stdout if line.startswith("STORED")))
            for _ in range(rng.randrange(5, 45)):
                stdout.readline()
            time.sleep(rng.random() * 0.02)
            process.kill()
            process.join()
        assert process.exitcode == -signal.SIGKILL
    assert stored == sorted(stored)  # no run lost documents that an earlier run had stored
    assert stored[-1] > 0

    status, printed = run_code(INDEX, str(tmp_path / "store"))
    assert status == 0
    lines = printed.splitlines()
    already_stored = next(int(line.split()[1]) for line in lines if line.startswith("STORED"))
    embedded = [line for line in lines if line.startswith("finding")]
    assert already_stored < TOTAL
    assert len(embedded) == len(set(embedded)) == TOTAL - already_stored
    assert f"REPORT {TOTAL - already_stored}" in lines

    # The embedder's class is part of the collection's name, so the collection is opened without its embedder.
    import chromadb
    from chromadb.config import Settings

    client = chromadb.PersistentClient(str(tmp_path / "store"), settings=Settings())
    (collection,) = client.list_collections()
    assert sorted(collection.get()["ids"]) == sorted(f"d{i}" for i in range(TOTAL))
    vectors = WordEmbedder().embed_documents([document.page_content for document in make_documents(TOTAL)])
    nearest = collection.query(query_embeddings=vectors, n_results=1)["ids"]
    assert nearest == [[f"d{i}"] for i in range(TOTAL)]
