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
from corpus.documents.catalogue import Library, LibraryError, Passages
from corpus.documents.extract import Withdrawn
from corpus.documents.passages import Window, words_window
from corpus.files import UpdateReport, update_library

LIBRARY = Path("store/documents.sqlite3")


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


def write(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def update(*paths: str | Path, library: Path = LIBRARY, words: int = 200, **settings: Any) -> UpdateReport:
    return update_library(list(paths), library, words_window(words), DocumentsConfig(**settings), quiet=True)


def nonzero_counts(report: UpdateReport) -> dict[str, int]:
    """The counts of the report that are not 0, with the number of failures as "failed"."""
    found = {name: getattr(report, name) for name in ("added", "changed", "unchanged", "removed")}
    return {name: count for name, count in {**found, "failed": len(report.failed)}.items() if count}


def passage_ids(library: Path = LIBRARY) -> list[str | None]:
    return [passage.id for passage in Passages(library)]


def test_folder_is_indexed_recursively_with_stable_ids() -> None:
    write("docs/a.txt", "One.\n\nTwo.")
    write("docs/deep/er/b.md", "# Title\n\nText.")
    write("docs/deep/c.png", b"\x89PNG")
    write("docs/.hidden/d.txt", "no")
    write("docs/.e.txt", "no")
    write("docs/empty.txt", " \n")
    report = update("docs")
    assert nonzero_counts(report) == {"added": 2, "failed": 1}
    assert [path.name for path in report.skipped] == ["c.png"]
    assert report.failed[0].why == "docs/empty.txt: is empty."
    assert passage_ids() == ["docs/a.txt#1", "docs/deep/er/b.md#1"]
    assert nonzero_counts(update(Path.cwd() / "docs", "docs/a.txt")) == {"unchanged": 2, "failed": 1}
    assert passage_ids() == ["docs/a.txt#1", "docs/deep/er/b.md#1"]


def test_changed_files_are_replaced_and_missing_files_removed() -> None:
    for name in "abc":
        write(f"docs/{name}.txt", f"Text {name}.")
    write("other/d.txt", "Elsewhere.")
    update("docs", "other")
    write("docs/a.txt", "Other words.")
    Path("docs/b.txt").unlink()
    write("docs/e.txt", "New.")
    assert nonzero_counts(update("docs")) == {"added": 1, "changed": 1, "unchanged": 1, "removed": 1}
    assert {passage.id: passage.page_content for passage in Passages(LIBRARY)} == {
        "docs/a.txt#1": "Other words.",
        "docs/c.txt#1": "Text c.",
        "docs/e.txt#1": "New.",
        "other/d.txt#1": "Elsewhere.",
    }
    Path("other/d.txt").unlink()
    assert nonzero_counts(update("docs")) == {"unchanged": 3}
    assert nonzero_counts(update("other/d.txt")) == {"removed": 1}
    assert nonzero_counts(update("other")) == {}


def test_files_of_a_missing_folder_are_removed() -> None:
    write("docs/a.txt", "One.")
    write("docs2/a.txt", "Two.")
    update(".")
    Path("docs/a.txt").unlink()
    Path("docs").rmdir()
    assert nonzero_counts(update("docs")) == {"removed": 1}
    assert passage_ids() == ["docs2/a.txt#1"]
    assert nonzero_counts(update("docs")) == {"failed": 1}


def test_files_of_an_unreadable_folder_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    write("docs/a.txt", "One.")
    write("docs/deep/b.txt", "Two.")
    write("docs/deep2/c.txt", "Three.")
    update("docs")
    scan = os.scandir

    def refuse_deep(path: str) -> Any:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse_deep)
    Path("docs/deep2/c.txt").unlink()
    report = update("docs")
    assert nonzero_counts(report) == {"unchanged": 1, "removed": 1, "failed": 1}
    assert report.failed[0].why == "docs/deep: cannot be read (Permission denied)."
    assert passage_ids() == ["docs/a.txt#1", "docs/deep/b.txt#1"]


def test_files_below_a_path_without_access_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    write("docs/a.txt", "One.")
    update("docs")
    stat = os.stat

    def refuse_docs(path: Any, **options: Any) -> os.stat_result:
        if str(path).endswith("docs"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse_docs)
        for name in ("exists", "is_dir", "is_file"):  # the functions of os.path, which Python 3.14 calls here
            patch.setattr(Path, name, getattr(os.path, name.replace("_", "")))
        assert [problem.why for problem in update("docs").failed] == ["docs: cannot be read (Permission denied)."]
    assert passage_ids() == ["docs/a.txt#1"]


