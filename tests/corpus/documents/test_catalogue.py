import sqlite3
import stat
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from common.errors import DataError, UserError
from corpus.documents.catalogue import Entry, Library, LibraryError, Passages, document_text
from corpus.documents.extract import Extract, Part, Problem, Withdrawn
from corpus.documents.passages import Passage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "documents.sqlite3"


def entry(key: str, text: str, **metadata: str | int | list[str]) -> Entry:
    """A document with two passages, which are the halves of its text."""
    half = len(text) // 2
    passages = (Passage(0, half, 1, "A"), Passage(half, len(text)))
    return Extract(key, text, (Part(0, len(text)),), metadata), passages


def replace_file(path: Path, place: str, entries: Iterable[Entry], digest: str = "d") -> None:
    with Library(path) as library:
        library.replace(place, place, digest, "settings", [(place, entries)])


def passage_texts(path: Path) -> dict[str | None, str]:
    return {passage.id: passage.page_content for passage in Passages(path)}


def test_passages_have_metadata_and_location(path: Path) -> None:
    replace_file(path, "a.txt", [entry("a.txt", "one\x00two", title="T", mesh=["X", "Y"])])
    first, second = Passages(path)
    location = {"start": 0, "end": 3, "page": 1, "section": "A"}
    assert first.metadata == {"id": "a.txt#1", "source": "a.txt", "title": "T", "mesh": ["X", "Y"], **location}
    assert (second.id, second.page_content) == ("a.txt#2", "\x00two")
    assert "page" not in second.metadata
    assert document_text(path, "a.txt#2") == "one\x00two"
    with pytest.raises(UserError, match=r"no passage 'b\.txt#1'"):
        document_text(path, "b.txt#1")


def test_passages_are_a_sequence(path: Path) -> None:
    replace_file(path, "a", [entry(f"a/{n}", f"text{n}") for n in range(5)])
    passages = Passages(path)
    listed = list(passages)
    assert len(passages) == len(listed) == 10
    assert [passages[index] for index in range(10)] == listed
    assert (passages[-1], passages[2:9:3]) == (listed[-1], listed[2:9:3])
    assert listed[3] in passages
    with pytest.raises(IndexError):
        passages[10]


def test_replaced_file_loses_its_earlier_documents(path: Path) -> None:
    replace_file(path, "a", [entry("a/1", "aabb"), entry("a/2", "ccdd")])
    replace_file(path, "b", [entry("b", "xxyy")])
    replace_file(path, "a", [entry("a/1", "eeff")])
    assert passage_texts(path) == {"b#1": "xx", "b#2": "yy", "a/1#1": "ee", "a/1#2": "ff"}
    with Library(path) as library:
        library.remove("b")
    assert list(passage_texts(path)) == ["a/1#1", "a/1#2"]


def test_error_or_interrupt_while_reading_changes_nothing(path: Path) -> None:
    replace_file(path, "a", [entry("a/1", "aabb")])

    def failing() -> Iterable[Entry]:
        yield entry("a/1", "eeff")
        raise DataError("a", "breaks.")

    with pytest.raises(DataError, match="a: breaks"):
        replace_file(path, "a", failing(), "other")
    assert passage_texts(path) == {"a/1#1": "aa", "a/1#2": "bb"}
    with Library(path) as library:
        assert library.files()["a"].digest == "d"

    def interrupted() -> Iterable[Entry]:
        yield entry("b", "eeff")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace_file(path, "b", interrupted())
    assert list(passage_texts(path)) == ["a/1#1", "a/1#2"]


def test_readable_members_of_an_archive_are_stored(path: Path) -> None:
    def failing() -> Iterable[Entry]:
        yield entry("x/2", "half")
        raise DataError("x/2", "breaks.")

    with Library(path) as library:
        members = [("x/1", [entry("x/1", "aabb")]), ("x/2", failing()), ("x/3", [])]
        problems = library.replace("x", "x", "d", "m", members)
    assert problems == (Problem("x/2", "x/2: breaks."), Problem("x/3", "x/3: has no text."))
    assert passage_texts(path) == {"x/1#1": "aa", "x/1#2": "bb"}
    with Library(path) as library:
        assert library.files()["x"].problems == problems
        with pytest.raises(DataError, match="breaks"):
            library.replace("y", "y", "d", "settings", [("x/2", failing())])


