"""Documents of each format, mutated: none ends the run or takes too much, and each loss is reported by name."""

import io
import random
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from known_sentences import WRITERS, as_docx, as_pubmed, random_groups, sentences

from corpus.config import DocumentsConfig
from corpus.documents.catalogue import Passages
from corpus.documents.passages import words_window
from corpus.files import update_library

SECONDS = 20
MEGABYTES = 500

Writer = Callable[..., tuple[str, bytes]]


def as_nbib(chance: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    text = "\n\n".join(f"PMID- {chance.randrange(10**8)}\nTI  - {' '.join(group)}\nAB  - Zinc." for group in groups)
    return "a.nbib", text.encode()


def as_docx_inside(chance: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    """A whole archive of mutated XML; of a mutated archive little can be read."""
    name, raw = as_docx(chance, groups)
    return name, repacked(raw, lambda part: mutated(chance, part) if chance.random() < 0.3 else part)


def as_zip(chance: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number, group in enumerate(groups):
            archive.writestr(f"{number}/a.txt", " ".join(group))
    return "a.zip", made.getvalue()


def as_tar(chance: random.Random, groups: list[list[str]]) -> tuple[str, bytes]:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=chance.choice(("w", "w:gz"))) as archive:  # type: ignore[call-overload]
        for number, group in enumerate(groups):
            member = tarfile.TarInfo(f"{number}/a.txt")
            member.size = len(text := " ".join(group).encode())
            archive.addfile(member, io.BytesIO(text))
    return "a.tar", made.getvalue()


def repacked(raw: bytes, change: Callable[[bytes], bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            new.writestr(member.filename, change(old.read(member)))
    return made.getvalue()


ALL = (*WRITERS, as_nbib, as_docx_inside, as_zip, as_tar)
RECORDS = (as_pubmed, as_nbib)
ARCHIVES = (as_zip, as_tar)
PIECES = (
    b"\0",
    b"<",
    b">",
    b"&#x0;",
    b"<div>" * 300,
    b"\xff\xfe",
    b"<!--",
    b"]]>",
    b'"',
    b"\n\n",
    b"(" * 500,
    b"99999999999",
)


def mutated(chance: random.Random, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(chance.choice((1, 2, 5, 30))):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del changed[at : at + chance.choice((1, 10, 500))]
            case 2:
                changed[at:at] = chance.choice(PIECES)
            case 3:
                end = at + chance.randrange(200)
                changed[at:at] = changed[at:end] * chance.choice((1, 3, 100))
            case 4:
                other = chance.randrange(len(changed) + 1)
                changed[at : at + 50] = changed[other : other + 50]
            case _ if chance.random() < 0.2:
                del changed[at:]
        if not changed:
            return b""
    return bytes(changed)


def fuzz(writer: Writer, count: int, folder: Path) -> None:
    chance = random.Random(f"fuzz {writer.__name__}")
    (folder / "in").mkdir()
    for number in range(count):
        name, raw = writer(chance, random_groups(chance, sentences(chance, 12)))
        changed = raw if writer is as_docx_inside else mutated(chance, raw)
        (folder / "in" / f"{number:03}{Path(name).suffix}").write_bytes(changed)
    (folder / "in" / "zzz.txt").write_text("Corvinol lowers uric acid.")
    library = folder / "store" / "library.sqlite3"
    limits = DocumentsConfig(max_seconds=SECONDS, max_memory=MEGABYTES * 1_000_000)
    intake = update_library([folder / "in"], library, words_window(), limits, quiet=True)
    passages = list(Passages(library))
    lost = {problem.file for problem in intake.failed} | {copy for copy, _ in intake.copies}
    found = {passage.metadata["source"] for passage in passages}
    files = {str(file) for file in (folder / "in").iterdir()}
    assert len(files - lost) <= intake.added <= len(files)  # a file may lose some pages or records, and not the others
    if writer not in (*RECORDS, *ARCHIVES):  # a citation may be in several files, and be read as of one
        assert files - lost <= found <= files
        assert len(found) == intake.added
    assert all(problem.why.startswith(problem.file) for problem in intake.failed), intake.failed
    # A mutation of some characters needs nothing near the limits.
    stopped = ("documents.max_seconds", "documents.max_memory", "crashes the program")
    assert not [problem for problem in intake.failed if any(limit in problem.why for limit in stopped)]
    assert any("uric acid" in passage.page_content for passage in passages)


@pytest.mark.parametrize("writer", ALL, ids=lambda writer: writer.__name__[3:])
def test_a_few_mutated_files(writer: Writer, tmp_path: Path) -> None:
    fuzz(writer, 20, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("writer", ALL, ids=lambda writer: writer.__name__[3:])
def test_many_mutated_files(writer: Writer, tmp_path: Path) -> None:
    fuzz(writer, 500, tmp_path)
