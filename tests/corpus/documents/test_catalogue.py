"""corpus/documents/catalogue.py: what is written is whole, what is read back is what was written."""

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
    half = len(text) // 2
    parts = (Part(0, len(text)),)
    return Extract(key, text, parts, metadata), (Passage(0, half, 1, "A"), Passage(half, len(text)))


def put(path: Path, place: str, entries: Iterable[Entry], digest: str = "d") -> None:
    with Library(path) as library:
        library.replace(place, place, digest, "m", [(place, entries)])


def stored(path: Path) -> dict[str | None, str]:
    return {passage.id: passage.page_content for passage in Passages(path)}


def test_passages_come_back_with_where_they_stand(path: Path) -> None:
    put(path, "a.txt", [entry("a.txt", "one\x00two", title="T", mesh=["X", "Y"])])
    first, second = Passages(path)
    assert first.metadata == {
        "id": "a.txt#1",
        "source": "a.txt",
        "title": "T",
        "mesh": ["X", "Y"],
        "start": 0,
        "end": 3,
        "page": 1,
        "section": "A",
    }
    assert (second.id, second.page_content) == ("a.txt#2", "\x00two")
    assert "page" not in second.metadata
    assert document_text(path, "a.txt#2") == "one\x00two"
    with pytest.raises(UserError, match=r"no passage 'b\.txt#1'"):
        document_text(path, "b.txt#1")


def test_they_are_a_sequence(path: Path) -> None:
    put(path, "a", [entry(f"a/{n}", f"text{n}") for n in range(5)])
    passages = Passages(path)
    every = list(passages)
    assert len(passages) == len(every) == 10
    assert [passages[i] for i in range(10)] == every
    assert (passages[-1], passages[2:9:3]) == (every[-1], every[2:9:3])
    assert every[3] in passages
    with pytest.raises(IndexError):
        passages[10]


def test_a_file_read_again_is_replaced_whole(path: Path) -> None:
    put(path, "a", [entry("a/1", "aabb"), entry("a/2", "ccdd")])
    put(path, "b", [entry("b", "xxyy")])
    put(path, "a", [entry("a/1", "eeff")])
    assert stored(path) == {"b#1": "xx", "b#2": "yy", "a/1#1": "ee", "a/1#2": "ff"}
    with Library(path) as library:
        library.remove("b")
    assert list(stored(path)) == ["a/1#1", "a/1#2"]


def test_an_error_half_way_leaves_everything_as_it_was(path: Path) -> None:
    put(path, "a", [entry("a/1", "aabb")])

    def broken() -> Iterable[Entry]:
        yield entry("a/1", "eeff")
        raise DataError("a", "breaks.")

    with pytest.raises(DataError, match="a: breaks"):
        put(path, "a", broken(), "other")
    assert stored(path) == {"a/1#1": "aa", "a/1#2": "bb"}
    with Library(path) as library:
        assert library.files()["a"].digest == "d"

    def stopped() -> Iterable[Entry]:
        yield entry("b", "eeff")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put(path, "b", stopped())
    assert list(stored(path)) == ["a/1#1", "a/1#2"]


def test_of_an_archive_the_good_members_stay(path: Path) -> None:
    def broken() -> Iterable[Entry]:
        yield entry("x/2", "half")
        raise DataError("x/2", "breaks.")

    with Library(path) as library:
        parts = [("x/1", [entry("x/1", "aabb")]), ("x/2", broken()), ("x/3", [])]
        problems = library.replace("x", "x", "d", "m", parts)
    assert problems == (Problem("x/2", "x/2: breaks."), Problem("x/3", "x/3: has no text."))
    assert stored(path) == {"x/1#1": "aa", "x/1#2": "bb"}
    with Library(path) as library:
        assert library.files()["x"].problems == problems
        with pytest.raises(DataError, match="breaks"):
            library.replace("y", "y", "d", "m", [("x/2", broken())])


