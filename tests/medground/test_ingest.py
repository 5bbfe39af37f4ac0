"""medground/ingest.py: which texts a command searches."""

from pathlib import Path

import pytest

from common.errors import UserError
from corpus.documents.catalogue import document_text
from medground.ingest import (
    DOCUMENTS,
    add_documents,
    data_corpus,
    embed,
    embedder_windows,
    library_path,
    passage_window,
    searched_corpus,
)
from medground.settings import Settings, load_settings

FLOAT = {"embedders.minilm.dtype": "float32"}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings(None, FLOAT)


def ids(settings: Settings) -> list[str | None]:
    return [passage.id for passage in searched_corpus(settings).passages]


def test_without_documents_it_is_the_whole_of_the_data(settings: Settings) -> None:
    found = searched_corpus(load_settings(None, {"data.limit": 3, "data.split": "dev"}))
    assert found.name == "sample"
    assert not found.is_users
    assert len(found.passages) == 600
    assert found.passages == data_corpus(settings).passages
    assert "No documents are indexed in" in (found.note or "")
    assert searched_corpus(settings, data_named=True).note is None


def test_documents_are_added_and_a_file_read_again_is_replaced(settings: Settings) -> None:
    Path("a.txt").write_text("One. " * 300)
    Path("b.md").write_text("Two.")
    add_documents(settings, [Path("a.txt")], quiet=True)
    assert ids(settings) == ["a.txt#1", "a.txt#2", "a.txt#3"]
    add_documents(settings, [Path("b.md")], quiet=True)
    Path("a.txt").write_text("Shorter.")
    corpus, intake = add_documents(settings, [Path("a.txt")], quiet=True)
    assert corpus.is_users
    assert intake.changed == 1
    assert ids(settings) == ["b.md#1", "a.txt#1"] == [passage.id for passage in corpus.passages]
    assert document_text(library_path(settings), "a.txt#1") == "Shorter."


def test_data_that_is_named_is_searched_instead(settings: Settings) -> None:
    Path("a.txt").write_text("One.")
    add_documents(settings, [Path("a.txt")], quiet=True)
    assert searched_corpus(settings).name == DOCUMENTS
    assert searched_corpus(settings, data_named=True).name == "sample"
    Path("mine.json").write_text('{"1": {"QUESTION": "a?", "CONTEXTS": ["b"]}}')
    assert searched_corpus(load_settings(None, {"data.path": "mine.json"})).name.startswith("mine-")


def test_when_the_last_document_is_gone_nothing_else_is_searched_in_its_place(settings: Settings) -> None:
    Path("docs").mkdir()
    Path("docs/a.txt").write_text("One.")
    add_documents(settings, [Path("docs")], quiet=True)
    Path("docs/a.txt").unlink()
    assert add_documents(settings, [Path("docs")], quiet=True)[1].removed == 1
    with pytest.raises(UserError, match=r"The library in \S+ is empty.*medground index PATH"):
        searched_corpus(settings)
    assert searched_corpus(settings, data_named=True).name == "sample"


def test_where_nothing_can_be_read_the_reasons_are_told(settings: Settings) -> None:
    Path("docs").mkdir()
    Path("docs/b.png").write_bytes(b"x")
    with pytest.raises(
        UserError, match=r"No readable file in docs \(1 files of other types\). Supported file types: .txt"
    ):
        add_documents(settings, [Path("docs")], quiet=True)
    Path("docs/c.pdf").write_bytes(b"%PDF")
    with pytest.raises(UserError, match=r"(?s)none: there is no such file.*docs/c.pdf: is not a PDF file"):
        add_documents(settings, [Path("none"), Path("docs")], quiet=True)


@pytest.mark.parametrize("store", ["docs/store", "docs", "docs/above/store"])
def test_files_of_a_store_within_the_folder_are_no_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs/above").mkdir(parents=True)
    Path("docs/above/a.txt").write_text("Zinc shortens colds.")
    automatic = {"embedders.minilm.dtype": "auto", "retriever": "bm25"}
    settings = load_settings(None, {**automatic, "store.path": str(tmp_path / store)})
    for _ in range(3):
        corpus, intake = add_documents(settings, [Path("docs")], quiet=True)
        embed(settings, corpus, quiet=True)
        assert (intake.added + intake.unchanged, intake.failed) == (1, [])
        assert ids(settings) == ["docs/above/a.txt#1"]
    assert list((tmp_path / store).rglob("documents.jsonl"))  # which is of a kind that is read


