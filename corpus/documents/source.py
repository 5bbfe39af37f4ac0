"""A file to read, or a member of an archive: name, format, and bytes within the limits."""

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
from io import BufferedIOBase, TextIOWrapper
from pathlib import Path, PurePath
from typing import IO, Literal, get_args

from common.encoding import encoding_of
from common.errors import DataError
from corpus.config import DocumentsConfig

Format = Literal["text", "markdown", "html", "pdf", "docx", "pubmed", "nbib", "csv", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)

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
_WHOLE: tuple[Format, ...] = ("text", "markdown", "html", "pdf", "docx")  # formats that are not read record by record
# First bytes of files that often have a wrong suffix.
_SIGNATURES = (
    (b"%PDF-", "a PDF file", ".pdf"),
    (b"PK\x03\x04", "a zip file, as .docx files are", ".docx or .zip"),
    (b"\x1f\x8b", "compressed by gzip", ".gz"),
    (b"\xd0\xcf\x11\xe0", "an old Office file", ".docx after saving it as one"),
)
# Characters that control a terminal or the direction of text.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
PIECE = 1 << 16
_KINDS = 20  # maximum number of suffixes in a message
_SET_ENCODING = (
    "Name its encoding, such as --set documents.encoding=windows-1252 for Windows in western Europe, or save it as "
    "UTF-8."
)


@dataclass(frozen=True, slots=True)
class Source:
    """A file or member: ``name`` for messages and ids, ``open`` for its stored bytes."""

    name: str
    open: Callable[[], IO[bytes]]


