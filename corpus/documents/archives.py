"""Archives (.zip, .tar, .tar.gz, .tgz) of documents, read member by member without unpacking them to the disk."""

import bz2
import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import IO, Any

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.source import Source, escaped_name, is_hidden

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
TIMES = 100  # maximum unpacked size in multiples of max_bytes
RATIO = 100  # maximum unpacked size in multiples of the archive's size, if it exceeds max_bytes


def is_archive(name: str) -> bool:
    """Whether a file is an archive, by its name."""
    return name.lower().endswith(SUFFIXES)


def members(path: Path, name: str, config: DocumentsConfig) -> Iterator[Source]:
    """The plain files in an archive; read each before the next one.

    Folders, links, devices and hidden files are skipped. A member's name is ``ARCHIVE/MEMBER``, without ``..`` and a
    leading slash; a repeated name has a number added.

    Raises:
        DataError: the archive is damaged or encrypted, or unpacks to more than 100 times ``config.max_bytes``, or to
            more than ``config.max_bytes`` and 100 times its own size, which texts never do.
    """
    read = _zip if path.suffix.lower() == ".zip" else _tar
    unpacked = 0
    seen: set[str] = set()
    try:
        most = max(config.max_bytes, RATIO * path.stat().st_size)
        for inner, size, opened in read(path, name, config.max_bytes):
            unpacked += size
            if unpacked > most:
                problem = f"unpacks to more than {most:,} bytes, {RATIO} times its own size or documents.max_bytes."
                raise DataError(name, f"{problem} Unpack it if you trust it, and index its files.")
            if unpacked > TIMES * config.max_bytes:
                problem = f"unpacks to more than {TIMES} times documents.max_bytes ({config.max_bytes:,} bytes)."
                raise DataError(name, f"{problem} Unpack it and index its files.")
            if not any(map(is_hidden, inner.parts)):
                yield Source(_unique(f"{name}/{inner}", seen), opened)
    except DataError:
        raise
    except OSError as error:
        raise DataError(name, f"cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # zipfile and tarfile raise many types of errors on broken files
        raise DataError(name, f"is a damaged archive ({error}).") from None


Member = tuple[PurePosixPath, int, Callable[[], IO[bytes]]]


def _unique(name: str, seen: set[str]) -> str:
    """The name, with a number before its suffix if it was seen before."""
    stem, dot, ending = name.rpartition(".")
    number, free = 1, name
    while free in seen:
        number += 1
        free = f"{stem} ({number}){dot}{ending}"
    seen.add(free)
    return free


def _zip(path: Path, name: str, _: int) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            if member.flag_bits & 1:
                raise DataError(name, "is encrypted. Unpack it and index its files.")
            yield _inside(member.filename), member.file_size, partial(_open_zipped, archive, member)


def _open_zipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
        raise OSError(0, str(error)) from None


class _Headers(BufferedIOBase):
    """An unpacked tar file that refuses headers larger than any document."""

    def __init__(self, raw: IO[bytes], name: str, limit: int) -> None:
        self._raw = raw
        self._name = name
        self._limit = limit

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= self._limit:
            raise DataError(self._name, f"has a header of more than documents.max_bytes ({self._limit:,} bytes).")
        return self._raw.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()


_PACKED: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


def _tar(path: Path, name: str, limit: int) -> Iterator[Member]:
    with path.open("rb") as file:
        unpack = _PACKED.get(file.read(2))
        file.seek(0)
        raw = file if unpack is None else unpack(file)
        with tarfile.open(fileobj=_Headers(raw, name, limit), mode="r:") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # tarfile would keep all members
                if member.isfile():
                    yield _inside(member.name), member.size, partial(_open_tarred, archive, member)


def _open_tarred(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    assert stream is not None  # only None for members that are not plain files
    return stream


def _inside(name: str) -> PurePosixPath:
    inside = PurePosixPath(name.replace("\\", "/"))
    return PurePosixPath(*(escaped_name(part) for part in inside.parts if part not in ("/", "..")))
