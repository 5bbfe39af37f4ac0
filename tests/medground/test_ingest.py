"""Choice of the searched corpus, and indexing of the user's documents."""

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

FLOAT32 = {"embedders.minilm.dtype": "float32"}  # the default, auto, depends on the processor


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings(None, FLOAT32)


def searched_ids(settings: Settings) -> list[str | None]:
    return [passage.id for passage in searched_corpus(settings).passages]


def test_all_abstracts_of_the_sample_are_searched_without_documents(settings: Settings) -> None:
    corpus = searched_corpus(load_settings(None, {"data.limit": 3, "data.split": "dev"}))
    assert corpus.name == "sample"
    assert not corpus.is_users_documents
    assert len(corpus.passages) == 600  # limit and split do not apply
    assert corpus.passages == data_corpus(settings).passages
    assert "No documents are indexed in" in (corpus.note or "")
    assert searched_corpus(settings, data_given=True).note is None


def test_changed_file_replaces_its_passages_and_other_files_stay(settings: Settings) -> None:
    Path("a.txt").write_text("One. " * 300)
    Path("b.md").write_text("Two.")
    add_documents(settings, [Path("a.txt")], quiet=True)
    assert searched_ids(settings) == ["a.txt#1", "a.txt#2", "a.txt#3"]
    add_documents(settings, [Path("b.md")], quiet=True)
    Path("a.txt").write_text("Shorter.")
    corpus, report = add_documents(settings, [Path("a.txt")], quiet=True)
    assert corpus.is_users_documents
    assert report.changed == 1
    assert searched_ids(settings) == ["b.md#1", "a.txt#1"] == [passage.id for passage in corpus.passages]
    assert document_text(library_path(settings), "a.txt#1") == "Shorter."


def test_named_data_takes_precedence_over_documents(settings: Settings) -> None:
    Path("a.txt").write_text("One.")
    add_documents(settings, [Path("a.txt")], quiet=True)
    assert searched_corpus(settings).name == DOCUMENTS
    assert searched_corpus(settings, data_given=True).name == "sample"
    Path("records.json").write_text('{"1": {"QUESTION": "a?", "CONTEXTS": ["b"]}}')
    assert searched_corpus(load_settings(None, {"data.path": "records.json"})).name.startswith("records-")


def test_empty_library_is_an_error_and_does_not_fall_back_to_the_sample(settings: Settings) -> None:
    Path("docs").mkdir()
    Path("docs/a.txt").write_text("One.")
    add_documents(settings, [Path("docs")], quiet=True)
    Path("docs/a.txt").unlink()
    assert add_documents(settings, [Path("docs")], quiet=True)[1].removed == 1
    with pytest.raises(UserError, match=r"The library in \S+ is empty.*medground index PATH"):
        searched_corpus(settings)
    assert searched_corpus(settings, data_given=True).name == "sample"


def test_error_lists_why_no_file_can_be_read(settings: Settings) -> None:
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
def test_files_of_a_store_in_the_indexed_folder_are_not_indexed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs/above").mkdir(parents=True)
    Path("docs/above/a.txt").write_text("Zinc shortens colds.")
    auto_dtype = {"embedders.minilm.dtype": "auto", "retriever": "bm25"}  # the choice of auto is a file in the store
    settings = load_settings(None, {**auto_dtype, "store.path": str(tmp_path / store)})
    for _ in range(3):
        corpus, report = add_documents(settings, [Path("docs")], quiet=True)
        embed(settings, corpus, quiet=True)
        assert (report.added + report.unchanged, report.failed) == (1, [])
        assert searched_ids(settings) == ["docs/above/a.txt#1"]
    assert list((tmp_path / store).rglob("documents.jsonl"))  # elsewhere, such a file would be indexed


def test_embed_also_embeds_the_parts_of_parent_retrievers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from embedders import save_tiny_embedder

    from medground.pipeline import Pipeline
    from retrievers.embedders.sentence import SentenceEmbedder

    monkeypatch.chdir(tmp_path)
    settings = load_settings(
        None,
        {
            "embedders.minilm.model": str(save_tiny_embedder(tmp_path / "tiny")),
            "retrievers": {
                "sentences": {"kind": "parent", "parts": "sentence"},
                "first_sentence": {"kind": "parent", "parts": "sentence", "top_k": 1},
                "sections": {"kind": "parent", "parts": "section"},
            },
            "retriever": "sentences",
        },
    )
    Path("a.txt").write_text("Pain fell. Risk fell.\nThe rate fell.")
    corpus, _ = add_documents(settings, [Path("a.txt")], quiet=True)
    assert len(corpus.passages) == 1
    assert embed(settings, corpus, quiet=True) == 1 + 3 + 2  # the passage, its sentences, its sections
    assert embed(settings, corpus, quiet=True) == 0

    def fail(self: SentenceEmbedder, texts: list[str]) -> list[list[float]]:
        raise AssertionError(f"{len(texts)} texts are embedded again")

    monkeypatch.setattr(SentenceEmbedder, "embed_documents", fail)
    pipeline = Pipeline.from_settings(settings, corpus, quiet=True)
    retrievers = pipeline.retrievers(["sentences", "first_sentence", "sections"])
    assert [passage.id for passage in retrievers["sentences"].invoke("pain")] == ["a.txt#1"]


