"""corpus/documents/worker.py: readers that loop, take all memory, crash or print stop no other file."""

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
MODULE = """
import os, re, sys, time
from langchain_core.document_loaders import BaseBlobParser
from langchain_core.documents import Document

class Acting(BaseBlobParser):
    def lazy_parse(self, blob):
        text = blob.as_string()
        print("printed")
        if text.startswith("loop"):
            re.match("(a*)*b", "a" * 100)  # holds the interpreter's lock
        if text.startswith("sleep"):
            open("sleeping", "w").write(str(os.getpid()))
            time.sleep(100)
        if text.startswith("bytes"):
            held = bytearray(int(text.split()[1]))
        if text.startswith("exit"):
            os._exit(3)
        if text.startswith("deep"):
            raise RecursionError("too deep\\x1b[31m")
        yield Document(page_content=f"Read by {os.getpid()}.")
"""


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("acting.py").write_text(MODULE)
    Path("docs").mkdir()


def take(*, acting: bool = True, **settings: Any) -> UpdateReport:
    """Index the folder; ``acting`` has the process import LangChain and a reader that misbehaves."""
    config = DocumentsConfig(readers={".act": "acting.Acting"} if acting else {}, **settings)
    return update_library(["docs"], LIBRARY, words_window(), config, quiet=True)


def texts() -> list[str]:
    return [passage.page_content for passage in Passages(LIBRARY)]


@pytest.mark.parametrize("act", ["loop", "sleep"])
def test_a_file_that_takes_too_long_is_stopped_and_the_others_are_read(act: str) -> None:
    Path("docs/a.txt").write_text("One.")
    Path("docs/b.act").write_text(act)
    Path("docs/c.txt").write_text("Three.")
    intake = take(max_seconds=1)
    assert [problem.why for problem in intake.failed] == [
        "docs/b.act: takes more than documents.max_seconds (1 s) to read. Split it, or raise the setting."
    ]
    assert texts() == ["One.", "Three."]


@pytest.mark.parametrize("size", [190_000_000, 3_000_000_000])
def test_a_file_that_takes_too_much_memory_is_stopped(size: int) -> None:
    Path("docs/a.act").write_text(f"bytes {size}")
    Path("docs/b.txt").write_text("Two.")
    intake = take(max_memory=200_000_000)
    assert [problem.file for problem in intake.failed] == ["docs/a.act"]
    assert "takes more than documents.max_memory (200,000,000 bytes) to read" in intake.failed[0].why
    assert texts() == ["Two."]
    if size < 1_000_000_000:
        assert take(max_memory=1_000_000_000).failed == []


def test_a_reader_that_crashes_is_reported_by_the_files_name() -> None:
    Path("docs/a.act").write_text("exit")
    Path("docs/b.act").write_text("deep")
    Path("docs/c.txt").write_text("Three.")
    crash, deep = take().failed
    assert crash.why.startswith("docs/a.act: crashes the program that reads it (status 3).")
    assert "RecursionError" in deep.why
    assert "\x1b" not in deep.why
    assert texts() == ["Three."]


def test_what_was_indexed_before_is_kept() -> None:
    Path("docs/a.act").write_text("fine")
    take()
    before = texts()
    Path("docs/a.act").write_text("exit")
    assert take().failed[0].why.endswith("Its earlier passages are kept.")
    assert texts() == before


def test_the_other_members_of_an_archive_are_read() -> None:
    with zipfile.ZipFile("docs/a.zip", "w") as archive:
        for name, text in (("1.txt", "One."), ("2.act", "exit"), ("3.txt", "Three."), ("4.act", "exit")):
            archive.writestr(name, text)
    intake = take()
    assert [problem.file for problem in intake.failed] == ["docs/a.zip/2.act", "docs/a.zip/4.act"]
    assert texts() == ["One.", "Three."]


def test_an_archive_of_bad_files_is_given_up() -> None:
    with zipfile.ZipFile("docs/a.zip", "w") as archive:
        archive.writestr("0.txt", "One.")
        for number in range(1, 9):
            archive.writestr(f"{number}.act", "exit")
    Path("docs/b.txt").write_text("Two.")
    intake = take()
    assert len(intake.failed) == 4
    assert "Unpack it" in intake.failed[-1].why
    assert texts() == ["One.", "Two."]


def test_one_process_reads_all_files_and_ends() -> None:
    for name in "abc":
        Path(f"docs/{name}.act").write_text(f"fine {name}")
    take()
    assert len(set(texts())) == 1
    pid = int(texts()[0].removeprefix("Read by ").removesuffix("."))
    assert pid != os.getpid()
    assert not psutil.pid_exists(pid)


def test_nothing_is_started_where_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("docs/a.txt").write_text("One.")
    take(acting=False)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert take(acting=False).unchanged == 1


def test_an_interpreter_that_cannot_start_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Path("docs/a.txt").write_text("One.")
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(UserError, match="cannot be started"):
        take(acting=False)


def test_a_module_of_the_current_folder_is_not_run(tmp_path: Path) -> None:
    """Python imports from the current folder before all else; a folder of documents may hold anything."""
    Path("docs/a.txt").write_text("One.")
    Path("pickle.py").write_text("raise SystemExit(9)")
    Path("corpus.py").write_text("raise SystemExit(9)")
    script = (
        "from pathlib import Path\nfrom corpus.files import update_library\nfrom corpus.config import DocumentsConfig\n"
        "from corpus.documents.passages import words_window\n"
        "print(update_library(['docs'], Path('s/l.sqlite3'), words_window(), DocumentsConfig(), quiet=True).added)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    Path("docs/a.act").write_text("sleep")
    script = (
        "from pathlib import Path\nfrom corpus.files import update_library\nfrom corpus.config import DocumentsConfig\n"
        "from corpus.documents.passages import words_window\n"
        "config = DocumentsConfig(readers={'.act': 'acting.Acting'})\n"
        "update_library(['docs'], Path('s/l.sqlite3'), words_window(), config, quiet=True)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    sleeping = Path("sleeping")
    for _ in range(600):
        if sleeping.exists() and sleeping.read_text():
            break
        time.sleep(0.1)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    pid = int(sleeping.read_text())
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    pytest.fail("the process goes on")


def test_a_long_title_and_heading_are_shortened_in_each_passage() -> None:
    page = f"<title>{'t ' * 100_000}</title><h1>{'head ' * 50_000}</h1><p>{'word ' * 5_000}"
    Path("docs/a.html").write_text(page)
    take(acting=False)
    passages = list(Passages(LIBRARY))
    assert sum(passage.page_content.count("head") for passage in passages) == 50_000
    assert max(len(str(passage.metadata)) for passage in passages) < 5_000
