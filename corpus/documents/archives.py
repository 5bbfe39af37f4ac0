"""Archives (.zip, .tar, .tar.gz, .tgz) of documents, read member by member without extracting them to the disk."""

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
MAX_UNPACKED = 100  # decompressed size of an archive, in multiples of documents.max_bytes
MAX_RATIO = 100  # of decompressed to compressed size; checked if the decompressed size exceeds documents.max_bytes


def is_archive(name: str) -> bool:
    """Whether a file's name ends as an archive's does."""
    return name.lower().endswith(SUFFIXES)


def members(path: Path, name: str, config: DocumentsConfig) -> Iterator[Source]:
    """The regular files in an archive; read each source before the next.

    Folders, links, devices and hidden files are skipped. A source's name is ``ARCHIVE/MEMBER``, without ``..`` and a
    leading slash; a number is added to repeated names.

    Raises:
        DataError: the archive is damaged or encrypted, or too large: its decompressed size exceeds
            ``MAX_UNPACKED * config.max_bytes``, or it exceeds both ``config.max_bytes`` and ``MAX_RATIO`` times the
            archive's own size. Archives of texts do not reach this ratio.
    """
    list_members = _zip_members if path.suffix.lower() == ".zip" else _tar_members
    unpacked = 0
    seen: set[str] = set()
    try:
        limit = max(config.max_bytes, MAX_RATIO * path.stat().st_size)
        for member_path, size, open_member in list_members(path, name, config.max_bytes):
            unpacked += size
            if unpacked > limit:
                reason = f"{MAX_RATIO} times its own size or documents.max_bytes"
                problem = f"unpacks to more than {limit:,} bytes, {reason}."
                raise DataError(name, f"{problem} Unpack it if you trust it, and index its files.")
            if unpacked > MAX_UNPACKED * config.max_bytes:
                problem = f"unpacks to more than {MAX_UNPACKED} times documents.max_bytes ({config.max_bytes:,} bytes)."
                raise DataError(name, f"{problem} Unpack it and index its files.")
            if not any(map(is_hidden, member_path.parts)):
                yield Source(_unique_name(f"{name}/{member_path}", seen), open_member)
    except DataError:
        raise
    except OSError as error:
        raise DataError(name, f"cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # zipfile and tarfile raise many types of errors on broken files
        raise DataError(name, f"is a damaged archive ({error}).") from None


Member = tuple[PurePosixPath, int, Callable[[], IO[bytes]]]  # path, decompressed size in bytes, opener


def _unique_name(name: str, seen: set[str]) -> str:
    """The name, with a number before its suffix if ``seen`` has it already; the result is added to ``seen``."""
    stem, dot, suffix = name.rpartition(".")
    number, unique = 1, name
    while unique in seen:
        number += 1
        unique = f"{stem} ({number}){dot}{suffix}"
    seen.add(unique)
    return unique


def _zip_members(path: Path, name: str, _: int) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            if member.flag_bits & 1:
                raise DataError(name, "is encrypted. Unpack it and index its files.")
            yield _safe_path(member.filename), member.file_size, partial(_open_zipped, archive, member)


def _open_zipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
        raise OSError(0, str(error)) from None  # ``source.open_limited`` reports the strerror


class _LimitedReads(BufferedIOBase):
    """A decompressed tar file that refuses single reads of more than ``limit`` bytes.

    Such reads would exhaust the memory: tarfile reads an extended header at once, and the archive states its size.
    """

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


_DECOMPRESSORS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}


def _tar_members(path: Path, name: str, limit: int) -> Iterator[Member]:
    with path.open("rb") as file:
        decompress = _DECOMPRESSORS.get(file.read(2))
        file.seek(0)
        raw = file if decompress is None else decompress(file)
        with tarfile.open(fileobj=_LimitedReads(raw, name, limit), mode="r:") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # else tarfile collects all members in memory
                if member.isfile():
                    yield _safe_path(member.name), member.size, partial(_open_tarred, archive, member)


def _open_tarred(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    assert stream is not None  # only None for members that are not plain files
    return stream


def _safe_path(name: str) -> PurePosixPath:
    """A member's path, escaped and inside the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    return PurePosixPath(*(escaped_name(part) for part in path.parts if part not in ("/", "..")))
