"""Archives (.zip, .tar, .tar.gz, .tgz) of documents, read member by member; nothing of them is written to the disk."""

import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.source import Source

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
TIMES = 100  # of max_bytes: what all members together may unpack to


def is_archive(name: str) -> bool:
    """Whether the name is that of an archive."""
    return name.lower().endswith(SUFFIXES)


def members(path: Path, name: str, config: DocumentsConfig) -> Iterator[Source]:
    """The plain files in an archive, each to be read before the next is asked for.

    Folders, links, devices and hidden files are passed over. A member is called ``ARCHIVE/MEMBER``, without ``..`` and
    a leading slash; bytes of its name that are no text are written out.

    Raises:
        DataError: the archive is damaged, encrypted, or unpacks to more than 100 times ``config.max_bytes``.
    """
    read = _zip if path.suffix.lower() == ".zip" else _tar
    unpacked = 0
    try:
        for inner, size, source in read(path, name):
            unpacked += size
            if unpacked > TIMES * config.max_bytes:
                problem = f"unpacks to more than {TIMES} times documents.max_bytes ({config.max_bytes:,} bytes)."
                raise DataError(name, f"{problem} Unpack it and index what is in it.")
            if not any(part.startswith((".", "__MACOSX")) for part in inner.parts):
                yield source
    except DataError:
        raise
    except OSError as error:
        raise DataError(name, f"cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # zipfile and tarfile give up on what is broken in many ways
        raise DataError(name, f"is a damaged archive ({error}).") from None


Member = tuple[PurePosixPath, int, Source]


def _zip(path: Path, name: str) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            if member.flag_bits & 1:
                raise DataError(name, "is encrypted. Unpack it and index what is in it.")
            inner = _inside(member.filename)
            yield inner, member.file_size, Source(f"{name}/{inner}", partial(_open_zipped, archive, member))


def _open_zipped(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return archive.open(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
        raise OSError(0, str(error)) from None


def _tar(path: Path, name: str) -> Iterator[Member]:
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            if member.isfile():
                inner = _inside(member.name)
                yield inner, member.size, Source(f"{name}/{inner}", partial(_open_tarred, archive, member))


def _open_tarred(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    assert stream is not None  # it is a plain file
    return stream


def _inside(name: str) -> PurePosixPath:
    told = name.replace("\\", "/").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return PurePosixPath(*(part for part in PurePosixPath(told).parts if part not in ("/", "..")))
