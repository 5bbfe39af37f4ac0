"""Indexing of mutated documents: it finishes within the limits and reports each file that is not read."""

import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from known_sentences import WRITERS, as_docx, as_pubmed, random_paragraphs, sentences

from corpus.config import DocumentsConfig
from corpus.documents.catalogue import Passages
from corpus.documents.passages import words_window
from corpus.files import update_library

MAX_SECONDS = 20
MAX_MEGABYTES = 500

Writer = Callable[..., tuple[str, bytes]]


def as_nbib(rng: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    text = "\n\n".join(f"PMID- {rng.randrange(10**8)}\nTI  - {' '.join(group)}\nAB  - Zinc." for group in groups)
    return "a.nbib", text.encode()


def as_docx_inside(rng: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    """A valid archive of mutated parts, since little can be read of a mutated archive."""
    name, raw = as_docx(rng, groups)
    return name, repacked(raw, lambda part: mutated(rng, part) if rng.random() < 0.3 else part)


def as_zip(rng: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as archive:
        for number, group in enumerate(groups):
            archive.writestr(f"{number}/a.txt", " ".join(group))
    return "a.zip", result.getvalue()


def as_tar(rng: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    result = io.BytesIO()
    with tarfile.open(fileobj=result, mode=rng.choice(("w", "w:gz"))) as archive:  # type: ignore[call-overload]
        for number, group in enumerate(groups):
            member = tarfile.TarInfo(f"{number}/a.txt")
            member.size = len(text := " ".join(group).encode())
            archive.addfile(member, io.BytesIO(text))
    return "a.tar", result.getvalue()


def repacked(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The zip archive with ``change`` applied to the content of each member."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, change(old.read(member)))
    return result.getvalue()


ALL_WRITERS = (*WRITERS, as_nbib, as_docx_inside, as_zip, as_tar)
RECORD_WRITERS = (as_pubmed, as_nbib)
ARCHIVE_WRITERS = (as_zip, as_tar)
# Bytes that parsers may mishandle.
INSERTIONS = (
    *(b"\0", b"<", b">", b"&#x0;", b"<div>" * 300, b"\xff\xfe", b"<!--", b"]]>", b'"', b"\n\n", b"(" * 500),
    b"99999999999",
)


def mutated(rng: random.Random, raw: bytes) -> bytes:
    """The bytes with random bytes changed, deleted, inserted, repeated, overwritten or cut off."""
    changed = bytearray(raw)
    for _ in range(rng.choice((1, 2, 5, 30))):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del changed[at : at + rng.choice((1, 10, 500))]
            case 2:
                changed[at:at] = rng.choice(INSERTIONS)
            case 3:
                end = at + rng.randrange(200)
                changed[at:at] = changed[at:end] * rng.choice((1, 3, 100))
            case 4:
                other = rng.randrange(len(changed) + 1)
                changed[at : at + 50] = changed[other : other + 50]
            case _ if rng.random() < 0.2:
                del changed[at:]
        if not changed:
            return b""
    return bytes(changed)


def check_mutated_files(writer: Writer, count: int, folder: Path) -> None:
    rng = random.Random(f"fuzz {writer.__name__}")
    (folder / "in").mkdir()
    for number in range(count):
        name, raw = writer(rng, random_paragraphs(rng, sentences(rng, 12)))
        changed = raw if writer is as_docx_inside else mutated(rng, raw)
        (folder / "in" / f"{number:03}{Path(name).suffix}").write_bytes(changed)
    (folder / "in" / "zzz.txt").write_text("Corvinol lowers uric acid.")
    library = folder / "store" / "library.sqlite3"
    limits = DocumentsConfig(max_seconds=MAX_SECONDS, max_memory=MAX_MEGABYTES * 1_000_000)
    report = update_library([folder / "in"], library, words_window(), limits, quiet=True)
    passages = list(Passages(library))
    not_read = {problem.file for problem in report.failed} | {copy for copy, _ in report.copies}
    found = {passage.metadata["source"] for passage in passages}
    files = {str(file) for file in (folder / "in").iterdir()}
    assert len(files - not_read) <= report.added <= len(files)  # some pages or records of a file may be lost
    if writer not in (*RECORD_WRITERS, *ARCHIVE_WRITERS):  # a file's citations may be in another file too
        assert files - not_read <= found <= files
        assert len(found) == report.added
    assert all(problem.why.startswith(problem.file) for problem in report.failed), report.failed
    # Mutated files need little more time and memory than valid ones.
    limit_messages = ("documents.max_seconds", "documents.max_memory", "crashes the program")
    assert not [problem for problem in report.failed if any(message in problem.why for message in limit_messages)]
    assert any("uric acid" in passage.page_content for passage in passages)


by_format = pytest.mark.parametrize("writer", ALL_WRITERS, ids=lambda writer: writer.__name__.removeprefix("as_"))


@by_format
def test_20_mutated_files_are_indexed_or_reported(writer: Writer, tmp_path: Path) -> None:
    check_mutated_files(writer, 20, tmp_path)


@pytest.mark.slow
@by_format
def test_500_mutated_files_are_indexed_or_reported(writer: Writer, tmp_path: Path) -> None:
    check_mutated_files(writer, 500, tmp_path)
