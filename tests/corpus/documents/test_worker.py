import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from common.errors import UserError
from corpus.config import DocumentsConfig
from corpus.documents.catalogue import Passages
from corpus.documents.passages import words_window
from corpus.files import UpdateReport, update_library

LIBRARY = Path("store/documents.sqlite3")
# A module with a reader that misbehaves as the file's text says.
READER_MODULE = """
import os, re, sys, time
from langchain_core.document_loaders import BaseBlobParser
from langchain_core.documents import Document

class MisbehavingParser(BaseBlobParser):
    def lazy_parse(self, blob):
        text = blob.as_string()
        print("printed")
        if text.startswith("loop"):
            re.match("(a*)*b", "a" * 100)  # does not release the interpreter lock
        if text.startswith("sleep"):
            open("sleeping", "w").write(str(os.getpid()))
            time.sleep(100)
        if text.startswith("bytes"):
            allocated = bytearray(int(text.split()[1]))
        if text.startswith("exit"):
            os._exit(3)
        if text.startswith("deep"):
            raise RecursionError("too deep\\x1b[31m")
        yield Document(page_content=f"Read by {os.getpid()}.")
"""
READERS = {".custom": "misbehaving.MisbehavingParser"}
# Code that indexes docs/ and prints the number of added files.
INDEX_SCRIPT = """
from pathlib import Path
from corpus.config import DocumentsConfig
from corpus.documents.passages import words_window
from corpus.files import update_library
config = DocumentsConfig(readers={readers})
print(update_library(["docs"], Path("store/library.sqlite3"), words_window(), config, quiet=True).added)
"""


@pytest.fixture(autouse=True)
def _working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("misbehaving.py").write_text(READER_MODULE)
    Path("docs").mkdir()


def update(*, user_reader: bool = True, **settings: Any) -> UpdateReport:
    """Index docs/.

    Without ``user_reader``, the worker reads no .custom files, and starts sooner because it does not import LangChain.
    """
    config = DocumentsConfig(readers=READERS if user_reader else {}, **settings)
    return update_library(["docs"], LIBRARY, words_window(), config, quiet=True)


def indexed_texts() -> list[str]:
    return [passage.page_content for passage in Passages(LIBRARY)]


@pytest.mark.parametrize("behaviour", ["loop", "sleep"])
def test_file_that_takes_too_long_is_reported_and_other_files_are_read(behaviour: str) -> None:
    Path("docs/a.txt").write_text("One.")
    Path("docs/b.custom").write_text(behaviour)
    Path("docs/c.txt").write_text("Three.")
    report = update(max_seconds=1)
    assert [problem.why for problem in report.failed] == [
        "docs/b.custom: takes more than documents.max_seconds (1 s) to read. Split it, or raise the setting."
    ]
    assert indexed_texts() == ["One.", "Three."]


# The reader allocates ``size`` bytes; the limit is 200 MB. 190 MB exceed it only together with the worker's own memory.
@pytest.mark.parametrize("size", [190_000_000, 3_000_000_000])
def test_file_that_takes_too_much_memory_is_reported_and_other_files_are_read(size: int) -> None:
    Path("docs/a.custom").write_text(f"bytes {size}")
    Path("docs/b.txt").write_text("Two.")
    report = update(max_memory=200_000_000)
    assert [problem.file for problem in report.failed] == ["docs/a.custom"]
    assert "takes more than documents.max_memory (200,000,000 bytes) to read" in report.failed[0].why
    assert indexed_texts() == ["Two."]
    if size < 1_000_000_000:  # a larger limit lets the file be read
        assert update(max_memory=1_000_000_000).failed == []


def test_crash_and_exception_of_a_reader_are_reported_with_the_file_name() -> None:
    Path("docs/a.custom").write_text("exit")
    Path("docs/b.custom").write_text("deep")
    Path("docs/c.txt").write_text("Three.")
    crash, exception = update().failed
    assert crash.why.startswith("docs/a.custom: crashes the program that reads it (status 3).")
    assert "RecursionError" in exception.why
    assert "\x1b" not in exception.why
    assert indexed_texts() == ["Three."]


