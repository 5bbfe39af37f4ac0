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


def open_parts(folder: Path, embedder: WordEmbedder) -> Store:
    return open_store(StoreConfig(path=str(folder)), "parts", embedder)


def test_split_returns_sentences_or_lines_that_contain_words() -> None:
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
def test_a_text_without_words_has_one_part(parts: PartKind) -> None:
    for text in ("--- ---", ""):
        assert [part.page_content for part in split(Document(id="x", page_content=text), parts)] == [text]


def test_the_whole_document_is_returned_with_the_score_of_its_best_part(tmp_path: Path) -> None:
    retriever = ParentRetriever(open_parts(tmp_path, WordEmbedder()), [SHORT, LONG], quiet=True)
    best = retriever.invoke("The kidney was not looked at.")[0]
    assert (best.id, best.page_content) == ("long", LONG.page_content)
    assert best.metadata == {"year": 2001, "score": pytest.approx(1.0, abs=1e-5)}


def test_documents_are_found_despite_a_document_with_many_nearer_parts(tmp_path: Path) -> None:
    repetitive = Document(id="repetitive", page_content=" ".join(f"Stroke was rare {n}." for n in range(400)))
    others = [Document(id=f"o{n}", page_content=f"Unlike {n} of them.") for n in range(30)]
    retriever = ParentRetriever(open_parts(tmp_path, WordEmbedder()), [repetitive, *others], quiet=True)
    results = retriever.search(["Stroke was rare 7."], 31)[0]
    assert results[0].id == "repetitive"
    assert {document.id for document in results} == {"repetitive", *(f"o{n}" for n in range(30))}


class RevisedDocuments(list[Document]):
    """Documents with a revision, by which indexing sees that they have changed."""

    revision = "one"


@pytest.mark.parametrize("documents_class", [list, RevisedDocuments])
def test_changed_texts_are_embedded_again(tmp_path: Path, documents_class: type[list[Document]]) -> None:
    embedder = WordEmbedder()
    ParentRetriever(open_parts(tmp_path, embedder), documents_class([SHORT]), quiet=True)
    changed = documents_class([Document(id="short", page_content="The kidney was looked at.")])
    if isinstance(changed, RevisedDocuments):
        changed.revision = "two"
    retriever = ParentRetriever(open_parts(tmp_path, embedder), changed, quiet=True)
    assert embedder.embedded[-1] == "The kidney was looked at."
    assert retriever.invoke("The kidney was looked at.")[0].metadata["score"] == pytest.approx(1, abs=1e-5)


def test_document_ids_may_contain_the_separator_of_part_ids(tmp_path: Path) -> None:
    documents = [Document(id="a#0", page_content="Aspirin is old."), Document(id="a", page_content="Stroke fell.")]
    retriever = ParentRetriever(open_parts(tmp_path, WordEmbedder()), documents, quiet=True)
    results = retriever.search(["Aspirin is old.", "Stroke fell."], 1)
    assert [document.id for (document,) in results] == ["a#0", "a"]
