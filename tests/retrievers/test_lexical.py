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


def documents(count: int) -> list[Document]:
    return [
        Document(id=f"d{i}", page_content=f"finding{i} treated", metadata={"n": i, "mesh": ["a"]}) for i in range(count)
    ]


def index(path: Path, parameters: Parameters = Parameters()) -> LexicalIndex:  # noqa: B008  (a NamedTuple, so immutable)
    return LexicalIndex(path, "corpus", parameters)


def found(path: Path, question: str) -> list[str | None]:
    return [one.id for one in BM25Retriever(index(path)).search([question], 9)[0]]


def test_disk_and_memory_index_return_the_same_hits(tmp_path: Path) -> None:
    given = documents(50)
    on_disk = BM25Retriever(index(tmp_path).update(given))
    in_memory = BM25Retriever(given)
    assert on_disk.search(["finding7 treated", "x"], 9) == in_memory.search(["finding7 treated", "x"], 9)
    known = on_disk.frequencies({"finding7", "treat", "x"})
    assert known == in_memory.frequencies({"finding7", "treat", "x"})
    assert (known.documents, dict(known.containing)) == (50, {"finding7": 1, "treat": 50, "x": 0})


def test_an_index_is_reopened_without_a_rebuild(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index(tmp_path).update(documents(3))
    monkeypatch.setattr("retrievers.lexical._build", lambda *_: pytest.fail("rebuilt"))
    index(tmp_path).update(documents(3))
    assert found(tmp_path, "finding1") == ["d1"]


@pytest.mark.parametrize("after", [[], documents(1), [Document(id="d1", page_content="different words")]])
def test_an_open_retriever_finds_updated_documents(tmp_path: Path, after: list[Document]) -> None:
    index(tmp_path).update(documents(3))
    retriever = BM25Retriever(index(tmp_path))
    assert [one.id for one in retriever.invoke("finding1")] == ["d1"]
    index(tmp_path).update(after)
    assert retriever.invoke("finding1") == []
    assert [one.id for one in retriever.invoke("different")] == [
        one.id for one in after if "different" in one.page_content
    ]


def test_removed_texts_leave_the_disk(tmp_path: Path) -> None:
    index(tmp_path).update([Document(id="x", page_content="Wolframstrasse")])
    index(tmp_path).update(documents(2))
    # without first and last letter: also matches the lower-cased stem
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"olframstrass" in file.read_bytes()]


def test_other_parameters_have_their_own_index(tmp_path: Path) -> None:
    index(tmp_path).update(documents(2))
    with pytest.raises(UserError, match="medground index"):
        index(tmp_path, Parameters(k1=0.9)).current()


def test_two_texts_with_one_id_are_refused_and_the_previous_version_stays(tmp_path: Path) -> None:
    index(tmp_path).update(documents(2))
    with pytest.raises(UserError, match="Two different documents have the id 'd0'"):
        index(tmp_path).update([*documents(2), Document(id="d0", page_content="another")])
    assert found(tmp_path, "finding1") == ["d1"]


# edition: the version of the analyser of words; None: the key is missing
@pytest.mark.parametrize("other", [{"edition": None}, {"edition": 0}, {"format": None}, {"format": 1}])
def test_an_index_of_another_analyser_or_format_is_rebuilt(tmp_path: Path, other: dict[str, int | None]) -> None:
    index(tmp_path).update(documents(2))
    (about,) = tmp_path.rglob("about.json")
    stated = json.loads(about.read_text())
    about.write_text(json.dumps({name: value for name, value in (stated | other).items() if value is not None}))
    index(tmp_path).update(documents(2))
    (renewed,) = tmp_path.rglob("about.json")
    assert renewed != about
    assert json.loads(renewed.read_text()) == stated
    assert found(tmp_path, "finding1") == ["d1"]


def test_search_memory_grows_only_by_the_score_array(tmp_path: Path) -> None:
    peaks = []
    for count in (10, 200, 4000):  # the first round is a warm-up: it includes imports
        index(tmp_path / str(count)).update(documents(count))
        tracemalloc.start()
        assert found(tmp_path / str(count), "finding7") == ["d7"]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.5 * peaks[1] + 4000 * 12  # 8 bytes per document: the score array and a copy


@pytest.mark.parametrize("word", ["finding0", "finding9", "finding10", "treated"])
def test_each_word_is_found_by_binary_search(tmp_path: Path, word: str) -> None:
    index(tmp_path).update(documents(11))
    assert len(found(tmp_path, word)) == (9 if word == "treated" else 1)  # found() returns at most 9
    assert found(tmp_path, f"{word}x a") == []  # absent: a longer word, and one that sorts before all others


def test_a_damaged_version_is_rebuilt(tmp_path: Path) -> None:
    index(tmp_path).update(documents(2))
    (about,) = tmp_path.rglob("about.json")
    about.write_text("{")
    index(tmp_path).update(documents(2))
    assert found(tmp_path, "finding1") == ["d1"]


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
    case "before_about": lexical.json.dumps = lambda value, **more: kill() if "revision" in value else "{}"
    case "before_current": lexical.write_whole = kill
    case "before_cleanup": lexical.remove_other_versions = kill
documents = [Document(id="new", page_content="another text")]
lexical.LexicalIndex(Path(sys.argv[1]), "corpus", lexical.Parameters()).update(documents)
"""


MOMENTS = ["before_build", "after_documents", "before_about", "before_current", "before_cleanup"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_after_a_kill_the_previous_or_the_new_version_is_current(tmp_path: Path, moment: str) -> None:
    index(tmp_path).update(documents(3))
    assert run_code(KILLED, str(tmp_path), moment) == (-signal.SIGKILL, "")
    if moment == "before_cleanup":
        assert found(tmp_path, "another") == ["new"]
    else:
        assert found(tmp_path, "finding1") == ["d1"]
    index(tmp_path).update(documents(2))
    assert found(tmp_path, "another") == []
    assert found(tmp_path, "finding1") == ["d1"]
    (folder,) = [file.parent for file in tmp_path.rglob(CURRENT)]
    assert (folder / CURRENT).read_text().strip() in {one.name for one in folder.iterdir()}


def test_with_b_0_text_length_does_not_affect_the_score(tmp_path: Path) -> None:
    given = [Document(id="long", page_content="stroke " + "pain " * 30), Document(id="short", page_content="stroke")]
    retriever = BM25Retriever(index(tmp_path, Parameters(b=0.0)).update(given))
    scores = [one.metadata["score"] for one in retriever.invoke("stroke")]
    assert scores[0] == pytest.approx(scores[1])
