"""Documents of each format, mutated: none ends the run or takes too much, and each loss is reported by name."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from known_sentences import WRITERS, as_pubmed, grouped, sentences

from corpus.config import DocumentsConfig
from corpus.documents.catalogue import Passages
from corpus.documents.passages import words_window
from corpus.files import take_in

SECONDS = 20
MEGABYTES = 500
RECORDS = (as_pubmed,)
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


def fuzz(writer: Callable[..., tuple[str, bytes]], count: int, folder: Path) -> None:
    chance = random.Random(f"fuzz {writer.__name__}")
    chance.folder = folder  # type: ignore[attr-defined]
    (folder / "in").mkdir()
    for number in range(count):
        name, raw = writer(chance, grouped(chance, sentences(chance, 12)))
        (folder / "in" / f"{number:03}{Path(name).suffix}").write_bytes(mutated(chance, raw))
    (folder / "in" / "zzz.txt").write_text("Corvinol lowers uric acid.")
    library = folder / "store" / "library.sqlite3"
    limits = DocumentsConfig(max_seconds=SECONDS, max_memory=MEGABYTES * 1_000_000)
    intake = take_in([folder / "in"], library, words_window(), limits, quiet=True)
    passages = list(Passages(library))
    lost = {problem.file for problem in intake.failed} | {copy for copy, _ in intake.copies}
    found = {passage.metadata["source"] for passage in passages}
    read = {str(file) for file in (folder / "in").iterdir()} - lost
    if writer not in RECORDS:  # a citation may be in several files, and be read as of one
        assert found == read
    assert len(read) == intake.added
    assert all(problem.why.startswith(problem.file) for problem in intake.failed), intake.failed
    # A mutation of some characters needs nothing near the limits.
    stopped = ("documents.max_seconds", "documents.max_memory", "ends the program")
    assert not [problem for problem in intake.failed if any(limit in problem.why for limit in stopped)]
    assert any("uric acid" in passage.page_content for passage in passages)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__[3:])
def test_a_few_mutated_files(writer: Callable[..., tuple[str, bytes]], tmp_path: Path) -> None:
    fuzz(writer, 20, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__[3:])
def test_many_mutated_files(writer: Callable[..., tuple[str, bytes]], tmp_path: Path) -> None:
    fuzz(writer, 500, tmp_path)