def test_the_last_file_says_what_a_record_is(path: Path) -> None:
    put(path, "updates/n0003.xml", [entry("pubmed:1", "third!"), Withdrawn("pubmed:2")])
    put(path, "z/baseline/n0001.xml", [entry("pubmed:1", "first."), entry("pubmed:2", "second")])
    assert stored(path) == {"pubmed:1#1": "thi", "pubmed:1#2": "rd!"}
    assert document_text(path, "pubmed:1#1") == "third!"
    put(path, "updates/n0004.xml", [entry("pubmed:2", "fourth")])
    assert stored(path)["pubmed:2#1"] == "fou"
    with Library(path) as library:
        library.remove("updates/n0003.xml")
        library.remove("updates/n0004.xml")
    assert stored(path)["pubmed:1#1"] == "fir"
    assert stored(path)["pubmed:2#1"] == "sec"


def test_in_one_file_the_last_record_counts(path: Path) -> None:
    put(path, "a", [entry("k", "aabb"), Withdrawn("k"), entry("k", "ccdd"), Withdrawn("l"), entry("l", "eeff")])
    assert list(stored(path).values()) == ["cc", "dd", "ee", "ff"]


def test_the_revision_changes_with_every_change_and_only_then(path: Path) -> None:
    put(path, "a", [entry("a", "aabb")])
    before = Passages(path).revision
    with Library(path) as library:
        library.files()
    assert Passages(path).revision == before
    with Library(path) as library, pytest.raises(DataError, match="has no file"):
        library.replace("b", "b", "d", "m", [])
    assert Passages(path).revision == before
    put(path, "b", [entry("b", "aabb")])
    assert Passages(path).revision != before


def test_reading_goes_on_while_another_writes(path: Path) -> None:
    put(path, "a", [entry("a", "aabb"), entry("b", "ccdd")])
    reading = iter(Passages(path))
    next(reading)
    put(path, "c", [entry("c", "eeff")])
    assert [passage.id for passage in reading] == ["a#2", "b#1", "b#2", "c#1", "c#2"]


def test_what_is_wrong_with_the_file_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(path, "a", [entry("a", "aabb")])
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


def test_what_is_removed_or_replaced_is_overwritten(path: Path) -> None:
    secret = "secretariat " * 2000  # on pages of its own too
    put(path, "a.txt", [entry("a.txt", secret)])
    put(path, "b.txt", [entry("b.txt", f"x {secret}")])
    put(path, "a.txt", [entry("a.txt", "other")], digest="e")
    with Library(path) as library:
        library.remove("b.txt")
    assert b"secretariat" not in path.read_bytes()


def test_the_folder_is_its_owners_alone(path: Path) -> None:
    put(path, "a.txt", [entry("a.txt", "one")])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


RECURSIVE = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"


def changed(path: Path, script: str) -> None:
    put(path, "a.txt", [entry("a.txt", "one two")])
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script)


def test_a_view_that_runs_without_end_is_not_read(path: Path) -> None:
    changed(path, f"CREATE VIEW live (id) AS {RECURSIVE};")
    assert stored(path) == {"a.txt#1": "one", "a.txt#2": " two"}


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (
            "CREATE TRIGGER t BEFORE UPDATE ON state BEGIN DELETE FROM files; END",
            "views or triggers of another program",
        ),
        (f"DROP TABLE passages; CREATE VIEW passages (number) AS {RECURSIVE}", "views or triggers of another program"),
        ("UPDATE documents SET metadata = '[1]'", "is damaged"),
        (f"UPDATE documents SET metadata = '{'[' * 100_000}'", "is damaged"),
        ("UPDATE passages SET start = 'x'", "is damaged"),
    ],
)
def test_a_library_that_another_program_changed_is_refused(path: Path, script: str, told: str) -> None:
    changed(path, script)
    with pytest.raises(LibraryError, match=told):
        stored(path)


def test_what_is_known_of_files_may_be_damaged_too(path: Path) -> None:
    changed(path, "UPDATE files SET problems = '[[1]]'")
    with Library(path) as library, pytest.raises(LibraryError, match="is damaged"):
        library.files()
