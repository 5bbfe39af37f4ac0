import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from forked import start_code

from chains.answer import Answer, Citation, Passage
from chains.chat.conversations import Conversations, NoConversation
from chains.chat.turn import Turn
from common.errors import UserError


def turn(message: str, text: str = "Yes.") -> Turn:
    passage = Passage(id="p1", text=f"It says: {text}", score=0.5)
    citation = Citation(passage_id="p1", quote="It says", start=0, end=7, score=1.0)
    answer = Answer(question=message, text=text, label="yes", passages=(passage,), citations=(citation,))
    return Turn(message=message, question=message, text=text, answer=answer, notes=("a note",))


@pytest.fixture
def kept(tmp_path: Path) -> Conversations:
    return Conversations(tmp_path / "new folder" / "c.sqlite3")


def bytes_of(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def begun(kept: Conversations, user: str = "ann", message: str = "first") -> str:
    return kept.create(user, turn(message))


def test_turns_are_read_back_whole_and_in_order(kept: Conversations) -> None:
    turns = [turn(f"question {number}") for number in range(12)]
    id = kept.create("ann", turns[0])
    for one in turns[1:]:
        kept.append("ann", id, one)
    assert kept.read("ann", id) == turns
    assert kept.summary("ann", id).turns == 12


def test_a_conversation_outlives_the_process_that_created_it(tmp_path: Path) -> None:
    first = Conversations(tmp_path / "c.sqlite3")
    id = first.create("ann", turn("one"), "On aspirin")
    first.close()
    second = Conversations(tmp_path / "c.sqlite3")
    second.append("ann", id, turn("two"))
    assert [one.message for one in second.read("ann", id)] == ["one", "two"]
    assert second.list("ann")[0].title == "On aspirin"


def test_the_list_has_titles_counts_and_the_latest_first(kept: Conversations) -> None:
    old, new = begun(kept), begun(kept, message="Is  it\nso? " + "long " * 50)
    listed = kept.list("ann")
    assert [(one.id, one.turns) for one in listed] == [(new, 1), (old, 1)]
    assert listed[0].title.startswith("Is it so? long")
    assert len(listed[0].title) <= 80
    kept.append("ann", old, turn("second"))
    assert [(one.id, one.turns) for one in kept.list("ann")] == [(old, 2), (new, 1)]


def test_no_call_of_one_user_reaches_another_user_s_conversation(kept: Conversations) -> None:
    hers = begun(kept, message="private")
    for other in ("bob", "", "ANN", f"{hers}/ann", "ann/", "%", "ann\0"):
        assert kept.list(other) == []
        assert kept.list(other, "private") == []
        for call in (kept.read, kept.summary, kept.delete):
            with pytest.raises(NoConversation):
                call(other, hers)
        with pytest.raises(NoConversation):
            kept.append(other, hers, turn("mine now"))
        with pytest.raises(NoConversation):
            kept.rename(other, hers, "mine now")
    assert [one.message for one in kept.read("ann", hers)] == ["private"]
    assert kept.summary("ann", hers).title == "private"


@pytest.mark.parametrize("id", ["", "nothing", "' OR 1=1 --", "a" * 32])
def test_an_unknown_id_is_an_error(kept: Conversations, id: str) -> None:
    for call in (kept.read, kept.summary, kept.delete):
        with pytest.raises(NoConversation, match="There is no conversation"):
            call("ann", id)


def test_titles_and_texts_are_searched_without_case(kept: Conversations) -> None:
    gout = kept.create("ann", turn("Hilft Äpfelsäure bei Gicht?", "Nein, sagt die Straße."))
    rest = kept.create("ann", turn("Does aspirin help?", "100%_sure"), "Pain \\ relief")
    kept.append("ann", gout, turn("And colchicine?"))
    kept.create("bob", turn("Does aspirin help?"))
    for query, found in {
        "ÄPFELSÄURE": [gout],
        "strasse": [gout],
        "gicht nein": [gout],  # words of one turn, in any order
        "aspirin": [rest],
        "relief pain": [rest],
        "%_": [rest],
        "\\": [rest],
        "colchicine gicht": [],  # words of two turns
        "mg0": [],  # not the evidence
        "nothing": [],
        "  ": [gout, rest],
    }.items():
        assert [one.id for one in kept.list("ann", query)] == found, query


def test_a_conversation_is_renamed(kept: Conversations) -> None:
    id = begun(kept)
    kept.rename("ann", id, "  On\n<b>gout</b> ")
    assert kept.summary("ann", id).title == "On <b>gout</b>"
    for title in ("", " \n", "x" * 201):
        with pytest.raises(UserError, match="A title has 1 to 200 characters"):
            kept.rename("ann", id, title)


def test_deleted_text_is_in_no_file_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    kept = Conversations(path)
    gone, stays = kept.create("ann", turn("SECRETQUESTION", "SECRETANSWER")), begun(kept)
    for number in range(20):
        kept.append("ann", gone, turn(f"SECRETQUESTION {number}", "SECRETANSWER " * 300))
        kept.append("ann", stays, turn(f"other {number}", "plain " * 300))
    assert b"SECRETQUESTION" in bytes_of(path)
    assert b"SECRETANSWER" in bytes_of(path)
    kept.delete("ann", gone)
    assert b"SECRET" not in bytes_of(path)
    assert [one.id for one in kept.list("ann")] == [stays]
    assert len(kept.read("ann", stays)) == 21
    kept.close()
    assert b"SECRET" not in bytes_of(path)


def test_the_file_grows_linearly(tmp_path: Path) -> None:
    kept = Conversations(tmp_path / "c.sqlite3")
    id = begun(kept)
    for number in range(40):
        kept.append("ann", id, turn(f"question {number}", "word " * 200))
    kept.close()
    assert (tmp_path / "c.sqlite3").stat().st_size < 5 * 40 * 3 * 1000


def test_deleting_while_another_program_reads_is_reported(tmp_path: Path) -> None:
    kept = Conversations(tmp_path / "c.sqlite3")
    id = begun(kept, message="SECRET")
    kept._connection.execute("PRAGMA busy_timeout = 10")
    reader = sqlite3.connect(tmp_path / "c.sqlite3", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM conversation").fetchall()
    with pytest.raises(UserError, match="another program is reading"):
        kept.delete("ann", id)
    assert kept.list("ann") == []
    reader.close()


def test_only_the_owner_may_read_the_files_and_enter_new_folders(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "c.sqlite3"
    kept = Conversations(path)
    begun(kept)
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    assert {folder.stat().st_mode & 0o777 for folder in (path.parent, path.parent.parent)} == {0o700}
    kept.close()
    path.chmod(0o644)
    Conversations(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database " * 1000)
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    for path in (tmp_path / "text", tmp_path, tmp_path / "text" / "c.sqlite3", tmp_path / "newer"):
        with pytest.raises(UserError, match=r"Set chat\.path"):
            Conversations(path)


def old_file(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.executescript(Path(__file__).with_name("conversations_0_1_0.sql").read_text())
    return connection


def test_a_file_of_0_1_0_is_converted_once(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    old_file(path).close()
    kept = Conversations(path)
    (one,) = kept.list("ann")
    assert (one.title, one.turns, one.created[:4]) == ("Is it ä?", 2, "2026")
    assert [(each.message, each.text) for each in kept.read("ann", one.id)] == [("Is it ä?", "Yes"), ("two", "No")]
    assert kept.list("bob") == []  # its conversation had no turn
    kept.append("ann", one.id, turn("three"))
    kept.close()
    assert len(Conversations(path).read("ann", one.id)) == 3
    tables = {name for (name,) in sqlite3.connect(path).execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"conversation", "turn"}


def test_a_file_of_0_1_0_that_cannot_be_converted_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    with old_file(path) as connection:
        connection.execute("ALTER TABLE checkpoints RENAME COLUMN checkpoint TO something")
    before = "\n".join(connection.iterdump())
    with pytest.raises(UserError, match="no such column"):
        Conversations(path)
    assert "\n".join(connection.iterdump()) == before


def test_threads_lose_no_turn(kept: Conversations) -> None:
    ids = [begun(kept, message="-1") for _ in range(3)]
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(kept.append, "ann", ids[n % 3], turn(f"{n}")) for n in range(30)]
        assert [one.result() for one in done] == [None] * 30
    assert sorted(int(one.message) for id in ids for one in kept.read("ann", id)) == [-1] * 3 + list(range(30))


def test_a_kill_leaves_no_conversation_without_turns_and_no_wrong_number(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    code = f"""
import sys
from chains.chat import Conversations, Turn
kept = Conversations({str(path)!r})
print("ready", flush=True)
while True:
    id = kept.create("ann", Turn(message="one", question="q", text="x" * 10_000))
    kept.append("ann", id, Turn(message="two", question="q", text="x" * 10_000))
"""
    for _ in range(3):
        process, printed = start_code(code)
        with printed:
            assert printed.readline() == "ready\n"
            time.sleep(0.15)
            process.kill()
            process.join()
        kept = Conversations(path)
        listed = kept.list("ann")
        assert listed
        assert {one.turns for one in listed} <= {1, 2}
        assert all(len(kept.read("ann", one.id)) == one.turns for one in listed)
        kept.close()
