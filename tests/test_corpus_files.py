"""corpus/files.py: the user's documents become passages with stable ids."""

from pathlib import Path

import pytest

from corpus.errors import DataError, UserError
from corpus.files import PASSAGE_WORDS, read_documents, split_passages
from corpus.sentences import word_spans


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def put(name: str, text: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_folder_is_read_to_its_depth_with_stable_ids() -> None:
    put("docs/a.txt", "One.\n\nTwo.")
    put("docs/deep/er/b.md", "# Title\n\nText.")
    put("docs/deep/c.pdf", b"%PDF")
    put("docs/.hidden/d.txt", "no")
    put("docs/empty.txt", " \n")
    reading = read_documents(["docs"])
    assert [passage.id for passage in reading.passages] == ["docs/a.txt#1", "docs/deep/er/b.md#1"]
    assert sorted(path.name for path in reading.skipped) == ["c.pdf", "empty.txt"]
    again = read_documents([Path.cwd() / "docs", "docs/a.txt"])
    assert again.passages == reading.passages


def test_a_passage_is_a_verbatim_slice_of_its_file() -> None:
    text = "".join(f"Paragraph {n} says that drug {n} was given. It helped.\n\n" for n in range(200))
    put("a.txt", text)
    passages = read_documents(["a.txt"]).passages
    assert len(passages) > 5
    for passage in passages:
        start = passage.metadata["start"]
        assert text[start : start + len(passage.page_content)] == passage.page_content
        assert passage.page_content.startswith("Paragraph")
        assert passage.page_content.endswith("helped.")


@pytest.mark.parametrize(
    "text",
    [
        "word " * 1000,
        "Six words are in this sentence. " * 300,
        "x" * 30_000,
        "文字。" * 1000,
        "a\n" * 2000,
        "a\n\n" * 999,
    ],
    ids=["no full stop", "one paragraph", "no space", "unspaced script", "lines", "paragraphs"],
)
def test_no_passage_is_longer_than_the_limit_and_nothing_is_lost(text: str) -> None:
    spans = split_passages(text)
    assert all(len(word_spans(text, *span)) <= PASSAGE_WORDS for span in spans)
    covered = "".join(text[start:end] for start, end in spans)
    assert "".join(covered.split()) == "".join(text.split())


def test_errors_name_the_file() -> None:
    put("latin.txt", "caf\u00e9".encode("latin-1"))
    put("empty.txt", "")
    put("nul.txt", b"a\0b")
    put("scan.pdf", b"%PDF")
    Path("bare").mkdir()
    cases = {
        "none.txt": "no such file or folder",
        "latin.txt": "offset 3",
        "empty.txt": "is empty",
        "nul.txt": "NUL character at offset 1",
        "scan.pdf": "pdftotext",
        "bare": "nothing to read",
    }
    for name, told in cases.items():
        with pytest.raises((DataError, UserError), match=told) as caught:
            read_documents([name])
        assert name in str(caught.value)
