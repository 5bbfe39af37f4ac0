"""BM25 index on disk: reopened without a rebuild, reloaded when another process updates it, replaced atomically."""

import json
import signal
import tracemalloc
from pathlib import Path

import pytest
from forked import run_code
from langchain_core.documents import Document

from common.errors import UserError
from retrievers.kinds.bm25 import BM25Retriever
from retrievers.lexical import CURRENT, LexicalIndex, Parameters


def make_documents(count: int) -> list[Document]:
    return [
        Document(id=f"d{i}", page_content=f"finding{i} treated", metadata={"n": i, "mesh": ["a"]}) for i in range(count)
    ]


def open_index(folder: Path, parameters: Parameters = Parameters()) -> LexicalIndex:  # noqa: B008  (immutable)
    return LexicalIndex(folder, "corpus", parameters)


def search_ids(folder: Path, question: str) -> list[str | None]:
    return [document.id for document in BM25Retriever(open_index(folder)).search([question], 9)[0]]


def test_disk_and_memory_index_return_the_same_hits(tmp_path: Path) -> None:
    documents = make_documents(50)
    on_disk = BM25Retriever(open_index(tmp_path).update(documents))
    in_memory = BM25Retriever(documents)
    assert on_disk.search(["finding7 treated", "x"], 9) == in_memory.search(["finding7 treated", "x"], 9)
    frequencies = on_disk.frequencies({"finding7", "treat", "x"})
    assert frequencies == in_memory.frequencies({"finding7", "treat", "x"})
    assert (frequencies.documents, dict(frequencies.containing)) == (50, {"finding7": 1, "treat": 50, "x": 0})


def test_an_index_is_reopened_without_a_rebuild(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_index(tmp_path).update(make_documents(3))
    monkeypatch.setattr("retrievers.lexical._build", lambda *_: pytest.fail("rebuilt"))
    open_index(tmp_path).update(make_documents(3))
    assert search_ids(tmp_path, "finding1") == ["d1"]


@pytest.mark.parametrize("updated", [[], make_documents(1), [Document(id="d1", page_content="different words")]])
def test_an_open_retriever_searches_the_updated_documents(tmp_path: Path, updated: list[Document]) -> None:
    open_index(tmp_path).update(make_documents(3))
    retriever = BM25Retriever(open_index(tmp_path))
    assert [document.id for document in retriever.invoke("finding1")] == ["d1"]
    open_index(tmp_path).update(updated)
    assert retriever.invoke("finding1") == []
    expected = [document.id for document in updated if "different" in document.page_content]
    assert [document.id for document in retriever.invoke("different")] == expected


def test_removed_texts_are_in_no_file(tmp_path: Path) -> None:
    open_index(tmp_path).update([Document(id="x", page_content="Wolframstrasse")])
    open_index(tmp_path).update(make_documents(2))
    # Without its first and last letter, the word also occurs in its lower-cased stem.
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"olframstrass" in file.read_bytes()]


def test_each_pair_of_parameters_has_an_index(tmp_path: Path) -> None:
    open_index(tmp_path).update(make_documents(2))
    with pytest.raises(UserError, match="medground index"):
        open_index(tmp_path, Parameters(k1=0.9)).current()


def test_two_texts_with_the_same_id_are_rejected_and_the_current_version_stays(tmp_path: Path) -> None:
    open_index(tmp_path).update(make_documents(2))
    with pytest.raises(UserError, match="Two different documents have the id 'd0'"):
        open_index(tmp_path).update([*make_documents(2), Document(id="d0", page_content="another")])
    assert search_ids(tmp_path, "finding1") == ["d1"]