def test_document_in_several_files_is_that_of_the_file_whose_name_sorts_last(path: Path) -> None:
    replace_file(path, "updates/n0003.xml", [entry("pubmed:1", "third!"), Withdrawn("pubmed:2")])
    replace_file(path, "z/baseline/n0001.xml", [entry("pubmed:1", "first."), entry("pubmed:2", "second")])
    assert passage_texts(path) == {"pubmed:1#1": "thi", "pubmed:1#2": "rd!"}
    assert document_text(path, "pubmed:1#1") == "third!"
    replace_file(path, "updates/n0004.xml", [entry("pubmed:2", "fourth")])
    assert passage_texts(path)["pubmed:2#1"] == "fou"
    with Library(path) as library:
        library.remove("updates/n0003.xml")
        library.remove("updates/n0004.xml")
    assert passage_texts(path)["pubmed:1#1"] == "fir"
    assert passage_texts(path)["pubmed:2#1"] == "sec"


def test_last_of_several_records_of_a_document_in_one_file_counts(path: Path) -> None:
    records = [entry("k", "aabb"), Withdrawn("k"), entry("k", "ccdd"), Withdrawn("l"), entry("l", "eeff")]
    replace_file(path, "a", records)
    assert list(passage_texts(path).values()) == ["cc", "dd", "ee", "ff"]


def test_revision_changes_only_with_the_library(path: Path) -> None:
    replace_file(path, "a", [entry("a", "aabb")])
    before = Passages(path).revision
    with Library(path) as library:
        library.files()
    assert Passages(path).revision == before
    with Library(path) as library, pytest.raises(DataError, match="has no file"):
        library.replace("b", "b", "d", "settings", [])
    assert Passages(path).revision == before
    replace_file(path, "b", [entry("b", "aabb")])
    assert Passages(path).revision != before


def test_iteration_includes_files_written_meanwhile(path: Path) -> None:
    replace_file(path, "a", [entry("a", "aabb"), entry("b", "ccdd")])
    reading = iter(Passages(path))
    next(reading)
    replace_file(path, "c", [entry("c", "eeff")])
    assert [passage.id for passage in reading] == ["a#2", "b#1", "b#2", "c#1", "c#2"]


def test_locked_foreign_or_damaged_library_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_file(path, "a", [entry("a", "aabb")])
    monkeypatch.setattr("corpus.documents.catalogue.LOCK_SECONDS", 0.1)
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LibraryError, match="in use by another process"):
            Passages(path)
    other.close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(LibraryError, match="another version"):
        Passages(path)
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(LibraryError, match="is damaged"):
        Passages(path)


def test_removed_and_replaced_texts_are_overwritten_on_disk(path: Path) -> None:
    secret = "secretariat " * 2000  # long enough to fill whole pages of the database
    replace_file(path, "a.txt", [entry("a.txt", secret)])
    replace_file(path, "b.txt", [entry("b.txt", f"x {secret}")])
    replace_file(path, "a.txt", [entry("a.txt", "other")], digest="e")
    with Library(path) as library:
        library.remove("b.txt")
    assert b"secretariat" not in path.read_bytes()


def test_folder_is_accessible_to_its_owner_only(path: Path) -> None:
    replace_file(path, "a.txt", [entry("a.txt", "one")])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


ENDLESS_QUERY = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"


def write_and_change(path: Path, script: str) -> None:
    """Write a library with one file, and run SQL in it as another program would."""
    replace_file(path, "a.txt", [entry("a.txt", "one two")])
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)


def test_view_named_live_in_the_file_is_not_used(path: Path) -> None:
    write_and_change(path, f"CREATE VIEW live (id) AS {ENDLESS_QUERY};")
    assert passage_texts(path) == {"a.txt#1": "one", "a.txt#2": " two"}


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("CREATE TRIGGER t BEFORE UPDATE ON state BEGIN DELETE FROM files; END", "views or triggers of another"),
        (f"DROP TABLE passages; CREATE VIEW passages (number) AS {ENDLESS_QUERY}", "views or triggers of another"),
        ("UPDATE documents SET metadata = '[1]'", "is damaged"),
        (f"UPDATE documents SET metadata = '{'[' * 100_000}'", "is damaged"),
        ("UPDATE passages SET start = 'x'", "is damaged"),
    ],
)
def test_library_changed_by_another_program_is_an_error(path: Path, script: str, problem: str) -> None:
    write_and_change(path, script)
    with pytest.raises(LibraryError, match=problem):
        passage_texts(path)


def test_damaged_table_of_files_is_an_error(path: Path) -> None:
    write_and_change(path, "UPDATE files SET problems = '[[1]]'")
    with Library(path) as library, pytest.raises(LibraryError, match="is damaged"):
        library.files()
