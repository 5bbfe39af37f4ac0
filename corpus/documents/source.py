"""Sources, which are files or members of archives: names, formats, and bytes within the limits of the settings."""

import codecs
import gzip
import lzma
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BufferedReader, RawIOBase, TextIOWrapper
from pathlib import Path, PurePath
from typing import IO, Any, Literal

from common.encoding import encoding_of
from common.errors import DataError
from corpus.config import DocumentsConfig

Format = Literal["text", "markdown", "html", "pdf", "docx", "pubmed", "nbib", "csv", "jsonl"]

SUFFIXES: dict[str, Format] = {
    ".txt": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".xml": "pubmed",
    ".nbib": "nbib",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
}
# Files of other formats are read record by record.
_WHOLE_FILE_FORMATS: tuple[Format, ...] = ("text", "markdown", "html", "pdf", "docx")
# Files that often have a wrong suffix: first bytes, description, and right suffix.
_SIGNATURES = (
    (b"%PDF-", "a PDF file", ".pdf"),
    (b"PK\x03\x04", "a zip file, as .docx files are", ".docx or .zip"),
    (b"\x1f\x8b", "compressed by gzip", ".gz"),
    (b"\xd0\xcf\x11\xe0", "an old Office file", ".docx after saving it as one"),
)
# Characters that control a terminal or the direction of text.
_CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
CHUNK_BYTES = 1 << 16
BUFFER_BYTES = 1 << 13  # may be read beyond a record's end; small compared with the least documents.max_bytes
_MAX_SUFFIXES = 20  # suffixes that a message lists
_SET_ENCODING = (
    "Name its encoding, such as --set documents.encoding=windows-1252 for Windows in western Europe, or save it as "
    "UTF-8."
)


@dataclass(frozen=True, slots=True)
class Source:
    """A file or a member of an archive, with its name for messages and ids.

    ``open`` returns the bytes; those of a ``.gz`` file are still compressed.
    """

    name: str
    open: Callable[[], IO[bytes]]


