"""A file to read, or a member of an archive: its name, its format, and its bytes within the limits."""

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
_WHOLE: tuple[Format, ...] = ("text", "markdown", "html", "pdf", "docx")  # formats that are read at once
# How files of other kinds begin that are given a wrong name now and then.
_SIGNATURES = (
    (b"%PDF-", "a PDF file", ".pdf"),
    (b"PK\x03\x04", "a zip file, as .docx files are", ".docx or .zip"),
    (b"\x1f\x8b", "compressed by gzip", ".gz"),
    (b"\xd0\xcf\x11\xe0", "an old Office file", ".docx after saving it as one"),
)
# What steers a terminal or the order of the characters about it.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
PIECE = 1 << 16
_KINDS = 20  # endings that a message lists
_SET_ENCODING = (
    "Name its encoding, such as --set documents.encoding=windows-1252 for Windows in western Europe, or save it as "
    "UTF-8."
)


@dataclass(frozen=True, slots=True)
class Source:
    """What is read: ``name`` is for messages and ids, ``open`` gives its bytes as they are stored."""

    name: str
    open: Callable[[], IO[bytes]]


def shown_name(name: str) -> str:
    """A file's name as text for messages and ids, another one for every name.

    Bytes that are no text, control characters and those that change the direction of writing are written out.
    """
    text = name.replace("\\", "\\\\").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return escaped(text)


def escaped(text: str) -> str:
    """The text with what steers a terminal written out."""
    return _STEERING.sub(lambda sign: f"\\x{ord(sign[0]):02x}" if sign[0] < "\x80" else f"\\u{ord(sign[0]):04x}", text)


def named(shown: str) -> str:
    """The name that ``shown_name`` shows so."""

    def sign(match: re.Match[str]) -> str:
        if match[1] is None:
            return "\\"
        code = int(match[1][1:], 16)
        return chr(0xDC00 + code) if match[1][0] == "x" and code >= 0x80 else chr(code)

    return re.sub(r"\\(?:\\|(x[0-9a-f]{2}|u[0-9a-f]{4}))", sign, shown)


def is_hidden(name: str) -> bool:
    """Whether a program or the system keeps a file or folder of this name for itself."""
    return name.startswith((".", "~$", "__MACOSX")) or name.lower() in ("thumbs.db", "desktop.ini")


def listed_kinds(names: Iterable[str]) -> str:
    """The endings of files with their counts, the most frequent first, as part of a message."""
    kinds = Counter(PurePath(name).suffix.lower() or PurePath(name).name for name in names)
    listed = ", ".join(f"{count} {escaped(kind)}" for kind, count in kinds.most_common(_KINDS))
    return listed + (", ..." if len(kinds) > _KINDS else "")


def format_of(name: str) -> Format | None:
    """The format that a file's name promises, ``.gz`` after it or not; None for a kind that is not read."""
    low = name.lower().removesuffix(".gz")
    return next((found for suffix, found in SUFFIXES.items() if low.endswith(suffix)), None)


class Limited(BufferedIOBase):
    """A stream that refuses to give more than ``limit`` bytes between two calls of ``restart``.

    It is what holds for unpacked bytes, whatever the packed ones promise, and for one record of a stream of records.

    Raises (when read):
        DataError: the limit is passed, or the file cannot be read or unpacked.
    """

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
        """The next ``size`` bytes, fewer where there are no more; they are still to be read."""
        ahead = b""
        while len(ahead) < size and (piece := self.read(size - len(ahead))):
            ahead += piece
        self._ahead = ahead
        return ahead

    def restart(self) -> None:
        """Begin to count anew: a record is done."""
        self._given = 0

    def read(self, size: int | None = -1) -> bytes:
        """At most ``size`` bytes; all that is left where none or a negative number is given."""
        if size is None or size < 0:  # in pieces: to be given the limit's bytes at once they would have to be there
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
        """The same for who takes what is there."""
        return self.read(PIECE if size < 0 else size)

    def close(self) -> None:
        """Close the file below."""
        self._raw.close()
        super().close()


def check_size(path: Path, name: str, config: DocumentsConfig) -> None:
    """Refuse a file that is larger than ``config.max_bytes`` and of a format that is read whole.

    Raises:
        DataError: it is too large, or cannot be looked at.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(name, f"cannot be read ({error.strerror}).") from None
    if size > config.max_bytes and format_of(name) in _WHOLE and not name.lower().endswith(".gz"):
        raise DataError(name, too_large(config.max_bytes))


def too_large(limit: int) -> str:
    """The sentence about a file larger than ``documents.max_bytes``."""
    problem = f"is, or holds a record, larger than documents.max_bytes ({limit:,} bytes)."
    return f"{problem} Split it, or raise the setting."


def open_limited(source: Source, config: DocumentsConfig) -> Limited:
    """The source's unpacked bytes.

    Raises:
        DataError: it cannot be opened.
    """
    try:
        raw = source.open()
    except OSError as error:
        raise DataError(source.name, f"cannot be read ({error.strerror}).") from None
    if source.name.lower().endswith(".gz"):
        raw = gzip.GzipFile(fileobj=raw)  # type: ignore[assignment]
    return Limited(raw, source.name, config.max_bytes)


def read_bytes(source: Source, config: DocumentsConfig) -> bytes:
    """All of it, unpacked.

    Raises:
        DataError: it cannot be read, is empty, or is larger than ``config.max_bytes``.
    """
    with open_limited(source, config) as stream:
        raw = stream.read()
    if not raw.strip():
        raise DataError(source.name, "is empty.")
    return raw


def read_text(source: Source, config: DocumentsConfig) -> str:
    """All of it as text, line ends as they are.

    It is UTF-8, a byte order mark allowed, UTF-16 with one, or else in ``config.encoding``.

    Raises:
        DataError: as ``read_bytes``, or it is not text.
    """
    raw = read_bytes(source, config)
    try:
        text = _decoded(raw, config)
    except UnicodeDecodeError as error:
        problem = f"is not {config.encoding or 'UTF-8'} text: byte {raw[error.start]:#04x} at offset {error.start}."
        raise DataError(source.name, f"{problem} {hint(raw) or _SET_ENCODING}") from None
    if not text.strip():
        raise DataError(source.name, "is empty.")
    if (nul := text.find("\0")) >= 0:
        problem = f"is not a text file: it holds a NUL character at offset {nul}."
        raise DataError(source.name, f"{problem} If it is UTF-16: iconv -f UTF-16LE -t UTF-8 OLD > NEW.")
    if told := hint(raw):
        raise DataError(source.name, f"is not a text file. {told}")
    return text


def _decoded(raw: bytes, config: DocumentsConfig) -> str:
    try:
        return raw.decode(encoding_of(raw))
    except UnicodeDecodeError:
        if config.encoding is None or hint(raw):
            raise
    return raw.decode(config.encoding)


def text_lines(source: Source, stream: Limited, newline: str | None, config: DocumentsConfig) -> Iterator[str]:
    """The lines of a stream of records, decoded as ``read_text`` does; ``newline`` is as ``open`` takes it.

    Raises (while iterating):
        DataError: it is in another encoding.
    """
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
                stream.restart()
                decoder.decode(piece)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def hint(raw: bytes) -> str | None:
    """What a file seems to be that is not what its name says, and what to call it; None where nothing is known."""
    for signature, what, suffix in _SIGNATURES:
        if raw.startswith(signature):
            return f"It seems to be {what}: name it {suffix}."
    return None
