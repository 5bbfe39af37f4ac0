import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from forked import start_code

from chains.answer import Answer, Citation, Passage
from chains.chat.conversations import Conversations, NoConversation, NotErased
from chains.chat.turn import Turn
from common.errors import UserError


def make_turn(message: str, text: str = "Yes.") -> Turn:
    passage = Passage(id="p1", text=f"It says: {text}", score=0.5)
    citation = Citation(passage_id="p1", quote="It says", start=0, end=7, score=1.0)
    answer = Answer(question=message, text=text, label="yes", passages=(passage,), citations=(citation,))
    return Turn(message=message, question=message, text=text, answer=answer, notes=("a note",))


@pytest.fixture
def store(tmp_path: Path) -> Conversations:
    return Conversations(tmp_path / "new folder" / "c.sqlite3")


def bytes_of_all_files(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def create(store: Conversations, message: str = "first") -> str:
    return store.create("ann", make_turn(message))


def test_read_returns_all_turns_in_order(store: Conversations) -> None:
    turns = [make_turn(f"question {number}") for number in range(12)]
    id = store.create("ann", turns[0])
    for one in turns[1:]:
        store.append("ann", id, one)
    assert store.read("ann", id) == turns
    assert store.summary("ann", id).turns == 12


def test_reopened_file_has_its_conversations(tmp_path: Path) -> None:
    first = Conversations(tmp_path / "c.sqlite3")
    id = first.create("ann", make_turn("one"), "On aspirin")
    first.close()
    second = Conversations(tmp_path / "c.sqlite3")
    second.append("ann", id, make_turn("two"))
    assert [one.message for one in second.read("ann", id)] == ["one", "two"]
    assert second.list("ann")[0].title == "On aspirin"


def test_list_has_titles_and_counts_with_the_last_changed_first(store: Conversations) -> None:
    old, new = create(store), create(store, message="Is  it\nso? " + "long " * 50)
    summaries = store.list("ann")
    assert [(one.id, one.turns) for one in summaries] == [(new, 1), (old, 1)]
    assert all(one.created == one.updated for one in summaries)
    assert summaries[0].title.startswith("Is it so? long")
    assert len(summaries[0].title) <= 80
    store.append("ann", old, make_turn("second"))
    assert [(one.id, one.turns) for one in store.list("ann")] == [(old, 2), (new, 1)]


def test_no_method_reaches_the_conversation_of_another_user(store: Conversations) -> None:
    id = create(store, message="private")
    for other in ("bob", "", "ANN", f"{id}/ann", "ann/", "%", "ann\0"):
        assert store.list(other) == []
        assert store.list(other, "private") == []
        for call in (store.read, store.summary, store.delete):
            with pytest.raises(NoConversation):
                call(other, id)
        with pytest.raises(NoConversation):
            store.append(other, id, make_turn("mine now"))
        with pytest.raises(NoConversation):
            store.rename(other, id, "mine now")
    assert [one.message for one in store.read("ann", id)] == ["private"]
    assert store.summary("ann", id).title == "private"


@pytest.mark.parametrize("id", ["", "nothing", "' OR 1=1 --", "a" * 32])
def test_unknown_id_raises_the_error_no_conversation(store: Conversations, id: str) -> None:
    for call in (store.read, store.summary, store.delete):
        with pytest.raises(NoConversation, match="There is no conversation"):
            call("ann", id)


def test_list_searches_titles_and_texts_regardless_of_case(store: Conversations) -> None:
    gout = store.create("ann", make_turn("Hilft Äpfelsäure bei Gicht?", "Nein, sagt die Straße."))
    aspirin = store.create("ann", make_turn("Does aspirin help?", "100%_sure"), "Pain \\ relief")
    store.append("ann", gout, make_turn("And colchicine?"))
    store.create("bob", make_turn("Does aspirin help?"))
    for query, expected in {
        "ÄPFELSÄURE": [gout],
        "strasse": [gout],
        "a\u0308pfelsa\u0308ure": [gout],  # decomposed, as macOS writes names of files
        "gicht nein": [gout],  # words of one turn, in any order
        "aspirin": [aspirin],
        "relief pain": [aspirin],
        "%_": [aspirin],
        "\\": [aspirin],
        "colchicine gicht": [],  # words of two turns
        "mg0": [],
        "nothing": [],
        "  ": [gout, aspirin],
    }.items():
        assert [one.id for one in store.list("ann", query)] == expected, query


def test_rename_normalises_and_limits_the_title(store: Conversations) -> None:
    id = create(store)
    store.rename("ann", id, "  On\n<b>gout</b> ")
    assert store.summary("ann", id).title == "On <b>gout</b>"
    for title in ("", " \n", "x" * 201):
        with pytest.raises(UserError, match="A title has 1 to 200 characters"):
            store.rename("ann", id, title)


def test_deleted_text_is_in_no_file(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    store = Conversations(path)
    deleted, remaining = store.create("ann", make_turn("SECRETQUESTION", "SECRETANSWER")), create(store)
    for number in range(20):
        store.append("ann", deleted, make_turn(f"SECRETQUESTION {number}", "SECRETANSWER " * 300))
        store.append("ann", remaining, make_turn(f"other {number}", "plain " * 300))
    assert b"SECRETQUESTION" in bytes_of_all_files(path)
    assert b"SECRETANSWER" in bytes_of_all_files(path)
    store.delete("ann", deleted)
    assert b"SECRET" not in bytes_of_all_files(path)
    assert [one.id for one in store.list("ann")] == [remaining]
    assert len(store.read("ann", remaining)) == 21
    store.close()
    assert b"SECRET" not in bytes_of_all_files(path)


def test_file_size_grows_linearly_with_the_turns(tmp_path: Path) -> None:
    store = Conversations(tmp_path / "c.sqlite3")
    id = create(store)
    for number in range(40):
        store.append("ann", id, make_turn(f"question {number}", "word " * 200))
    store.close()
    # A turn has 3 kB: 1 kB of text, in the turn, its answer and its passage. The factor 5 allows for indexes and pages.
    assert (tmp_path / "c.sqlite3").stat().st_size < 5 * 40 * 3 * 1000


def test_delete_during_another_read_raises_the_error_not_erased(tmp_path: Path) -> None:
    store = Conversations(tmp_path / "c.sqlite3")
    id = create(store, message="SECRET")
    store._connection.execute("PRAGMA busy_timeout = 10")
    reader = sqlite3.connect(tmp_path / "c.sqlite3", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM conversation").fetchall()
    with pytest.raises(NotErased, match="another program is reading"):
        store.delete("ann", id)
    assert store.list("ann") == []
    reader.close()


def test_files_have_mode_600_and_new_folders_700(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "c.sqlite3"
    store = Conversations(path)
    create(store)
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    assert {folder.stat().st_mode & 0o777 for folder in (path.parent, path.parent.parent)} == {0o700}
    store.close()
    path.chmod(0o644)
    Conversations(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_file_that_is_no_conversations_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database " * 1000)
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    for path in (tmp_path / "text", tmp_path, tmp_path / "text" / "c.sqlite3", tmp_path / "newer"):
        with pytest.raises(UserError, match=r"Set chat\.path"):
            Conversations(path)


def open_file_of_0_1_0(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.executescript(Path(__file__).with_name("conversations_0_1_0.sql").read_text())
    return connection


def test_file_of_version_0_1_0_is_converted_once(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    open_file_of_0_1_0(path).close()
    store = Conversations(path)
    (one,) = store.list("ann")
    assert (one.title, one.turns, one.created[:4]) == ("Is it ä?", 2, "2026")
    assert [(each.message, each.text) for each in store.read("ann", one.id)] == [("Is it ä?", "Yes"), ("two", "No")]
    assert store.list("bob") == []  # its conversation had no turn
    store.append("ann", one.id, make_turn("three"))
    store.close()
    assert len(Conversations(path).read("ann", one.id)) == 3
    tables = {name for (name,) in sqlite3.connect(path).execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"conversation", "turn"}


def test_file_of_version_0_1_0_is_unchanged_after_a_failed_conversion(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    with open_file_of_0_1_0(path) as connection:
        connection.execute("ALTER TABLE checkpoints RENAME COLUMN checkpoint TO something")
    dump_before = "\n".join(connection.iterdump())
    with pytest.raises(UserError, match="no such column"):
        Conversations(path)
    assert "\n".join(connection.iterdump()) == dump_before


def test_concurrent_appends_lose_no_turn(store: Conversations) -> None:
    ids = [create(store, message="-1") for _ in range(3)]
    with ThreadPoolExecutor(8) as pool:
        appended = [pool.submit(store.append, "ann", ids[n % 3], make_turn(f"{n}")) for n in range(30)]
        assert [one.result() for one in appended] == [None] * 30
    assert sorted(int(one.message) for id in ids for one in store.read("ann", id)) == [-1] * 3 + list(range(30))


def test_killed_process_leaves_no_conversation_without_turns(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    code = f"""
import sys
from chains.chat import Conversations, Turn
store = Conversations({str(path)!r})
print("ready", flush=True)
while True:
    id = store.create("ann", Turn(message="one", question="q", text="x" * 10_000))
    store.append("ann", id, Turn(message="two", question="q", text="x" * 10_000))
"""
    for _ in range(3):
        process, printed = start_code(code)
        with printed:
            assert printed.readline() == "ready\n"
            time.sleep(0.15)
            process.kill()
            process.join()
        store = Conversations(path)
        summaries = store.list("ann")
        assert summaries
        assert {one.turns for one in summaries} <= {1, 2}
        assert all(len(store.read("ann", one.id)) == one.turns for one in summaries)
        store.close()
