"""corpus/files.py: which files a command names, and how a library follows them."""

import os
import sqlite3
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from document_files import citation, gzipped, lines_jsonl, pdf_bytes, pictured_pdf, pubmed_xml
from pydantic import ValidationError

from corpus.config import DocumentsConfig
from corpus.documents.catalogue import LibraryError, Passages
from corpus.documents.passages import Window, words_window
from corpus.files import UpdateReport, update_library

LIBRARY = Path("store/documents.sqlite3")


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


def put(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def take(*paths: str | Path, library: Path = LIBRARY, words: int = 200, **settings: Any) -> UpdateReport:
    return update_library(list(paths), library, words_window(words), DocumentsConfig(**settings), quiet=True)


def counted(intake: UpdateReport) -> tuple[int, int, int, int, int]:
    return intake.added, intake.changed, intake.unchanged, intake.removed, len(intake.failed)


def ids(library: Path = LIBRARY) -> list[str | None]:
    return [passage.id for passage in Passages(library)]


def test_a_folder_is_read_to_its_depth_with_stable_ids() -> None:
    put("docs/a.txt", "One.\n\nTwo.")
    put("docs/deep/er/b.md", "# Title\n\nText.")
    put("docs/deep/c.png", b"\x89PNG")
    put("docs/.hidden/d.txt", "no")
    put("docs/.e.txt", "no")
    put("docs/empty.txt", " \n")
    intake = take("docs")
    assert counted(intake) == (2, 0, 0, 0, 1)
    assert [path.name for path in intake.skipped] == ["c.png"]
    assert intake.failed[0].why == "docs/empty.txt: is empty."
    assert ids() == ["docs/a.txt#1", "docs/deep/er/b.md#1"]
    assert counted(take(Path.cwd() / "docs", "docs/a.txt")) == (0, 0, 2, 0, 1)
    assert ids() == ["docs/a.txt#1", "docs/deep/er/b.md#1"]


def test_changed_files_are_replaced_and_removed_ones_go() -> None:
    for name in "abc":
        put(f"docs/{name}.txt", f"Text {name}.")
    put("other/d.txt", "Elsewhere.")
    take("docs", "other")
    put("docs/a.txt", "Other words.")
    Path("docs/b.txt").unlink()
    put("docs/e.txt", "New.")
    assert counted(take("docs")) == (1, 1, 1, 1, 0)
    assert {passage.id: passage.page_content for passage in Passages(LIBRARY)} == {
        "docs/a.txt#1": "Other words.",
        "docs/c.txt#1": "Text c.",
        "docs/e.txt#1": "New.",
        "other/d.txt#1": "Elsewhere.",
    }
    Path("other/d.txt").unlink()
    assert counted(take("docs")) == (0, 0, 3, 0, 0)
    assert counted(take("other/d.txt")) == (0, 0, 0, 1, 0)
    assert counted(take("other")) == (0, 0, 0, 0, 0)


def test_a_folder_that_is_gone_takes_its_files_along() -> None:
    put("docs/a.txt", "One.")
    put("docs2/a.txt", "Two.")
    take(".")
    Path("docs/a.txt").unlink()
    Path("docs").rmdir()
    assert counted(take("docs")) == (0, 0, 0, 1, 0)
    assert ids() == ["docs2/a.txt#1"]
    assert counted(take("docs")) == (0, 0, 0, 0, 1)


def test_of_a_folder_that_cannot_be_looked_into_everything_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    put("docs/a.txt", "One.")
    put("docs/deep/b.txt", "Two.")
    put("docs/deep2/c.txt", "Three.")
    take("docs")
    scan = os.scandir

    def refusing(path: str) -> Any:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    Path("docs/deep2/c.txt").unlink()
    intake = take("docs")
    assert counted(intake) == (0, 0, 1, 1, 1)
    assert intake.failed[0].why == "docs/deep: cannot be read (Permission denied)."
    assert ids() == ["docs/a.txt#1", "docs/deep/b.txt#1"]


def test_a_path_that_cannot_be_looked_at_is_told_and_the_rest_is_read() -> None:
    put("a.txt", "One.")
    intake = take("x" * 300 + ".txt", "a.txt")
    assert counted(intake) == (1, 0, 0, 0, 1)
    assert intake.failed[0].why.endswith("cannot be read (File name too long).")


def test_other_bytes_not_other_dates_make_a_change() -> None:
    path = put("a.txt", "One.")
    take("a.txt")
    os.utime(path, (1, 1))
    assert counted(take("a.txt")) == (0, 0, 1, 0, 0)
    dated = path.stat().st_mtime
    put("a.txt", "Two.")
    os.utime(path, (dated, dated))
    assert counted(take("a.txt")) == (0, 1, 0, 0, 0)


def test_other_settings_make_the_passages_anew() -> None:
    put("a.txt", "One two three. Four five six.")
    put("b.jsonl", lines_jsonl())
    take(".")
    assert len(ids()) == 3
    assert counted(take(".", words=3)) == (0, 2, 0, 0, 0)
    assert len(ids()) > 3
    assert counted(take(".", words=3, max_pages=7)) == (0, 0, 2, 0, 0)
    assert counted(take(".", words=3, columns={"text": "abstract"})) == (0, 1, 0, 0, 1)


def test_a_bad_file_is_told_and_the_rest_is_read() -> None:
    put("docs/a.txt", "One.")
    put("docs/b.pdf", b"%PDF-1.4 junk")
    put("docs/c.txt", b"a\0b")
    put("docs/d.txt", "Two.")
    intake = take("docs", "none.txt", "docs/../pic.png")
    assert counted(intake) == (2, 0, 0, 0, 4)
    assert [problem.file for problem in intake.failed] == ["none.txt", "docs/../pic.png", "docs/b.pdf", "docs/c.txt"]
    assert all(problem.why.startswith(problem.file) for problem in intake.failed)
    put("pic.png", b"\x89PNG")
    assert "has an unsupported type. Supported are: .txt, .md" in take("pic.png").failed[0].why


def test_a_file_that_breaks_keeps_what_it_held() -> None:
    put("a.pdf", pdf_bytes(["Heparin helped."]))
    take("a.pdf")
    put("a.pdf", b"%PDF-1.4 half copied")
    intake = take("a.pdf")
    assert intake.failed[0].why.endswith("Its earlier passages are kept.")
    assert ids() == ["a.pdf#1"]
    put("a.pdf", pdf_bytes(["Other."]))
    assert counted(take("a.pdf")) == (0, 1, 0, 0, 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told() -> None:
    put("docs/a.txt", "One.").chmod(0)
    put("docs/b.txt", "Two.")
    assert "Permission denied" in take("docs").failed[0].why


def test_update_files_revise_and_withdraw_citations() -> None:
    Path("pubmed").mkdir()
    first = [citation(str(n), f"Title {n}", [(None, f"First words of {n}.")]) for n in range(1, 5)]
    gzipped(Path("pubmed/pubmed25n0001.xml.gz"), pubmed_xml(first))
    take("pubmed")
    assert ids() == [f"pubmed:{n}#1" for n in range(1, 5)]
    revised = citation("2", "Title 2", [(None, "Revised words.")])
    gzipped(Path("pubmed/pubmed25n0002.xml.gz"), pubmed_xml([revised, citation("9", "New")], deleted=["3", "77"]))
    intake = take("pubmed")
    assert (counted(intake), intake.withdrawn) == ((1, 0, 1, 0, 0), 2)
    texts = {passage.id: passage.page_content for passage in Passages(LIBRARY)}
    assert set(texts) == {"pubmed:1#1", "pubmed:2#1", "pubmed:4#1", "pubmed:9#1"}
    assert texts["pubmed:2#1"] == "Title 2\n\nRevised words."
    # In whatever order the files come, the last by name counts.
    other = Path("other/documents.sqlite3")
    take("pubmed/pubmed25n0002.xml.gz", library=other)
    take("pubmed/pubmed25n0001.xml.gz", library=other)
    assert {passage.id: passage.page_content for passage in Passages(other)} == texts


def test_an_archive_is_read_member_by_member() -> None:
    def pack(**files: bytes) -> None:
        with zipfile.ZipFile("a.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name.replace("_", "."), content)

    pack(one_txt=b"One.", two_pdf=b"%PDF junk", three_png=b"x", four_txt=b"Four.", five_zip=b"PK")
    intake = take("a.zip")
    assert counted(intake) == (1, 0, 0, 0, 2)
    assert intake.failed[1].why == "a.zip: 2 files in it have an unsupported type (1 .png, 1 .zip)."
    assert ids() == ["a.zip/one.txt#1", "a.zip/four.txt#1"]
    assert [passage.metadata["source"] for passage in Passages(LIBRARY)] == ["a.zip/one.txt", "a.zip/four.txt"]
    # What could not be read is told again, although the archive is not read again.
    again = take("a.zip")
    assert (counted(again), again.failed) == ((0, 0, 1, 0, 2), intake.failed)
    pack(two_pdf=b"%PDF junk")
    assert counted(take("a.zip")) == (0, 0, 0, 0, 1)
    assert len(ids()) == 2
    pack(one_txt=b"Another one.")
    assert counted(take("a.zip")) == (0, 1, 0, 0, 0)
    assert ids() == ["a.zip/one.txt#1"]


def test_files_that_programs_keep_for_themselves_are_no_documents() -> None:
    for name in ("a.txt", "._a.txt", "~$a.docx", "Thumbs.db", "desktop.ini", ".git/b.txt", "__MACOSX/c.txt"):
        put(f"docs/{name}", "Text.")
    with zipfile.ZipFile("docs/z.zip", "w") as archive:
        for name in ("z.txt", "~$z.docx", "sub/Thumbs.db", "__MACOSX/._z.txt"):
            archive.writestr(name, "Zipped.")
    intake = take("docs")
    assert (intake.failed, intake.skipped) == ([], [])
    assert ids() == ["docs/a.txt#1", "docs/z.zip/z.txt#1"]


def test_a_files_encoding_may_be_set() -> None:
    put("docs/a.txt", "Der Rückenschmerz – ein Überblick.".encode("cp1252"))
    put("docs/b.csv", "id;text\n1;Säugling\n".encode("cp1252"))
    put("docs/c.csv", "id;text\n1;Säugling\n".encode())
    put("docs/d.txt", "Säugling".encode("utf-16"))
    refused = take("docs")
    assert counted(refused) == (2, 0, 0, 0, 2)
    assert all("documents.encoding=windows-1252" in problem.why for problem in refused.failed)
    assert counted(take("docs", encoding="windows-1252")) == (2, 2, 0, 0, 0)
    texts = {passage.id: passage.page_content for passage in Passages(LIBRARY)}
    assert texts["docs/a.txt#1"] == "Der Rückenschmerz – ein Überblick."
    assert texts["docs/b.csv/1#1"] == texts["docs/c.csv/1#1"] == texts["docs/d.txt#1"] == "Säugling"
    with pytest.raises(ValidationError, match="there is no encoding 'windows-1252x'"):
        DocumentsConfig(encoding="windows-1252x")


def test_pages_that_are_pictures_are_reported() -> None:
    put("a.pdf", pictured_pdf(["The first page has words.", "", "So has the third."], pictures=[1]))
    put("b.pdf", pdf_bytes(["The first page has words.", "", "The second is blank."]))
    first, again = take("a.pdf", "b.pdf"), take("a.pdf", "b.pdf")
    assert first.added == again.unchanged == 2
    assert first.failed == again.failed
    assert [problem.why.partition(";")[0] for problem in first.failed] == [
        "a.pdf: 1 of 3 pages have images and no text (page 2)"
    ]


def test_nothing_is_written_outside_of_the_library(tmp_path: Path) -> None:
    with zipfile.ZipFile("evil.zip", "w") as archive:
        archive.writestr("../../evil.txt", "Evil.")
        archive.writestr("/tmp/medground-evil.txt", "Evil.")
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    take("evil.zip")
    after = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert set(after) - set(before) == {tmp_path / "work" / LIBRARY}
    assert not Path("/tmp/medground-evil.txt").exists()


def test_the_folder_that_a_command_starts_in_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    put("one/notes/a.txt", "One.")
    put("two/notes/a.txt", "Two.")
    library = Path.cwd() / LIBRARY
    monkeypatch.chdir("one")
    take("notes", library=library)
    monkeypatch.chdir("../two")
    take("notes", library=library)
    monkeypatch.chdir("..")
    assert counted(take("one", "two", library=library)) == (0, 0, 2, 0, 0)
    assert ids(library) == ["notes/a.txt#1", f"{Path.cwd()}/two/notes/a.txt#1"]


def test_a_project_that_is_moved_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    put("project/notes/a.txt", "One.")
    monkeypatch.chdir("project")
    take("notes")
    monkeypatch.chdir("..")
    Path("project").rename("moved")
    monkeypatch.chdir("moved")
    assert counted(take("notes")) == (0, 0, 1, 0, 0)


def test_a_name_that_is_no_text_is_read() -> None:
    try:
        put(os.fsdecode(b"docs/caf\xe9.txt"), "One.")
    except OSError:
        pytest.skip("this file system takes only names that are text")
    assert counted(take("docs")) == (1, 0, 0, 0, 0)
    assert counted(take("docs")) == (0, 0, 1, 0, 0)
    assert ids() == ["docs/caf\\xe9.txt#1"]


def test_a_library_that_cannot_be_written_stops_everything() -> None:
    put("a.txt", "One.")
    put("store", "a file")
    with pytest.raises(LibraryError, match="store"):
        take("a.txt")


def test_a_full_disk_stops_everything_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import corpus.documents.catalogue

    put("docs/a.txt", "One.")
    take("docs")
    for number in range(20):
        put(f"docs/b{number}.txt", f"{number}. " + "Two. " * 5000)
    connect = corpus.documents.catalogue._connect

    def small(path: Path) -> sqlite3.Connection:
        database = connect(path)
        database.execute("PRAGMA max_page_count = 60")
        return database

    monkeypatch.setattr(corpus.documents.catalogue, "_connect", small)
    with pytest.raises(LibraryError, match="disk that is full"):
        take("docs")
    monkeypatch.setattr(corpus.documents.catalogue, "_connect", connect)
    assert "docs/a.txt#1" in ids()
    intake = take("docs")
    assert (intake.added + intake.unchanged, intake.failed) == (21, [])


def test_the_bar_is_shown_unless_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    put("a.txt", "One.")
    take("a.txt")
    assert capfd.readouterr() == ("", "")
    update_library(["a.txt"], LIBRARY, words_window(), DocumentsConfig())
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "1/1 files" in shown.err


def test_a_stop_keeps_the_files_that_are_done() -> None:
    for name in "abcd":
        put(f"docs/{name}.txt", f"Text {name}.")
    window = words_window()

    def stopping(texts: Sequence[str]) -> Sequence[int]:
        if "Text c." in texts:
            raise KeyboardInterrupt
        return window.count(texts)

    with pytest.raises(KeyboardInterrupt):
        update_library(["docs"], LIBRARY, Window(window.limit, stopping, window.fingerprint), DocumentsConfig(), quiet=True)
    assert ids() == ["docs/a.txt#1", "docs/b.txt#1"]
    assert counted(take("docs")) == (2, 0, 2, 0, 0)
    with sqlite3.connect(LIBRARY) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_copies_are_passed_over_until_the_original_is_gone() -> None:
    put("docs/a.txt", "One.")
    put("docs/b.txt", "One.")
    first = take("docs")
    assert (first.added, first.copies) == (1, [("docs/b.txt", "docs/a.txt")])
    Path("docs/a.txt").unlink()
    second = take("docs")
    assert second.copies == []
    assert len(ids()) == 1


def test_a_moved_store_and_a_link_to_the_folder_are_known() -> None:
    put("docs/a.txt", "One.")
    put("docs/b.txt", "Two.")
    assert take("docs").added == 2
    Path("alias").symlink_to("docs")
    assert take("alias").unchanged == 2
    Path("docs").rename("texts")
    assert take("texts").unchanged == 2
    assert len(ids()) == 2


def test_links_to_files_elsewhere_are_passed_over() -> None:
    put("docs/a.txt", "One.")
    put("secret.txt", "Two.")
    Path("docs/link.txt").symlink_to(Path("secret.txt").absolute())
    Path("docs/same.txt").symlink_to("a.txt")
    first = take("docs")
    assert (first.added, [path.name for path in first.linked]) == (1, ["link.txt"])


def test_what_is_no_file_is_refused() -> None:
    import os

    os.mkfifo("x.txt")
    (problem,) = take("x.txt").failed
    assert "no regular file" in problem.why


def test_what_is_no_file_in_a_folder_is_named_and_the_rest_is_read() -> None:
    import os

    put("docs/a.txt", "One.")
    os.mkfifo("docs/pipe.txt")
    Path("docs/device.txt").symlink_to("/dev/null")
    Path("docs/gone.txt").symlink_to("nowhere.txt")
    Path("docs/loop.txt").symlink_to("loop.txt")
    first = take("docs")
    assert first.added == 1
    said = {problem.file.rpartition("/")[2]: problem.why for problem in first.failed}
    assert set(said) == {"pipe.txt", "device.txt", "gone.txt", "loop.txt"}
    assert "no regular file" in said["pipe.txt"]
    assert "no regular file" in said["device.txt"]
    assert "does not exist" in said["gone.txt"]


def test_a_file_that_was_renamed_has_its_new_name() -> None:
    put("docs/a.txt", "One.")
    put("docs/a.txt.csv", "text\nTwo.\n")
    with zipfile.ZipFile("docs/z.zip", "w") as archive:
        archive.writestr("in/b.txt", "Three.")
    take("docs")
    Path("docs/a.txt").rename("docs/A new name.txt")
    Path("docs/z.zip").rename("docs/y.zip")
    put("docs/sub/a.txt", "Another one.")
    intake = take("docs")
    assert counted(intake) == (1, 0, 3, 0, 0)
    assert sorted(map(str, ids())) == [
        "docs/A new name.txt#1",
        "docs/a.txt.csv/1#1",
        "docs/sub/a.txt#1",
        "docs/y.zip/in/b.txt#1",
    ]
    sources = {passage.id: passage.metadata["source"] for passage in Passages(LIBRARY)}
    assert sources["docs/A new name.txt#1"] == "docs/A new name.txt"
    assert sources["docs/y.zip/in/b.txt#1"] == "docs/y.zip/in/b.txt"
    put("docs/a.txt", "The old name again.")
    take("docs")
    assert "docs/a.txt#1" in ids()


def test_a_store_that_was_moved_knows_its_files() -> None:
    put("docs/a.txt", "One.")
    put("docs/b.txt", "Two.")
    take("docs", library=Path("deep/er/store/library.sqlite3"))
    Path("deep/er/store").rename("s2")
    put("docs/b.txt", "Two, changed.")
    moved = take("docs", library=Path("s2/library.sqlite3"))
    assert (moved.unchanged, moved.changed, moved.added) == (1, 1, 0)
    assert len(ids(Path("s2/library.sqlite3"))) == 2


@pytest.mark.parametrize("name", ["in/a.jsonl", "in/a.xml", "in/a.zip", "in/a.tar"])
def test_a_sparse_file_is_refused_at_once(name: str) -> None:
    with put(name, '{"text": "Zinc helped."}\n').open("ab") as file:
        file.truncate(50_000_000_000)
    put("in/b.txt", "Falls were rare.")
    begin = time.process_time()
    intake = take("in")
    assert time.process_time() - begin < 5
    assert intake.added == 1
    assert [problem.why for problem in intake.failed] == [
        f"{name}: has a hole of more than 100,000,000 bytes, so it is no document."
    ]