# ``edition`` is ``TERMS_VERSION`` when the index was written; None removes the key.
@pytest.mark.parametrize("changes", [{"edition": None}, {"edition": 0}, {"format": None}, {"format": 1}])
def test_an_index_of_another_edition_or_format_is_rebuilt(tmp_path: Path, changes: dict[str, int | None]) -> None:
    open_index(tmp_path).update(make_documents(2))
    (about,) = tmp_path.rglob("about.json")
    original = json.loads(about.read_text())
    about.write_text(json.dumps({name: value for name, value in (original | changes).items() if value is not None}))
    open_index(tmp_path).update(make_documents(2))
    (rebuilt,) = tmp_path.rglob("about.json")
    assert rebuilt != about
    assert json.loads(rebuilt.read_text()) == original
    assert search_ids(tmp_path, "finding1") == ["d1"]


def test_search_memory_grows_only_by_the_score_array(tmp_path: Path) -> None:
    peaks = []
    for count in (10, 200, 4000):  # the first round is a warm-up: it includes imports
        open_index(tmp_path / str(count)).update(make_documents(count))
        tracemalloc.start()
        assert search_ids(tmp_path / str(count), "finding7") == ["d7"]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # At most 12 bytes per document: float32 scores, a copy of them, and a boolean array
    assert peaks[2] < 1.5 * peaks[1] + 4000 * 12


@pytest.mark.parametrize("word", ["finding0", "finding9", "finding10", "treated"])
def test_only_words_of_the_index_are_found(tmp_path: Path, word: str) -> None:
    open_index(tmp_path).update(make_documents(11))
    assert len(search_ids(tmp_path, word)) == (9 if word == "treated" else 1)  # all 11 have it; search_ids returns 9
    assert search_ids(tmp_path, f"{word}x a") == []  # a longer word, and a word that sorts before all words


@pytest.mark.parametrize(
    ("name", "content"), [("about.json", "{"), ("scores.npy", ""), ("words.npy", ""), ("documents.jsonl", '{"id": "')]
)
def test_a_damaged_version_is_rebuilt(tmp_path: Path, name: str, content: str) -> None:
    open_index(tmp_path).update(make_documents(2))
    (file,) = tmp_path.rglob(name)
    file.write_text(content)
    open_index(tmp_path).update(make_documents(2))
    assert search_ids(tmp_path, "finding1") == ["d1"]


# A program that updates the index and kills itself with SIGKILL at the moment named by its second argument.
KILLED = """
import os, signal, sys
from pathlib import Path
from langchain_core.documents import Document
import retrievers.lexical as lexical

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

match sys.argv[2]:
    case "before_build": lexical._build = kill
    case "after_documents": lexical._build = lambda documents, _: [*documents] and kill()
    case "before_about": lexical.json.dumps = lambda value, **_: kill() if "revision" in value else "{}"
    case "before_current": lexical.write_whole = kill
    case "before_cleanup": lexical.remove_other_versions = kill
documents = [Document(id="new", page_content="another text")]
lexical.LexicalIndex(Path(sys.argv[1]), "corpus", lexical.Parameters()).update(documents)
"""


@pytest.mark.parametrize(
    "moment", ["before_build", "after_documents", "before_about", "before_current", "before_cleanup"]
)
def test_after_a_kill_the_previous_or_the_new_version_is_current(tmp_path: Path, moment: str) -> None:
    open_index(tmp_path).update(make_documents(3))
    assert run_code(KILLED, str(tmp_path), moment) == (-signal.SIGKILL, "")
    if moment == "before_cleanup":
        assert search_ids(tmp_path, "another") == ["new"]
    else:
        assert search_ids(tmp_path, "finding1") == ["d1"]
    open_index(tmp_path).update(make_documents(2))
    assert search_ids(tmp_path, "another") == []
    assert search_ids(tmp_path, "finding1") == ["d1"]
    assert not [file for file in tmp_path.rglob("*.jsonl") if b"another text" in file.read_bytes()]
    (folder,) = [file.parent for file in tmp_path.rglob(CURRENT)]
    assert (folder / CURRENT).read_text().strip() in {version.name for version in folder.iterdir()}