def test_parts_are_embedded_with_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from embedders import save_tiny_embedder

    from medground.pipeline import Pipeline
    from retrievers.embedders.sentence import SentenceEmbedder

    monkeypatch.chdir(tmp_path)
    settings = load_settings(
        None,
        {
            "embedders.minilm.model": str(save_tiny_embedder(tmp_path / "tiny")),
            "retrievers": {
                "near": {"kind": "parent", "parts": "sentence"},
                "same": {"kind": "parent", "parts": "sentence", "top_k": 1},
                "lines": {"kind": "parent", "parts": "section"},
            },
            "retriever": "near",
        },
    )
    Path("a.txt").write_text("Pain fell. Risk fell.\nThe rate fell.")
    corpus, _ = add_documents(settings, [Path("a.txt")], quiet=True)
    assert len(corpus.passages) == 1
    assert embed(settings, corpus, quiet=True) == 1 + 3 + 2  # the passage for dense, its sentences, its lines
    assert embed(settings, corpus, quiet=True) == 0

    def asked(self: SentenceEmbedder, texts: list[str]) -> list[list[float]]:
        raise AssertionError(f"{len(texts)} are embedded")

    monkeypatch.setattr(SentenceEmbedder, "embed_documents", asked)
    made = Pipeline.from_settings(settings, corpus, quiet=True).retrievers(["near", "same", "lines"])
    assert [one.id for one in made["near"].invoke("pain")] == ["a.txt#1"]


def test_a_damaged_library_is_named(settings: Settings) -> None:
    Path("a.txt").write_text("One.")
    add_documents(settings, [Path("a.txt")], quiet=True)
    library_path(settings).write_bytes(b"x" * 5000)
    with pytest.raises(UserError, match=r"documents\.sqlite3 is damaged"):
        searched_corpus(settings)


def test_passages_fit_the_embedders_that_retrievers_name(settings: Settings) -> None:
    assert {name: window.limit for name, window in embedder_windows(settings).items()} == {"minilm": 256}
    assert passage_window(settings).limit == 256
    assert passage_window(load_settings(None, {**FLOAT, "documents.max_tokens": 64})).limit == 64
    words = load_settings(None, {"retrievers": {"dense": {"kind": "bm25"}}})
    assert passage_window(words).limit == 200
    few = load_settings(None, {"retrievers": {"dense": {"kind": "bm25"}}, "documents.max_tokens": 50})
    assert passage_window(few).limit == 50
    Path("a.txt").write_text("pain " * 1000)
    add_documents(settings, [Path("a.txt")], quiet=True)
    window = embedder_windows(settings)["minilm"]
    counts = list(window.count([passage.page_content for passage in searched_corpus(settings).passages]))
    assert sum(counts) == 1000 + 2 * len(counts)
    assert max(counts) <= 256


def test_what_is_embedded_is_what_a_retriever_searches(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    from medground.pipeline import Pipeline

    Path("a.txt").write_text("Heparin prevented clots.")
    Path("b.txt").write_text("Statins lowered cholesterol.")
    corpus, _ = add_documents(settings, [Path("a.txt"), Path("b.txt")], quiet=True)
    assert embed(settings, corpus, quiet=True) == 2
    assert embed(settings, corpus, quiet=True) == 0
    for retriever in Pipeline.from_settings(settings, corpus).retrievers(["dense", "bm25"]).values():
        found = retriever.invoke("What prevents clots?")[0]
        assert found.id == "a.txt#1"
        assert found.metadata["source"] == "a.txt"
    assert "embedding" not in capsys.readouterr().err


def test_a_removed_document_is_in_no_file_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from embedders import save_tiny_embedder

    monkeypatch.chdir(tmp_path)
    tiny = {"embedders.minilm.model": str(save_tiny_embedder(tmp_path / "tiny"))}
    parts = {"near": {"kind": "parent"}, "lines": {"kind": "parent", "parts": "section"}, "dense": {"kind": "dense"}}
    Path("docs").mkdir()
    Path("docs/a.txt").write_text("Pain fell. Wolframstrasse is in Hamburg.\nThe rate fell.")
    Path("docs/b.txt").write_text("Risk fell.")

    def indexed(**more: object) -> int:
        settings = load_settings(None, {**tiny, **more})
        return embed(settings, add_documents(settings, [Path("docs")], quiet=True)[0], quiet=True)

    assert indexed(retrievers=parts, retriever="near") > 6
    store = library_path(load_settings(None, tiny)).parent
    assert any(b"Wolfram" in file.read_bytes() for file in store.iterdir() if file.is_file())
    Path("docs/a.txt").write_text("Itch fell.")
    assert indexed() == 1  # no retriever searches in parts now
    assert [file.name for file in store.rglob("*") if file.is_file() and b"Wolfram" in file.read_bytes()] == []
    assert indexed(retrievers=parts, retriever="near") == 2  # of b.txt's parts all are stored still
