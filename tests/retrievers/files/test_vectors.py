"""Vector files: exact search, writing, damage, and their use by indexing and dense retrieval."""

import errno
import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from embedders import WordEmbedder, open_word_store
from forked import run_code
from langchain_core.documents import Document

import retrievers.files.vectors
from common.fingerprints import documents_digest
from retrievers.config import StoreConfig
from retrievers.files.vectors import Fetch, VectorFile, VectorFiles, unit
from retrievers.indexing import IndexReport, index
from retrievers.kinds.dense import DenseRetriever
from retrievers.store import REVISION, Store, open_store

SIZE = 24  # the numbers of a vector
# In UTF-8 order, "d10" precedes "d2"; "d" is a prefix of other ids.
IDS = [*(f"d{n}" for n in range(200)), "d", "Ä", "日本", "a/b#1"]


def vectors_of(ids: list[str]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    rows = unit(rng.normal(size=(len(IDS), SIZE)))
    return {id: row for id, row in zip(IDS, rows, strict=True) if id in ids}


def digests_of(ids: list[str]) -> dict[str, bytes]:
    """Digests of 32 bytes, 16 for the text and 16 for the metadata."""
    return {id: f"{IDS.index(id):016}".encode() * 2 for id in ids}


def documents_of(ids: list[str]) -> list[Document]:
    return [Document(id=id, page_content=f"text of {id!r}", metadata={"year": 2000}) for id in ids]


def write_file(folder: Path, ids: list[str], fetch: Fetch = vectors_of) -> VectorFile:
    """Write and open the file of the state "one"."""
    files = VectorFiles(folder)
    with files.new("one", documents_of(ids), digests_of(ids), "", fetch):
        pass
    file = files.open("one")
    assert file is not None
    return file


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a search read 7 vectors at a time, with 4 bytes per number, and an update fetch 11 vectors at a time."""
    monkeypatch.setattr(retrievers.files.vectors, "BLOCK_BYTES", 7 * 4 * SIZE)
    monkeypatch.setattr(retrievers.files.vectors, "PAGE", 11)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("count", [1, 10, len(IDS), 1000])
def test_nearest_equals_an_exhaustive_search(tmp_path: Path, count: int) -> None:
    file = write_file(tmp_path, IDS)
    questions = unit(np.random.default_rng(6).normal(size=(5, SIZE)))
    vectors = vectors_of(IDS)
    for question, rows in zip(questions, file.nearest(questions, count), strict=True):
        nearest = {str(file.document(row).id): cosine for row, cosine in rows}
        cosines = {id: float(vector @ question) for id, vector in vectors.items()}
        expected = sorted(cosines, key=lambda id: -cosines[id])[:count]
        assert sorted(nearest, key=lambda id: -nearest[id]) == expected
        assert [nearest[id] for id in expected] == pytest.approx([cosines[id] for id in expected], abs=1e-6)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("count", [3, len(IDS)])
def test_equal_vectors_in_different_blocks_are_returned_in_the_order_of_rows(tmp_path: Path, count: int) -> None:
    vector = vectors_of(["d1"])["d1"]
    file = write_file(tmp_path, IDS, lambda ids: dict.fromkeys(ids, vector))
    question = unit(np.random.default_rng(7).normal(size=(1, SIZE)))
    (nearest,) = file.nearest(question, count)
    assert [row for row, _ in nearest] == list(range(count))
    assert len({cosine for _, cosine in nearest}) == 1


@pytest.mark.usefixtures("small_blocks")
def test_vectors_returns_the_vectors_of_known_ids(tmp_path: Path) -> None:
    vectors = write_file(tmp_path, IDS).vectors([*IDS, "absent", "d20x", ""])
    assert list(vectors) == IDS
    for id, vector in vectors_of(IDS).items():
        assert np.array_equal(vectors[id], vector)


def test_documents_are_in_the_order_of_their_ids(tmp_path: Path) -> None:
    file = write_file(tmp_path, IDS)
    assert [file.document(row) for row in range(len(IDS))] == documents_of(sorted(IDS))


@pytest.mark.usefixtures("small_blocks")
def test_only_vectors_of_new_and_changed_texts_are_fetched(tmp_path: Path) -> None:
    write_file(tmp_path, IDS[:100])
    digests = {**digests_of(IDS[50:]), "d60": b"another text    " * 2}
    fetched: list[str] = []

    def fetch(ids: list[str]) -> Mapping[str, np.ndarray]:
        fetched.extend(ids)
        return vectors_of(ids)

    files = VectorFiles(tmp_path)
    with files.new("two", documents_of(IDS[50:]), digests, "one", fetch):
        files.remove_others(lambda: "one")  # spares the new file, which is not current yet
    assert sorted(fetched) == sorted(["d60", *IDS[100:]])
    file = files.open("two")
    assert file is not None
    assert set(file.vectors(IDS)) == set(IDS[50:])
    files.remove_others(lambda: "two")
    assert [version.name for version in tmp_path.iterdir()] == ["two"]


def test_no_file_is_written_if_a_vector_cannot_be_fetched(tmp_path: Path) -> None:
    files = VectorFiles(tmp_path)
    with files.new("one", documents_of(IDS), digests_of(IDS), "", lambda ids: vectors_of(ids[1:])):
        pass
    assert files.open("one") is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_removed_if_an_error_interrupts_its_writing(tmp_path: Path) -> None:
    def fail(_: list[str]) -> dict[str, np.ndarray]:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_file(tmp_path, IDS, fail)
    assert list(tmp_path.iterdir()) == []


# Writes vectors to a full disk of 400 kB.
FULL_DISK = """
import sys
from pathlib import Path
import numpy as np
from langchain_core.documents import Document
from retrievers.files.vectors import VectorFiles
documents = [Document(id=str(n), page_content="text") for n in range(1000)]
digests = {each.id: bytes(32) for each in documents}
vector = np.ones(384, dtype=np.float32)
try:
    with VectorFiles(Path(sys.argv[1])).new("one", documents, digests, "", lambda ids: dict.fromkeys(ids, vector)):
        pass
except OSError as error:
    print(error.strerror)
"""


def test_a_full_disk_is_an_error_and_does_not_kill_the_process(tmp_path: Path) -> None:
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=400k none "$0" && exec "$@"', str(tmp_path)]
    try:
        subprocess.run([*mount, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small disk cannot be mounted")
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    process = subprocess.run([*mount, *command], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert (process.returncode, process.stdout) == (0, "No space left on device\n")


# A program that kills itself with SIGKILL while it writes the vector file.
KILLED = """
import os, signal, sys
from pathlib import Path
from embedders import open_word_store
from langchain_core.documents import Document
from retrievers.files.strings import StringTable
from retrievers.indexing import index
StringTable.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
index(open_word_store(Path(sys.argv[1])), [Document(id="s", page_content="Wolframstrasse")], quiet=True)
"""


def test_indexing_removes_the_file_that_a_killed_process_was_writing(tmp_path: Path) -> None:
    assert run_code(KILLED, str(tmp_path)) == (-signal.SIGKILL, "")
    index(open_word_store(tmp_path), DOCUMENTS, quiet=True)
    assert not [file for file in tmp_path.rglob("*.jsonl") if b"Wolframstrasse" in file.read_bytes()]


@pytest.mark.parametrize("damage", ["truncated", "truncated documents", "another format", "incomplete", "not JSON"])
def test_a_damaged_file_is_not_opened(tmp_path: Path, damage: str) -> None:
    write_file(tmp_path, IDS)
    folder = tmp_path / "one"
    match damage:
        case "truncated":
            (folder / "vectors.npy").write_bytes((folder / "vectors.npy").read_bytes()[:-100])
        case "truncated documents":
            (folder / "documents.jsonl").write_bytes((folder / "documents.jsonl").read_bytes()[:-1])
        case "another format":
            (folder / "about.json").write_text(json.dumps({"format": 0}))
        case "incomplete":
            (folder / "about.json").unlink()
        case "not JSON":
            (folder / "about.json").write_text("{")
    assert VectorFiles(tmp_path).open("one") is None


DOCUMENTS = [Document(id=f"d{n}", page_content=f"finding{n} treated") for n in range(30)]


def search_ids(store: Store, text: str) -> list[str]:
    return [str(document.id) for document in DenseRetriever(store).search([text], 3)[0]]


def test_a_search_reads_the_vector_file_and_not_chromas_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index(open_word_store(tmp_path), DOCUMENTS, quiet=True)
    store = open_word_store(tmp_path)
    for method in ("query", "get", "count"):  # each would read the graph
        monkeypatch.setattr(type(store.collection), method, lambda *_, **__: pytest.fail("read the graph"))
    assert search_ids(store, "finding7 treated")[0] == "d7"


def test_with_a_damaged_file_the_graph_is_searched_until_indexing_replaces_the_file(tmp_path: Path) -> None:
    index(open_word_store(tmp_path), DOCUMENTS, quiet=True)
    (file,) = tmp_path.rglob("vectors.npy")
    file.write_bytes(b"")
    store = open_word_store(tmp_path)
    assert store.lacks_vector_file
    assert search_ids(store, "finding7 treated")[0] == "d7"
    report = index(store, DOCUMENTS, quiet=True)
    assert report.embedded == 0
    assert not store.lacks_vector_file
    assert search_ids(store, "finding7 treated")[0] == "d7"


def test_indexing_replaces_a_missing_file_even_if_the_revision_is_unchanged(tmp_path: Path) -> None:
    class RevisedDocuments(list[Document]):
        revision = documents_digest(DOCUMENTS, metadata=True)

    index(open_word_store(tmp_path), RevisedDocuments(DOCUMENTS), quiet=True)
    (file,) = tmp_path.rglob("vectors.npy")
    file.unlink()
    store = open_word_store(tmp_path)
    assert (store.collection.metadata or {})[REVISION] == RevisedDocuments.revision
    assert index(store, RevisedDocuments(DOCUMENTS), quiet=True).embedded == 0
    assert not store.lacks_vector_file


def test_vectors_of_removed_texts_are_removed(tmp_path: Path) -> None:
    store = open_word_store(tmp_path)
    index(store, DOCUMENTS, quiet=True)
    index(store, DOCUMENTS[:10], quiet=True)
    (file,) = tmp_path.rglob("vectors.npy")
    assert len(np.load(file)) == 10
    assert search_ids(store, "finding25 treated") != ["d25"]
    index(store, [], quiet=True)
    assert list(tmp_path.rglob("vectors.npy")) == []
    assert search_ids(store, "finding25 treated") == []


def test_indexing_stores_documents_again_that_another_program_has_deleted(tmp_path: Path) -> None:
    store = open_word_store(tmp_path)
    index(store, DOCUMENTS, quiet=True)
    store.collection.delete(ids=["d3"])
    assert search_ids(store, "finding3 treated")[0] == "d3"  # the vector file still has it
    assert index(store, DOCUMENTS[:29], quiet=True) == IndexReport(total=29, embedded=1, removed=1)


def test_an_open_file_is_searched_after_its_folder_is_removed(tmp_path: Path) -> None:
    file = write_file(tmp_path, IDS)
    VectorFiles(tmp_path).remove_others(lambda: "two")
    assert list(tmp_path.iterdir()) == []
    ((row, _),) = file.nearest(vectors_of(["d7"])["d7"][None], 1)[0]
    assert file.document(row).id == "d7"


def test_every_text_is_found_after_many_removals_and_changes(tmp_path: Path) -> None:
    """After many removals and changes, Chroma's graph loses records (chroma-core/chroma#7758)."""
    rng = np.random.default_rng(8)
    vectors = {f"text {n}": row for n, row in enumerate(rng.normal(size=(1000, 16)).tolist())}

    class RandomVectors(WordEmbedder):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [vectors.get(text, [1.0] * 16) for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    store = open_store(StoreConfig(path=str(tmp_path)), "corpus", RandomVectors())
    documents = {str(n): Document(id=str(n), page_content=f"text {n}") for n in range(700)}
    index(store, list(documents.values()), quiet=True)
    for n in range(0, 700, 2):
        del documents[str(n)]
    for n in range(1, 300, 2):
        documents[str(n)] = Document(id=str(n), page_content=f"text {700 + n}")
    index(store, list(documents.values()), quiet=True)
    results = DenseRetriever(store).search([document.page_content for document in documents.values()], 1)
    assert [str(best.id) for (best,) in results] == list(documents)
