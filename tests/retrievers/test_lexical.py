"""BM25 on disk: opened, followed, replaced whole."""

import json
import signal
import tracemalloc
from pathlib import Path

import pytest
from forked import run_code
from langchain_core.documents import Document

from common.errors import UserError
from retrievers.kinds.bm25 import BM25Config, BM25Retriever
from retrievers.lexical import CURRENT, LexicalIndex, Parameters


def documents(count: int) -> list[Document]:
    return [
        Document(id=f"d{i}", page_content=f"finding{i} treated", metadata={"n": i, "mesh": ["a"]}) for i in range(count)
    ]


def index(path: Path, parameters: Parameters = Parameters()) -> LexicalIndex:  # noqa: B008  (a tuple)
    return LexicalIndex(path, "corpus", parameters)


def found(path: Path, question: str) -> list[str | None]:
    return [one.id for one in BM25Retriever(index(path)).search([question], 9)[0]]


def test_the_same_findings_as_in_memory(tmp_path: Path) -> None:
    given = documents(50)
    on_disk = BM25Retriever(index(tmp_path).update(given))
    in_memory = BM25Retriever(given)
    assert on_disk.search(["finding7 treated", "x"], 9) == in_memory.search(["finding7 treated", "x"], 9)
    known = on_disk.frequencies({"finding7", "treat", "x"})
    assert known == in_memory.frequencies({"finding7", "treat", "x"})
    assert (known.documents, dict(known.containing)) == (50, {"finding7": 1, "treat": 50, "x": 0})


def test_it_is_opened_and_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index(tmp_path).update(documents(3))
    monkeypatch.setattr("retrievers.lexical._build", lambda *_: pytest.fail("built again"))
    index(tmp_path).update(documents(3))
    assert found(tmp_path, "finding1") == ["d1"]


@pytest.mark.parametrize("after", [[], documents(1), [Document(id="d1", page_content="different words")]])
def test_what_changed_is_found_without_a_new_retriever(tmp_path: Path, after: list[Document]) -> None:
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
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and b"olframstrass" in file.read_bytes()]


def test_other_parameters_have_their_own_index(tmp_path: Path) -> None:
    index(tmp_path).update(documents(2))
    with pytest.raises(UserError, match="medground index"):
        index(tmp_path, Parameters(k1=0.9)).current()


def test_one_id_for_two_texts_is_refused_and_the_version_before_stays(tmp_path: Path) -> None:
    index(tmp_path).update(documents(2))
    with pytest.raises(UserError, match="Two different documents have the id 'd0'"):
        index(tmp_path).update([*documents(2), Document(id="d0", page_content="another")])
    assert found(tmp_path, "finding1") == ["d1"]


@pytest.mark.parametrize("other", [{"edition": None}, {"edition": 0}, {"format": None}, {"format": 1}])
def test_an_index_of_another_analyser_or_format_is_built_anew(tmp_path: Path, other: dict[str, int | None]) -> None:
    index(tmp_path).update(documents(2))
    (about,) = tmp_path.rglob("about.json")
    stated = json.loads(about.read_text())
    about.write_text(json.dumps({name: value for name, value in (stated | other).items() if value is not None}))
    index(tmp_path).update(documents(2))
    (renewed,) = tmp_path.rglob("about.json")
    assert renewed != about
    assert json.loads(renewed.read_text()) == stated
    assert found(tmp_path, "finding1") == ["d1"]


def test_memory_of_a_search_does_not_grow_with_the_index(tmp_path: Path) -> None:
    peaks = []
    for count in (10, 200, 4000):  # the first imports what searching needs
        index(tmp_path / str(count)).update(documents(count))
        tracemalloc.start()
        assert found(tmp_path / str(count), "finding7") == ["d7"]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.5 * peaks[1] + 4000 * 12  # a score for each document, and a copy


@pytest.mark.parametrize("word", ["finding0", "finding9", "finding10", "treated"])
def test_each_word_is_found_by_binary_search(tmp_path: Path, word: str) -> None:
    index(tmp_path).update(documents(11))
    assert len(found(tmp_path, word)) == (9 if word == "treated" else 1)
    assert found(tmp_path, f"{word}x a") == []


def test_a_damaged_version_is_built_anew(tmp_path: Path) -> None:
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
    case "before": lexical._build = kill
    case "files": lexical._build = lambda documents, _: [*documents] and kill()
    case "about": lexical.json.dumps = lambda value, **more: kill() if "revision" in value else "{}"
    case "current": lexical.write_whole = kill
    case "removal": lexical.LexicalIndex._remove_others = kill
documents = [Document(id="new", page_content="another text")]
lexical.LexicalIndex(Path(sys.argv[1]), "corpus", lexical.Parameters()).update(documents)
"""


@pytest.mark.parametrize("moment", ["before", "files", "about", "current", "removal"])
def test_a_kill_leaves_one_version_or_the_other(tmp_path: Path, moment: str) -> None:
    index(tmp_path).update(documents(3))
    assert run_code(KILLED, str(tmp_path), moment) == (-signal.SIGKILL, "")
    if moment == "removal":
        assert found(tmp_path, "another") == ["new"]
    else:
        assert found(tmp_path, "finding1") == ["d1"]
    index(tmp_path).update(documents(2))
    assert found(tmp_path, "another") == []
    assert found(tmp_path, "finding1") == ["d1"]
    (folder,) = [file.parent for file in tmp_path.rglob(CURRENT)]
    assert (folder / CURRENT).read_text().strip() in {one.name for one in folder.iterdir()}


def test_settings_reach_the_index(tmp_path: Path) -> None:
    given = [Document(id="long", page_content="stroke " + "pain " * 30), Document(id="short", page_content="stroke")]
    parameters = Parameters(k1=1.5, b=0.0)
    retriever = BM25Retriever(index(tmp_path, parameters).update(given), BM25Config(b=0.0))
    scores = [one.metadata["score"] for one in retriever.invoke("stroke")]
    assert scores[0] == pytest.approx(scores[1])