def test_damaged_library_is_reported(settings: Settings) -> None:
    Path("a.txt").write_text("One.")
    add_documents(settings, [Path("a.txt")], quiet=True)
    library_path(settings).write_bytes(b"x" * 5000)
    with pytest.raises(UserError, match=r"documents\.sqlite3 is damaged"):
        searched_corpus(settings)


def test_passage_limit_is_the_smallest_of_embedders_and_max_tokens(settings: Settings) -> None:
    assert {name: window.limit for name, window in embedder_windows(settings).items()} == {"minilm": 256}
    assert passage_window(settings).limit == 256
    assert passage_window(load_settings(None, {**FLOAT32, "documents.max_tokens": 64})).limit == 64
    bm25_only = {"retrievers": {"dense": {"kind": "bm25"}}}
    assert passage_window(load_settings(None, bm25_only)).limit == 200  # without embedders, in words
    assert passage_window(load_settings(None, {**bm25_only, "documents.max_tokens": 50})).limit == 50


def test_long_document_is_split_into_passages_within_the_limit(settings: Settings) -> None:
    Path("a.txt").write_text("pain " * 1000)
    add_documents(settings, [Path("a.txt")], quiet=True)
    window = embedder_windows(settings)["minilm"]
    counts = list(window.count([passage.page_content for passage in searched_corpus(settings).passages]))
    assert sum(counts) == 1000 + 2 * len(counts)  # two special tokens in each passage
    assert max(counts) <= 256


def test_embedded_passages_are_found_without_embedding_them_again(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    from medground.pipeline import Pipeline

    Path("a.txt").write_text("Heparin prevented clots.")
    Path("b.txt").write_text("Statins lowered cholesterol.")
    corpus, _ = add_documents(settings, [Path("a.txt"), Path("b.txt")], quiet=True)
    assert embed(settings, corpus, quiet=True) == 2
    assert embed(settings, corpus, quiet=True) == 0
    for retriever in Pipeline.from_settings(settings, corpus).retrievers(["dense", "bm25"]).values():
        first = retriever.invoke("What prevents clots?")[0]
        assert first.id == "a.txt#1"
        assert first.metadata["source"] == "a.txt"
    assert "embedding" not in capsys.readouterr().err  # the label of the progress bar


def test_text_of_a_changed_document_is_removed_from_all_files_of_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from embedders import save_tiny_embedder

    monkeypatch.chdir(tmp_path)
    tiny = {"embedders.minilm.model": str(save_tiny_embedder(tmp_path / "tiny"))}
    parts = {"sentences": {"kind": "parent"}, "sections": {"kind": "parent", "parts": "section"}}
    with_parts = {"retrievers": {**parts, "dense": {"kind": "dense"}}, "retriever": "sentences"}
    Path("docs").mkdir()
    Path("docs/a.txt").write_text("Pain fell. Wolframstrasse is in Hamburg.\nThe rate fell.")
    Path("docs/b.txt").write_text("Risk fell.")

    def index(**retrievers: object) -> int:
        """The number of new vectors."""
        settings = load_settings(None, {**tiny, **retrievers})
        return embed(settings, add_documents(settings, [Path("docs")], quiet=True)[0], quiet=True)

    assert index(**with_parts) > 6  # two passages, and their sentences and sections
    store = library_path(load_settings(None, tiny)).parent
    assert any(b"Wolfram" in file.read_bytes() for file in store.iterdir() if file.is_file())
    Path("docs/a.txt").write_text("Itch fell.")
    assert index() == 1  # the default retrievers have no parts
    assert [file.name for file in store.rglob("*") if file.is_file() and b"Wolfram" in file.read_bytes()] == []
    assert index(**with_parts) == 2  # sentence and section of a.txt; those of b.txt are still stored