def test_1000_known_files_are_compared_with_2000_paths_within_5_seconds() -> None:
    with Library(LIBRARY) as library:
        for number in range(1000):
            library.replace(f"../old/{number}.txt", f"{number}.txt", "", "", [("", [Withdrawn(str(number))])])
    start = time.process_time()
    report = update(*(f"none/{number}.txt" for number in range(2000)))
    assert time.process_time() - start < 5  # comparing each file with each path would take longer
    assert nonzero_counts(report) == {"failed": 2000}


def test_invalid_path_is_reported_and_other_paths_are_read() -> None:
    write("a.txt", "One.")
    report = update("x" * 300 + ".txt", "a.txt")
    assert nonzero_counts(report) == {"added": 1, "failed": 1}
    assert report.failed[0].why.endswith("cannot be read (File name too long).")


def test_file_counts_as_changed_if_its_bytes_change_but_not_if_only_its_date_changes() -> None:
    path = write("a.txt", "One.")
    update("a.txt")
    os.utime(path, (1, 1))
    assert nonzero_counts(update("a.txt")) == {"unchanged": 1}
    modified = path.stat().st_mtime
    write("a.txt", "Two.")
    os.utime(path, (modified, modified))
    assert nonzero_counts(update("a.txt")) == {"changed": 1}


def test_change_of_a_setting_counts_only_if_the_setting_determines_the_passages() -> None:
    write("a.txt", "One two three. Four five six.")
    write("b.jsonl", lines_jsonl())
    update(".")
    assert len(passage_ids()) == 3
    assert nonzero_counts(update(".", words=3)) == {"changed": 2}
    assert len(passage_ids()) > 3
    assert nonzero_counts(update(".", words=3, max_pages=7)) == {"unchanged": 2}
    assert nonzero_counts(update(".", words=3, columns={"text": "abstract"})) == {"changed": 1, "failed": 1}


def test_archive_with_a_file_beyond_a_limit_is_read_again_after_the_limit_is_raised() -> None:
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("small.txt", "Zinc helps.")
        archive.writestr("large.txt", "Heparin prevents clots. " * 5000)
    assert nonzero_counts(update("a.zip", max_bytes=100_000)) == {"added": 1, "failed": 1}
    assert nonzero_counts(update("a.zip", max_bytes=100_000)) == {"unchanged": 1, "failed": 1}
    assert nonzero_counts(update("a.zip")) == {"changed": 1}
    assert nonzero_counts(update("a.zip", max_bytes=1_000_000)) == {"unchanged": 1}
    assert "a.zip/large.txt#1" in passage_ids()


def test_unreadable_files_are_reported_and_other_files_read() -> None:
    write("docs/a.txt", "One.")
    write("docs/b.pdf", b"%PDF-1.4 junk")
    write("docs/c.txt", b"a\0b")
    write("docs/d.txt", "Two.")
    report = update("docs", "none.txt", "docs/../pic.png")
    assert nonzero_counts(report) == {"added": 2, "failed": 4}
    assert [problem.file for problem in report.failed] == ["none.txt", "docs/../pic.png", "docs/b.pdf", "docs/c.txt"]
    assert all(problem.why.startswith(problem.file) for problem in report.failed)
    write("pic.png", b"\x89PNG")
    assert "has an unsupported type. Supported are: .txt, .md" in update("pic.png").failed[0].why


