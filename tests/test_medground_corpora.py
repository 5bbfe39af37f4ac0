"""medground/corpora.py: which texts a command searches."""

from pathlib import Path

import pytest

from corpus.errors import DataError
from medground.corpora import DOCUMENTS, add_documents, data_corpus, searched_corpus
from medground.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings()


def ids(settings: Settings) -> list[str | None]:
    return [passage.id for passage in searched_corpus(settings).passages]


def test_without_documents_it_is_the_whole_of_the_data(settings: Settings) -> None:
    found = searched_corpus(load_settings(None, {"data.limit": 3, "data.split": "dev"}))
    assert found.name == "sample"
    assert not found.is_users
    assert len(found.passages) == 600
    assert found == data_corpus(settings)


def test_documents_are_added_and_a_file_read_again_is_replaced(settings: Settings) -> None:
    Path("a.txt").write_text("One. " * 300)
    Path("b.md").write_text("Two.")
    add_documents(settings, [Path("a.txt")], say=print)
    assert ids(settings) == ["a.txt#1", "a.txt#2"]
    add_documents(settings, [Path("b.md")], say=print)
    Path("a.txt").write_text("Shorter.")
    added = add_documents(settings, [Path("a.txt")], say=print)
    assert added.is_users
    assert ids(settings) == ["b.md#1", "a.txt#1"]
    assert searched_corpus(settings) == added


def test_data_that_is_named_is_searched_instead(settings: Settings) -> None:
    Path("a.txt").write_text("One.")
    add_documents(settings, [Path("a.txt")], say=print)
    assert searched_corpus(settings).name == DOCUMENTS
    assert searched_corpus(settings, data_named=True).name == "sample"
    Path("mine.json").write_text('{"1": {"QUESTION": "a?", "CONTEXTS": ["b"]}}')
    assert searched_corpus(load_settings(None, {"data.path": "mine.json"})).name.startswith("mine-")


def test_files_that_are_passed_over_are_told(settings: Settings) -> None:
    Path("docs").mkdir()
    Path("docs/a.txt").write_text("One.")
    Path("docs/b.png").write_bytes(b"x")
    said: list[str] = []
    add_documents(settings, [Path("docs")], say=said.append)
    assert said == ["passed over 1 file that is empty or no text (b.png)"]


def test_a_damaged_file_of_passages_is_named(settings: Settings) -> None:
    Path("a.txt").write_text("One.")
    add_documents(settings, [Path("a.txt")], say=print)
    kept = Path(settings.store.path, "documents.jsonl")
    kept.write_text(kept.read_text() + '{"id": 3')
    with pytest.raises(DataError, match="record line 2: is damaged"):
        searched_corpus(settings)