def test_earlier_passages_of_a_crashing_file_are_kept() -> None:
    Path("docs/a.custom").write_text("fine")
    update()
    before = indexed_texts()
    Path("docs/a.custom").write_text("exit")
    assert update().failed[0].why.endswith("Its earlier passages are kept.")
    assert indexed_texts() == before


def test_other_members_of_an_archive_are_read_after_a_crash() -> None:
    with zipfile.ZipFile("docs/a.zip", "w") as archive:
        for name, text in (("1.txt", "One."), ("2.custom", "exit"), ("3.txt", "Three."), ("4.custom", "exit")):
            archive.writestr(name, text)
    report = update()
    assert [problem.file for problem in report.failed] == ["docs/a.zip/2.custom", "docs/a.zip/4.custom"]
    assert indexed_texts() == ["One.", "Three."]


def test_archive_is_skipped_after_three_crashes() -> None:
    with zipfile.ZipFile("docs/a.zip", "w") as archive:
        archive.writestr("0.txt", "One.")
        for number in range(1, 9):
            archive.writestr(f"{number}.custom", "exit")
    Path("docs/b.txt").write_text("Two.")
    report = update()
    assert len(report.failed) == 4  # three members and the archive
    assert "Unpack it" in report.failed[-1].why
    assert indexed_texts() == ["One.", "Two."]


def test_one_worker_process_reads_all_files_and_then_ends() -> None:
    for name in "abc":
        Path(f"docs/{name}.custom").write_text(f"fine {name}")
    update()
    assert len(set(indexed_texts())) == 1
    pid = int(indexed_texts()[0].removeprefix("Read by ").removesuffix("."))
    assert pid != os.getpid()
    assert not psutil.pid_exists(pid)


def test_no_worker_process_starts_if_no_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("docs/a.txt").write_text("One.")
    update(user_reader=False)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert update(user_reader=False).unchanged == 1


def test_worker_process_that_cannot_start_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Path("docs/a.txt").write_text("One.")
    interpreter = tmp_path / "python"
    interpreter.write_text("#!/bin/sh\nexit 1\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    with pytest.raises(UserError, match="cannot be started"):
        update(user_reader=False)


def test_module_in_the_current_folder_is_not_imported() -> None:
    """A folder of documents may have files that shadow the modules of the worker."""
    Path("docs/a.txt").write_text("One.")
    Path("pickle.py").write_text("raise SystemExit(9)")
    Path("corpus.py").write_text("raise SystemExit(9)")
    process = subprocess.run(
        [sys.executable, "-P", "-c", INDEX_SCRIPT.format(readers={})], capture_output=True, text=True, check=False
    )
    assert (process.stdout, process.stderr) == ("1\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_worker_process_ends_with_its_parent() -> None:
    Path("docs/a.custom").write_text("sleep")
    parent = subprocess.Popen([sys.executable, "-c", INDEX_SCRIPT.format(readers=READERS)])
    pid_file = Path("sleeping")
    for _ in range(600):
        if pid_file.exists() and pid_file.read_text():
            break
        time.sleep(0.1)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    pid = int(pid_file.read_text())
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    pytest.fail("the process has not ended")


def test_long_title_and_heading_are_shortened_in_metadata() -> None:
    page = f"<title>{'t ' * 100_000}</title><h1>{'head ' * 50_000}</h1><p>{'word ' * 5_000}"
    Path("docs/a.html").write_text(page)
    update(user_reader=False)
    passages = list(Passages(LIBRARY))
    assert sum(passage.page_content.count("head") for passage in passages) == 50_000
    assert max(len(str(passage.metadata)) for passage in passages) < 5_000
