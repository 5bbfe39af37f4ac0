from pathlib import Path

import pytest
from embedders import WordEmbedder
from langchain_core.documents import Document

from retrievers.config import StoreConfig
from retrievers.kinds.parent import ParentRetriever, PartKind, split
from retrievers.store import Store, open_store

LONG = Document(
    id="long",
    page_content="Aspirin is old. Many things were measured here.\nThe kidney was not looked at.\n* * *\n"
    "Stroke fell by 3.5 %.",
    metadata={"year": 2001},
)
SHORT = Document(id="short", page_content="Stroke was rare in many things.")


def opened(path: Path, embedder: WordEmbedder) -> Store:
    return open_store(StoreConfig(path=str(path)), "parts", embedder)


def test_parts_are_whole_sentences_or_lines() -> None:
    sentences = [part.page_content for part in split(LONG, "sentence")]
    assert sentences[:3] == ["Aspirin is old.", "Many things were measured here.", "The kidney was not looked at."]
    assert "* * *" not in sentences
    sections = [(part.id, part.page_content) for part in split(LONG, "section")]
    assert sections == [
        ("long#0", "Aspirin is old. Many things were measured here."),
        ("long#1", "The kidney was not looked at."),
        ("long#2", "Stroke fell by 3.5 %."),
    ]


@pytest.mark.parametrize("parts", ["sentence", "section"])
def test_a_text_without_letters_is_its_own_part(parts: PartKind) -> None:
    for text in ("--- ---", ""):
        assert [part.page_content for part in split(Document(id="x", page_content=text), parts)] == [text]


def test_the_best_part_finds_the_whole_document(tmp_path: Path) -> None:
    embedder = WordEmbedder()
    retriever = ParentRetriever(opened(tmp_path, embedder), [SHORT, LONG], quiet=True)
    best = retriever.invoke("The kidney was not looked at.")[0]
    assert (best.id, best.page_content) == ("long", LONG.page_content)
    assert best.metadata == {"year": 2001, "score": pytest.approx(1.0, abs=1e-5)}


def test_a_document_of_many_near_parts_does_not_crowd_out_the_others(tmp_path: Path) -> None:
    talkative = Document(id="talkative", page_content=" ".join(f"Stroke was rare {n}." for n in range(400)))
    others = [Document(id=f"o{n}", page_content=f"Unlike {n} of them.") for n in range(30)]
    retriever = ParentRetriever(opened(tmp_path, WordEmbedder()), [talkative, *others], quiet=True)
    found = retriever.search(["Stroke was rare 7."], 31)[0]
    assert found[0].id == "talkative"
    assert {one.id for one in found} == {"talkative", *(f"o{n}" for n in range(30))}


def test_a_second_time_nothing_is_embedded_and_what_is_gone_is_not_found(tmp_path: Path) -> None:
    embedder = WordEmbedder()
    ParentRetriever(opened(tmp_path, embedder), [SHORT, LONG], quiet=True)
    store = opened(tmp_path, embedder)
    count = len(embedder.embedded)
    ParentRetriever(store, [SHORT, LONG], quiet=True)
    assert len(embedder.embedded) == count
    alone = ParentRetriever(opened(tmp_path, embedder), [SHORT], quiet=True)
    assert [one.id for one in alone.search(["The kidney was not looked at."], 9)[0]] == ["short"]


class Revised(list[Document]):
    """Documents that say when they change."""

    revision = "one"


@pytest.mark.parametrize("kind", [list, Revised])
def test_changed_texts_are_embedded_again(tmp_path: Path, kind: type[list[Document]]) -> None:
    embedder = WordEmbedder()
    ParentRetriever(opened(tmp_path, embedder), kind([SHORT]), quiet=True)
    changed = kind([Document(id="short", page_content="The kidney was looked at.")])
    if isinstance(changed, Revised):
        changed.revision = "two"
    retriever = ParentRetriever(opened(tmp_path, embedder), changed, quiet=True)
    assert embedder.embedded[-1] == "The kidney was looked at."
    assert retriever.invoke("The kidney was looked at.")[0].metadata["score"] == pytest.approx(1, abs=1e-5)


def test_ids_with_the_separator_in_them(tmp_path: Path) -> None:
    documents = [Document(id="a#0", page_content="Aspirin is old."), Document(id="a", page_content="Stroke fell.")]
    retriever = ParentRetriever(opened(tmp_path, WordEmbedder()), documents, quiet=True)
    assert [[one.id for one in found] for found in retriever.search(["Aspirin is old.", "Stroke fell."], 1)] == [
        ["a#0"],
        ["a"],
    ]