def escaped_name(name: str) -> str:
    """A file's name for messages and ids, with undecodable bytes, control characters and direction marks escaped.

    Different names stay different; ``unescaped_name`` is the inverse.
    """
    text = name.replace("\\", "\\\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return escaped(text)


def escaped(text: str) -> str:
    """The text with control characters and direction marks escaped."""
    return _CONTROL_CHARACTERS.sub(
        lambda sign: f"\\x{ord(sign[0]):02x}" if sign[0] < "\x80" else f"\\u{ord(sign[0]):04x}", text
    )


def unescaped_name(name: str) -> str:
    """The name that ``escaped_name`` escaped."""

    def character(match: re.Match[str]) -> str:
        if match[1] is None:
            return "\\"
        code = int(match[1][1:], 16)
        return chr(0xDC00 + code) if match[1][0] == "x" and code >= 0x80 else chr(code)

    return re.sub(r"\\(?:\\|(x[0-9a-f]{2}|u[0-9a-f]{4}))", character, name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden or belongs to a program or the system."""
    return name.startswith((".", "~$", "__MACOSX")) or name.lower() in ("thumbs.db", "desktop.ini")


def suffix_counts(names: Iterable[str]) -> str:
    """The suffixes of files with their counts, the most frequent first, for a message."""
    counts = Counter(PurePath(name).suffix.lower() or PurePath(name).name for name in names)
    listed = ", ".join(f"{count} {escaped(suffix)}" for suffix, count in counts.most_common(_MAX_SUFFIXES))
    return listed + (", ..." if len(counts) > _MAX_SUFFIXES else "")


def format_of(name: str) -> Format | None:
    """The format by a file's name, with or without ``.gz``; None for an unsupported type."""
    lower = name.lower().removesuffix(".gz")
    return next((format for suffix, format in SUFFIXES.items() if lower.endswith(suffix)), None)


class LimitedStream(RawIOBase):
    """A stream that raises ``DataError`` if it is damaged, or if it is read beyond ``limit`` bytes.

    The bytes are counted from the start, or from the last call of ``reset_limit``.
    """

    def __init__(self, raw: IO[bytes], name: str, limit: int) -> None:
        self._raw = raw
        self._name = name
        self._limit = limit
        self._count = 0  # bytes since the limit was reset

    def readable(self) -> bool:
        """True."""
        return True

    def reset_limit(self) -> None:
        """Count the bytes from 0 again, at the end of a record."""
        self._count = 0

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with the next bytes, and return their number."""
        try:
            chunk = self._raw.read(min(len(buffer), self._limit - self._count + 1))
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, tarfile.TarError):
            raise DataError(self._name, "is damaged: it cannot be unpacked to its end.") from None
        except OSError as error:
            raise DataError(self._name, f"cannot be read ({error.strerror or error}).") from None
        self._count += len(chunk)
        if self._count > self._limit:
            raise DataError(self._name, _too_large(self._limit))
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        """Close the underlying stream."""
        self._raw.close()
        super().close()


def check_size(path: Path, name: str, config: DocumentsConfig) -> None:
    """Raise ``DataError`` if a file that is read as a whole is too large."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(name, f"cannot be read ({error.strerror}).") from None
    if size > config.max_bytes and format_of(name) in _WHOLE_FILE_FORMATS and not name.lower().endswith(".gz"):
        raise DataError(name, _too_large(config.max_bytes))


def _too_large(limit: int) -> str:
    return f"is, or holds a record, larger than documents.max_bytes ({limit:,} bytes). Split it, or raise the setting."


def open_limited(source: Source, config: DocumentsConfig) -> LimitedStream:
    """The source's bytes, decompressed."""
    try:
        raw = source.open()
    except OSError as error:
        raise DataError(source.name, f"cannot be read ({error.strerror}).") from None
    if source.name.lower().endswith(".gz"):
        raw = gzip.GzipFile(fileobj=raw)  # type: ignore[assignment]
    return LimitedStream(raw, source.name, config.max_bytes)


def read_bytes(source: Source, config: DocumentsConfig) -> bytes:
    """All bytes of the source, decompressed."""
    with open_limited(source, config) as stream:
        raw = stream.read()
    if not raw.strip():
        raise DataError(source.name, "is empty.")
    return raw


def read_text(source: Source, config: DocumentsConfig) -> str:
    """The source's text, from UTF-8, UTF-16 with a byte order mark, or ``config.encoding``; line ends stay."""
    raw = read_bytes(source, config)
    try:
        text = _decoded(raw, config)
    except UnicodeDecodeError as error:
        problem = f"is not {config.encoding or 'UTF-8'} text: byte {raw[error.start]:#04x} at offset {error.start}."
        raise DataError(source.name, f"{problem} {format_advice(raw) or _SET_ENCODING}") from None
    if not text.strip():
        raise DataError(source.name, "is empty.")
    if (nul := text.find("\0")) >= 0:
        problem = f"is not a text file: it has a NUL character at offset {nul}."
        raise DataError(source.name, f"{problem} If it is UTF-16: iconv -f UTF-16LE -t UTF-8 OLD > NEW.")
    if advice := format_advice(raw):
        raise DataError(source.name, f"is not a text file. {advice}")
    return text


def _decoded(raw: bytes, config: DocumentsConfig) -> str:
    try:
        return raw.decode(encoding_of(raw))
    except UnicodeDecodeError:
        if config.encoding is None or format_advice(raw):
            raise
    return raw.decode(config.encoding)


def text_lines(source: Source, stream: LimitedStream, newline: str | None, config: DocumentsConfig) -> Iterator[str]:
    """The lines of a stream of records, decoded as by ``read_text``; for ``newline`` see ``io.TextIOWrapper``."""
    buffered = BufferedReader(stream, BUFFER_BYTES)
    encoding = encoding_of(buffered.peek())
    if config.encoding is not None and encoding != "utf-16" and not _is_utf8(source, config):
        encoding = config.encoding
    try:
        yield from TextIOWrapper(buffered, encoding=encoding, newline=newline)
    except UnicodeDecodeError:
        raise DataError(source.name, f"is not {config.encoding or 'UTF-8'} text. {_SET_ENCODING}") from None


def _is_utf8(source: Source, config: DocumentsConfig) -> bool:
    with open_limited(source, config) as stream:
        try:
            for _ in codecs.iterdecode(iter(lambda: stream.read(CHUNK_BYTES), b""), "utf-8"):
                stream.reset_limit()
        except UnicodeDecodeError:
            return False
    return True


def format_advice(raw: bytes) -> str | None:
    """Advice on the right suffix if a file's first bytes show a format with another suffix; else None."""
    for signature, description, suffix in _SIGNATURES:
        if raw.startswith(signature):
            return f"It seems to be {description}: name it {suffix}."
    return None