def test_passages_of_a_file_that_becomes_damaged_are_kept() -> None:
    write("a.pdf", pdf_bytes(["Heparin helped."]))
    update("a.pdf")
    write("a.pdf", b"%PDF-1.4 half copied")
    report = update("a.pdf")
    assert report.failed[0].why.endswith("Its earlier passages are kept.")
    assert passage_ids() == ["a.pdf#1"]
    write("a.pdf", pdf_bytes(["Other."]))
    assert nonzero_counts(update("a.pdf")) == {"changed": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_read_permission_is_reported() -> None:
    write("docs/a.txt", "One.").chmod(0)
    write("docs/b.txt", "Two.")
    assert "Permission denied" in update("docs").failed[0].why


def test_pubmed_update_files_revise_and_withdraw_citations() -> None:
    Path("pubmed").mkdir()
    first = [citation(str(n), f"Title {n}", [(None, f"First words of {n}.")]) for n in range(1, 5)]
    gzipped(Path("pubmed/pubmed25n0001.xml.gz"), pubmed_xml(first))
    update("pubmed")
    assert passage_ids() == [f"pubmed:{n}#1" for n in range(1, 5)]
    revised = citation("2", "Title 2", [(None, "Revised words.")])
    gzipped(Path("pubmed/pubmed25n0002.xml.gz"), pubmed_xml([revised, citation("9", "New")], deleted=["3", "77"]))
    report = update("pubmed")
    assert (nonzero_counts(report), report.withdrawn) == ({"added": 1, "unchanged": 1}, 2)
    texts = {passage.id: passage.page_content for passage in Passages(LIBRARY)}
    assert set(texts) == {"pubmed:1#1", "pubmed:2#1", "pubmed:4#1", "pubmed:9#1"}
    assert texts["pubmed:2#1"] == "Title 2\n\nRevised words."
    # The order of reading does not matter: the file whose name sorts last counts.
    other = Path("other/documents.sqlite3")
    update("pubmed/pubmed25n0002.xml.gz", library=other)
    update("pubmed/pubmed25n0001.xml.gz", library=other)
    assert {passage.id: passage.page_content for passage in Passages(other)} == texts


def test_members_of_an_archive_are_indexed_and_failures_reported() -> None:
    def pack(files: dict[str, bytes]) -> None:
        with zipfile.ZipFile("a.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)

    pack({"one.txt": b"One.", "two.pdf": b"%PDF junk", "three.png": b"x", "four.txt": b"Four.", "five.zip": b"PK"})
    report = update("a.zip")
    assert nonzero_counts(report) == {"added": 1, "failed": 2}
    assert report.failed[1].why == "a.zip: 2 files in it have an unsupported type (1 .png, 1 .zip)."
    assert passage_ids() == ["a.zip/one.txt#1", "a.zip/four.txt#1"]
    assert [passage.metadata["source"] for passage in Passages(LIBRARY)] == ["a.zip/one.txt", "a.zip/four.txt"]
    # The failures are reported again, although the archive is not read again.
    second = update("a.zip")
    assert (nonzero_counts(second), second.failed) == ({"unchanged": 1, "failed": 2}, report.failed)
    pack({"two.pdf": b"%PDF junk"})
    assert nonzero_counts(update("a.zip")) == {"failed": 1}
    assert len(passage_ids()) == 2
    pack({"one.txt": b"Changed."})
    assert nonzero_counts(update("a.zip")) == {"changed": 1}
    assert passage_ids() == ["a.zip/one.txt#1"]


def test_hidden_and_system_files_are_skipped() -> None:
    for name in ("a.txt", "._a.txt", "~$a.docx", "Thumbs.db", "desktop.ini", ".git/b.txt", "__MACOSX/c.txt"):
        write(f"docs/{name}", "Text.")
    with zipfile.ZipFile("docs/z.zip", "w") as archive:
        for name in ("z.txt", "~$z.docx", "sub/Thumbs.db", "__MACOSX/._z.txt"):
            archive.writestr(name, "Zipped.")
    report = update("docs")
    assert (report.failed, report.skipped) == ([], [])
    assert passage_ids() == ["docs/a.txt#1", "docs/z.zip/z.txt#1"]


def test_encoding_setting_applies_to_files_that_are_not_unicode() -> None:
    write("docs/a.txt", "Der Rückenschmerz – ein Überblick.".encode("cp1252"))
    write("docs/b.csv", "id;text\n1;Säugling\n".encode("cp1252"))
    write("docs/c.csv", "id;text\n1;Säugling\n".encode())
    write("docs/d.txt", "Säugling".encode("utf-16"))
    report = update("docs")
    assert nonzero_counts(report) == {"added": 2, "failed": 2}
    assert all("documents.encoding=windows-1252" in problem.why for problem in report.failed)
    assert nonzero_counts(update("docs", encoding="windows-1252")) == {"added": 2, "changed": 2}
    texts = {passage.id: passage.page_content for passage in Passages(LIBRARY)}
    assert texts["docs/a.txt#1"] == "Der Rückenschmerz – ein Überblick."
    assert texts["docs/b.csv/1#1"] == texts["docs/c.csv/1#1"] == texts["docs/d.txt#1"] == "Säugling"
    with pytest.raises(ValidationError, match="there is no encoding 'windows-1252x'"):
        DocumentsConfig(encoding="windows-1252x")


def test_pages_with_images_only_are_reported_at_every_update() -> None:
    write("a.pdf", pictured_pdf(["The first page has words.", "", "So has the third."], pictures=[1]))
    write("b.pdf", pdf_bytes(["The first page has words.", "", "The second is blank."]))
    first, second = update("a.pdf", "b.pdf"), update("a.pdf", "b.pdf")
    assert first.added == second.unchanged == 2
    assert first.failed == second.failed
    assert [problem.why.partition(";")[0] for problem in first.failed] == [
        "a.pdf: 1 of 3 pages have images and no text (page 2)"
    ]


def test_archive_members_are_not_written_to_the_disk(tmp_path: Path) -> None:
    with zipfile.ZipFile("evil.zip", "w") as archive:
        archive.writestr("../../evil.txt", "Evil.")
        archive.writestr("/tmp/medground-evil.txt", "Evil.")
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    update("evil.zip")
    after = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert set(after) - set(before) == {tmp_path / "work" / LIBRARY}
    assert not Path("/tmp/medground-evil.txt").exists()


def test_files_are_unchanged_from_another_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    write("one/notes/a.txt", "One.")
    write("two/notes/a.txt", "Two.")
    library = Path.cwd() / LIBRARY
    monkeypatch.chdir("one")
    update("notes", library=library)
    monkeypatch.chdir("../two")
    update("notes", library=library)
    monkeypatch.chdir("..")
    assert nonzero_counts(update("one", "two", library=library)) == {"unchanged": 2}
    assert passage_ids(library) == ["notes/a.txt#1", f"{Path.cwd()}/two/notes/a.txt#1"]


def test_files_moved_together_with_the_store_are_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    write("project/notes/a.txt", "One.")
    monkeypatch.chdir("project")
    update("notes")
    monkeypatch.chdir("..")
    Path("project").rename("moved")
    monkeypatch.chdir("moved")
    assert nonzero_counts(update("notes")) == {"unchanged": 1}


def test_file_name_that_is_not_utf8_is_escaped() -> None:
    try:
        write(os.fsdecode(b"docs/caf\xe9.txt"), "One.")
    except OSError:
        pytest.skip("this file system requires UTF-8 names")
    assert nonzero_counts(update("docs")) == {"added": 1}
    assert nonzero_counts(update("docs")) == {"unchanged": 1}
    assert passage_ids() == ["docs/caf\\xe9.txt#1"]


def test_unwritable_library_is_an_error() -> None:
    write("a.txt", "One.")
    write("store", "a file")
    with pytest.raises(LibraryError, match="store"):
        update("a.txt")


def test_full_disk_is_an_error_and_keeps_indexed_files(monkeypatch: pytest.MonkeyPatch) -> None:
    import corpus.documents.catalogue

    write("docs/a.txt", "One.")
    update("docs")
    for number in range(20):
        write(f"docs/b{number}.txt", f"{number}. " + "Two. " * 5000)
    connect = corpus.documents.catalogue._connect

    def connect_with_size_limit(path: Path) -> sqlite3.Connection:
        database = connect(path)
        database.execute("PRAGMA max_page_count = 60")
        return database

    monkeypatch.setattr(corpus.documents.catalogue, "_connect", connect_with_size_limit)
    with pytest.raises(LibraryError, match="disk that is full"):
        update("docs")
    monkeypatch.setattr(corpus.documents.catalogue, "_connect", connect)
    assert "docs/a.txt#1" in passage_ids()
    report = update("docs")
    assert (report.added + report.unchanged, report.failed) == (21, [])


def test_progress_bar_is_shown_unless_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    write("a.txt", "One.")
    update("a.txt")
    assert capfd.readouterr() == ("", "")
    update_library(["a.txt"], LIBRARY, words_window(), DocumentsConfig())
    output = capfd.readouterr()
    assert output.out == ""
    assert "1/1 files" in output.err


def test_interrupted_update_keeps_finished_files() -> None:
    for name in "abcd":
        write(f"docs/{name}.txt", f"Text {name}.")
    window = words_window()

    def count_until_text_c(texts: Sequence[str]) -> Sequence[int]:
        if "Text c." in texts:
            raise KeyboardInterrupt
        return window.count(texts)

    interrupting = Window(window.limit, count_until_text_c, window.fingerprint)
    with pytest.raises(KeyboardInterrupt):
        update_library(["docs"], LIBRARY, interrupting, DocumentsConfig(), quiet=True)
    assert passage_ids() == ["docs/a.txt#1", "docs/b.txt#1"]
    assert nonzero_counts(update("docs")) == {"added": 2, "unchanged": 2}
    with sqlite3.connect(LIBRARY) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_copy_is_skipped_until_the_original_is_removed() -> None:
    write("docs/a.txt", "One.")
    write("docs/b.txt", "One.")
    first = update("docs")
    assert (first.added, first.copies) == (1, [("docs/b.txt", "docs/a.txt")])
    Path("docs/a.txt").unlink()
    second = update("docs")
    assert second.copies == []
    assert len(passage_ids()) == 1


def test_files_of_linked_or_renamed_folder_are_unchanged() -> None:
    write("docs/a.txt", "One.")
    write("docs/b.txt", "Two.")
    assert update("docs").added == 2
    Path("alias").symlink_to("docs")
    assert update("alias").unchanged == 2
    Path("docs").rename("texts")
    assert update("texts").unchanged == 2
    assert len(passage_ids()) == 2


def test_links_to_files_outside_the_folder_are_skipped() -> None:
    write("docs/a.txt", "One.")
    write("secret.txt", "Two.")
    Path("docs/link.txt").symlink_to(Path("secret.txt").absolute())
    Path("docs/same.txt").symlink_to("a.txt")
    first = update("docs")
    assert (first.added, [path.name for path in first.linked]) == (1, ["link.txt"])


def test_pipe_device_and_broken_links_are_reported_and_other_files_read() -> None:
    write("docs/a.txt", "One.")
    os.mkfifo("docs/pipe.txt")
    os.mkfifo("single.txt")
    Path("docs/device.txt").symlink_to("/dev/null")
    Path("docs/gone.txt").symlink_to("nowhere.txt")
    Path("docs/loop.txt").symlink_to("loop.txt")
    report = update("docs")
    assert report.added == 1
    problems = {problem.file.rpartition("/")[2]: problem.why for problem in report.failed}
    assert set(problems) == {"pipe.txt", "device.txt", "gone.txt", "loop.txt"}
    assert "no regular file" in problems["pipe.txt"]
    assert "no regular file" in problems["device.txt"]
    assert "does not exist" in problems["gone.txt"]
    assert "no regular file" in update("single.txt").failed[0].why


def test_renamed_file_gets_its_new_name_and_is_not_read_again() -> None:
    write("docs/a.txt", "One.")
    write("docs/a.txt.csv", "text\nTwo.\n")
    with zipfile.ZipFile("docs/z.zip", "w") as archive:
        archive.writestr("in/b.txt", "Three.")
    update("docs")
    Path("docs/a.txt").rename("docs/A new name.txt")
    Path("docs/z.zip").rename("docs/y.zip")
    write("docs/sub/a.txt", "Another one.")
    report = update("docs")
    assert nonzero_counts(report) == {"added": 1, "unchanged": 3}
    assert sorted(map(str, passage_ids())) == [
        "docs/A new name.txt#1",
        "docs/a.txt.csv/1#1",
        "docs/sub/a.txt#1",
        "docs/y.zip/in/b.txt#1",
    ]
    sources = {passage.id: passage.metadata["source"] for passage in Passages(LIBRARY)}
    assert sources["docs/A new name.txt#1"] == "docs/A new name.txt"
    assert sources["docs/y.zip/in/b.txt#1"] == "docs/y.zip/in/b.txt"
    write("docs/a.txt", "The old name again.")
    update("docs")
    assert "docs/a.txt#1" in passage_ids()


def test_file_renamed_to_another_type_is_read_again() -> None:
    write("docs/a.txt", "id,text\n7,Zinc helps.\n")
    write("docs/b.txt", "Other.")
    update("docs")
    Path("docs/a.txt").rename("docs/a.csv")
    Path("docs/b.txt").rename("docs/B.TXT")
    assert nonzero_counts(update("docs")) == {"added": 1, "unchanged": 1, "removed": 1}
    assert [passage.page_content for passage in Passages(LIBRARY)] == ["Other.", "Zinc helps."]
    assert passage_ids() == ["docs/B.TXT#1", "docs/a.csv/7#1"]


def test_files_are_recognized_after_the_store_moved() -> None:
    write("docs/a.txt", "One.")
    write("docs/b.txt", "Two.")
    update("docs", library=Path("deep/er/store/library.sqlite3"))
    Path("deep/er/store").rename("s2")
    write("docs/b.txt", "Two, changed.")
    moved = update("docs", library=Path("s2/library.sqlite3"))
    assert (moved.unchanged, moved.changed, moved.added) == (1, 1, 0)
    assert len(passage_ids(Path("s2/library.sqlite3"))) == 2


@pytest.mark.parametrize("name", ["in/a.jsonl", "in/a.xml", "in/a.zip", "in/a.tar"])
def test_sparse_file_is_rejected_quickly(name: str) -> None:
    with write(name, '{"text": "Zinc helped."}\n').open("ab") as file:
        file.truncate(50_000_000_000)
    write("in/b.txt", "Falls were rare.")
    start = time.process_time()
    report = update("in")
    assert time.process_time() - start < 5
    assert report.added == 1
    assert [problem.why for problem in report.failed] == [
        f"{name}: has a hole of more than 100,000,000 bytes, so it is no document."
    ]