def shown_name(name: str) -> str:
    """A file's name as text for messages and ids, different for each name.

    Undecodable bytes, control characters and direction marks are escaped.
    """
    text = name.replace("\\", "\\\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return escaped(text)


def escaped(text: str) -> str:
    """The text with control characters and direction marks escaped."""
    return _STEERING.sub(lambda sign: f"\\x{ord(sign[0]):02x}" if sign[0] < "\x80" else f"\\u{ord(sign[0]):04x}", text)


def named(shown: str) -> str:
    """The inverse of ``shown_name``."""

    def sign(match: re.Match[str]) -> str:
        if match[1] is None:
            return "\\"
        code = int(match[1][1:], 16)
        return chr(0xDC00 + code) if match[1][0] == "x" and code >= 0x80 else chr(code)

    return re.sub(r"\\(?:\\|(x[0-9a-f]{2}|u[0-9a-f]{4}))", sign, shown)


def is_hidden(name: str) -> bool:
    """Whether files and folders of this name belong to a program or the system."""
    return name.startswith((".", "~$", "__MACOSX")) or name.lower() in ("thumbs.db", "desktop.ini")


def listed_kinds(names: Iterable[str]) -> str:
    """The suffixes of files with their counts, the most frequent first, for a message."""
    kinds = Counter(PurePath(name).suffix.lower() or PurePath(name).name for name in names)
    listed = ", ".join(f"{count} {escaped(kind)}" for kind, count in kinds.most_common(_KINDS))
    return listed + (", ..." if len(kinds) > _KINDS else "")


def format_of(name: str) -> Format | None:
    """The format by a file's name, with or without ``.gz``; None for an unsupported type."""
    low = name.lower().removesuffix(".gz")
    return next((found for suffix, found in SUFFIXES.items() if low.endswith(suffix)), None)


class Limited(BufferedIOBase):
    """A stream limited to ``limit`` unpacked bytes between calls of ``reset_limit``, such as those of one record."""

    def __init__(self, raw: IO[bytes], name: str, limit: int) -> None:
        self._raw = raw
        self._name = name
        self._limit = limit
        self._given = 0
        self._ahead = b""

    def readable(self) -> bool:
        """True."""
        return True

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer at the end of the file; ``read`` returns them again."""
        ahead = b""
        while len(ahead) < size and (piece := self.read(size - len(ahead))):
            ahead += piece
        self._ahead = ahead
        return ahead

    def reset_limit(self) -> None:
        """Count the bytes from 0 again, at the end of a record."""
        self._given = 0

    def read(self, size: int | None = -1) -> bytes:
        """At most ``size`` bytes; all remaining bytes for None or a negative number."""
        if size is None or size < 0:  # in pieces, so that the limit applies before all bytes are in memory
            return b"".join(iter(lambda: self.read(PIECE), b""))
        if self._ahead:
            piece, self._ahead = self._ahead[:size], self._ahead[size:]
            return piece
        try:
            piece = self._raw.read(min(size, self._limit - self._given + 1))
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, tarfile.TarError):
            raise DataError(self._name, "is damaged: it cannot be unpacked to its end.") from None
        except OSError as error:
            raise DataError(self._name, f"cannot be read ({error.strerror or error}).") from None
        self._given += len(piece)
        if self._given > self._limit:
            raise DataError(self._name, too_large(self._limit))
        return piece

    def read1(self, size: int = -1) -> bytes:
        """``read``, for ``TextIOWrapper``."""
        return self.read(PIECE if size < 0 else size)

    def close(self) -> None:
        """Close the file below."""
        self._raw.close()
        super().close()


def check_size(path: Path, name: str, config: DocumentsConfig) -> None:
    """Check the size of a file whose format is not read record by record."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(name, f"cannot be read ({error.strerror}).") from None
    if size > config.max_bytes and format_of(name) in _WHOLE and not name.lower().endswith(".gz"):
        raise DataError(name, too_large(config.max_bytes))


def too_large(limit: int) -> str:
    """The message about a file larger than ``documents.max_bytes``."""
    return f"is, or holds a record, larger than documents.max_bytes ({limit:,} bytes). Split it, or raise the setting."


def open_limited(source: Source, config: DocumentsConfig) -> Limited:
    """The source's unpacked bytes."""
    try:
        raw = source.open()
    except OSError as error:
        raise DataError(source.name, f"cannot be read ({error.strerror}).") from None
    if source.name.lower().endswith(".gz"):
        raw = gzip.GzipFile(fileobj=raw)  # type: ignore[assignment]
    return Limited(raw, source.name, config.max_bytes)


def read_bytes(source: Source, config: DocumentsConfig) -> bytes:
    """The source's unpacked bytes as a whole."""
    with open_limited(source, config) as stream:
        raw = stream.read()
    if not raw.strip():
        raise DataError(source.name, "is empty.")
    return raw


def read_text(source: Source, config: DocumentsConfig) -> str:
    """The source as text, with its own line ends: UTF-8, UTF-16 with a byte order mark, or ``config.encoding``."""
    raw = read_bytes(source, config)
    try:
        text = _decoded(raw, config)
    except UnicodeDecodeError as error:
        problem = f"is not {config.encoding or 'UTF-8'} text: byte {raw[error.start]:#04x} at offset {error.start}."
        raise DataError(source.name, f"{problem} {hint(raw) or _SET_ENCODING}") from None
    if not text.strip():
        raise DataError(source.name, "is empty.")
    if (nul := text.find("\0")) >= 0:
        problem = f"is not a text file: it has a NUL character at offset {nul}."
        raise DataError(source.name, f"{problem} If it is UTF-16: iconv -f UTF-16LE -t UTF-8 OLD > NEW.")
    if advice := hint(raw):
        raise DataError(source.name, f"is not a text file. {advice}")
    return text


def _decoded(raw: bytes, config: DocumentsConfig) -> str:
    try:
        return raw.decode(encoding_of(raw))
    except UnicodeDecodeError:
        if config.encoding is None or hint(raw):
            raise
    return raw.decode(config.encoding)


def text_lines(source: Source, stream: Limited, newline: str | None, config: DocumentsConfig) -> Iterator[str]:
    """The lines of a stream of records, decoded as by ``read_text``; ``newline`` is that of ``open``."""
    encoding = encoding_of(stream.peek(2))
    if config.encoding is not None and encoding != "utf-16" and not _is_utf8(source, config):
        encoding = config.encoding
    try:
        yield from TextIOWrapper(stream, encoding=encoding, newline=newline)  # type: ignore[type-var]
    except UnicodeDecodeError:
        raise DataError(source.name, f"is not {config.encoding or 'UTF-8'} text. {_SET_ENCODING}") from None


def _is_utf8(source: Source, config: DocumentsConfig) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with open_limited(source, config) as stream:
        try:
            while piece := stream.read(PIECE):
                stream.reset_limit()
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def hint(raw: bytes) -> str | None:
    """A message on a file's real format and the right suffix, by its first bytes; None for unknown ones."""
    for signature, what, suffix in _SIGNATURES:
        if raw.startswith(signature):
            return f"It seems to be {what}: name it {suffix}."
    return None
