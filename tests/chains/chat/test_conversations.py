import sqlite3
from pathlib import Path

import pytest

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


def test_what_is_added_is_read_back_whole_and_in_order(kept: Conversations) -> None:
    id = kept.start("ann")
    turns = [turn(f"question {number}") for number in range(5)]
    for one in turns:
        kept.append("ann", id, one)
    assert kept.read("ann", id) == turns


def test_a_conversation_outlives_the_process_that_began_it(tmp_path: Path) -> None:
    first = Conversations(tmp_path / "c.sqlite3")
    id = first.start("ann", "On aspirin")
    first.append("ann", id, turn("one"))
    first.close()
    second = Conversations(tmp_path / "c.sqlite3")
    second.append("ann", id, turn("two"))
    assert [one.message for one in second.read("ann", id)] == ["one", "two"]
    assert second.list("ann")[0].title == "On aspirin"


def test_the_list_has_titles_counts_and_the_latest_first(kept: Conversations) -> None:
    old, new = kept.start("ann"), kept.start("ann")
    kept.append("ann", new, turn("Is  it\nso? " + "long " * 50))
    kept.append("ann", new, turn("second"))
    listed = kept.list("ann")
    assert [(one.id, one.turns) for one in listed] == [(new, 2), (old, 0)]
    assert listed[0].title.startswith("Is it so? long")
    assert len(listed[0].title) <= 80


def test_no_call_of_one_user_reaches_what_is_another_s(kept: Conversations) -> None:
    hers = kept.start("ann")
    kept.append("ann", hers, turn("private"))
    for other in ("bob", "", "ANN", f"{hers}/ann", "ann/", "%"):
        assert kept.list(other) == []
        with pytest.raises(NoConversation):
            kept.read(other, hers)
        with pytest.raises(NoConversation):
            kept.append(other, hers, turn("mine now"))
        with pytest.raises(NoConversation):
            kept.delete(other, hers)
    assert [one.message for one in kept.read("ann", hers)] == ["private"]


@pytest.mark.parametrize("id", ["", "nothing", "' OR 1=1 --", "a" * 32])
def test_an_unknown_id_is_said(kept: Conversations, id: str) -> None:
    for call in (kept.read, kept.delete):
        with pytest.raises(NoConversation, match="There is no conversation"):
            call("ann", id)


def test_what_is_deleted_is_in_no_file_any_more_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite3"
    kept = Conversations(path)
    gone, stays = kept.start("ann"), kept.start("ann")
    for number in range(20):
        kept.append("ann", gone, turn(f"SECRETQUESTION {number}", "SECRETANSWER " * 300))
        kept.append("ann", stays, turn(f"other {number}", "plain " * 300))
    assert b"SECRETQUESTION" in bytes_of(path)
    assert b"SECRETANSWER" in bytes_of(path)
    kept.delete("ann", gone)
    assert b"SECRET" not in bytes_of(path)
    assert [one.id for one in kept.list("ann")] == [stays]
    assert len(kept.read("ann", stays)) == 20
    kept.close()
    assert b"SECRET" not in bytes_of(path)


def test_a_file_grows_with_what_is_said_and_not_with_its_square(tmp_path: Path) -> None:
    kept = Conversations(tmp_path / "c.sqlite3")
    id = kept.start("ann")
    for number in range(40):
        kept.append("ann", id, turn(f"question {number}", "word " * 200))
    kept.close()
    assert (tmp_path / "c.sqlite3").stat().st_size < 5 * 40 * 3 * 1000


def test_deleting_while_another_program_reads_is_said(tmp_path: Path) -> None:
    kept = Conversations(tmp_path / "c.sqlite3")
    id = kept.start("ann")
    kept.append("ann", id, turn("SECRET"))
    kept._connection.execute("PRAGMA busy_timeout = 10")
    reader = sqlite3.connect(tmp_path / "c.sqlite3", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM conversations").fetchall()
    with pytest.raises(UserError, match="another program is reading"):
        kept.delete("ann", id)
    assert kept.list("ann") == []
    reader.close()


def test_only_the_owner_may_read_the_file_and_enter_its_folder(kept: Conversations, tmp_path: Path) -> None:
    assert (kept._path.stat().st_mode & 0o777) == 0o600
    Conversations(tmp_path / "new" / "c.sqlite3").close()
    assert ((tmp_path / "new").stat().st_mode & 0o777) == 0o700


def test_a_file_that_is_none_of_ours_is_said(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database " * 1000)
    for path in (tmp_path / "text", tmp_path, tmp_path / "text" / "c.sqlite3"):
        with pytest.raises(UserError, match=r"Set chat\.path"):
            Conversations(path)


def test_threads_lose_no_turn(kept: Conversations) -> None:
    from concurrent.futures import ThreadPoolExecutor

    ids = [kept.start("ann") for _ in range(3)]
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(kept.append, "ann", ids[n % 3], turn(f"{n}")) for n in range(30)]
        assert [one.result() for one in done] == [None] * 30
    assert sorted(int(one.message) for id in ids for one in kept.read("ann", id)) == list(range(30))
