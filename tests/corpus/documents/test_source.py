import gzip
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO

import pytest

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.source import Source, format_of, open_limited, read_bytes, read_text

SMALL = DocumentsConfig(max_bytes=100_000)


def source_of(raw: bytes, name: str = "a.txt") -> Source:
    return Source(name, lambda: BytesIO(raw))


@pytest.mark.parametrize(
    ("name", "format"),
    [
        *(("a.txt", "text"), ("A.PDF", "pdf"), ("x/pubmed25n0001.xml.gz", "pubmed"), ("notes.md.gz", "markdown")),
        *(("a.htm", "html"), ("a.tsv", "csv"), ("a.doc", None), ("txt", None), ("a.gz", None), ("a.json", None)),
    ],
)
def test_format_is_determined_by_suffix(name: str, format: str | None) -> None:
    assert format_of(name) == format


def test_file_of_max_bytes_is_read_and_one_more_byte_is_an_error() -> None:
    assert len(read_bytes(source_of(b"x" * 100_000), SMALL)) == 100_000
    with pytest.raises(DataError, match=r"a\.txt: is, or holds a record, larger than documents\.max_bytes \(100,000"):
        read_bytes(source_of(b"x" * 100_001), SMALL)


def test_max_bytes_applies_to_decompressed_bytes() -> None:
    packed = gzip.compress(b" " * 50_000_000)
    assert len(packed) < 100_000
    with pytest.raises(DataError, match="larger"):
        read_bytes(source_of(packed, "a.txt.gz"), SMALL)
    assert read_text(source_of(gzip.compress(b"one"), "a.txt.gz"), SMALL) == "one"


def test_large_limit_allocates_no_more_than_the_file() -> None:
    class RecordingStream(BytesIO):
        max_read = 0

        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert size >= 0
            RecordingStream.max_read = max(RecordingStream.max_read, size)
            return super().read(size)

    large = Source("a.txt", lambda: RecordingStream(b"x" * 200_000))
    assert len(read_bytes(large, DocumentsConfig(max_bytes=10**30))) == 200_000
    assert RecordingStream.max_read < 200_000


def test_limit_of_a_stream_applies_between_resets() -> None:
    with open_limited(source_of(b"x" * 250_000), SMALL) as stream:
        for _ in range(5):
            assert len(stream.read(50_000)) == 50_000
            stream.reset_limit()
        assert stream.read(1) == b""
    with open_limited(source_of(b"x" * 250_000), SMALL) as stream:
        stream.read(60_000)
        with pytest.raises(DataError, match="larger"):
            stream.read(60_000)


def test_utf8_and_utf16_with_byte_order_mark_are_read() -> None:
    for codec in ("utf-8-sig", "utf-16"):
        assert read_text(source_of("na\u00efve\r\n".encode(codec)), SMALL) == "na\u00efve\r\n"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"ab\xffc", r"byte 0xff at offset 2\. Name its encoding, such as --set documents\.encoding=windows-1252"),
        (b"ab\0c", "NUL character at offset 2"),
        ("ab".encode("utf-16-le"), r"NUL character at offset 1\. If it is UTF-16: iconv -f UTF-16LE"),
        ("abc".encode("utf-16")[:-1], "is not UTF-8 text"),
        (b"  \n", "is empty"),
        ("\ufeff".encode(), "is empty"),
        ("\u00a0\u2003\n".encode(), "is empty"),
        (b"%PDF-1.4 x", r"It seems to be a PDF file: name it \.pdf"),
        (b"PK\x03\x04\xff", "a zip file"),
        (b"\x1f\x8b\x08", r"compressed by gzip: name it \.gz"),
    ],
)
def test_invalid_text_is_an_error(raw: bytes, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_text(source_of(raw), SMALL)


def test_file_that_cannot_be_opened_or_read_is_an_error(tmp_path: Path) -> None:
    class FailingStream(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    openers: dict[str, Callable[[], IO[bytes]]] = {
        "No such file": lambda: (tmp_path / "none").open("rb"),
        "Is a directory": lambda: tmp_path.open("rb"),
        "Input/output error": FailingStream,
    }
    for reason, open_stream in openers.items():
        with pytest.raises(DataError, match=rf"a\.txt: cannot be read \({reason}"):
            read_bytes(Source("a.txt", open_stream), SMALL)
