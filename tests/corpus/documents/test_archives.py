import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Mapping
from copy import copy
from pathlib import Path

import pytest

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.archives import is_archive, members
from corpus.documents.source import open_limited

CONFIG = DocumentsConfig()


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: Mapping[str, bytes], *empty_members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in empty_members:
            archive.addfile(info)
    return path


def read_members(path: Path) -> dict[str, bytes]:
    result = {}
    for source in members(path, path.name, CONFIG):
        with open_limited(source, CONFIG) as stream:
            result[source.name] = stream.read()
    return result


# Members of an archive. The files with the content "no" are hidden and must not be read.
FILES = {"a.txt": b"one", "deep/b.txt": b"two", ".hidden": b"no", "__MACOSX/a.txt": b"no", "deep/.x/c.txt": b"no"}


def test_members_are_read_and_hidden_files_skipped(tmp_path: Path) -> None:
    for path in (write_zip(tmp_path / "x.zip", FILES), write_tar(tmp_path / "x.tar.gz", FILES)):
        assert is_archive(path.name)
        assert read_members(path) == {f"{path.name}/a.txt": b"one", f"{path.name}/deep/b.txt": b"two"}


def test_member_name_that_leads_out_of_the_archive_becomes_a_name_within_it(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    evil = {"../../evil.txt": b"1", "/etc/evil.txt": b"2", "..\\evil.txt": b"3"}
    for path in (write_zip(inside / "x.zip", evil), write_tar(inside / "x.tgz", evil)):
        names = {f"{path.name}/{name}" for name in ("evil.txt", "evil (2).txt", "etc/evil.txt")}
        assert set(read_members(path)) == names
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "x.tgz", "x.zip"]


def test_links_and_devices_are_skipped(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    special = []
    for name, type in (("s.txt", tarfile.SYMTYPE), ("h.txt", tarfile.LNKTYPE), ("d.txt", tarfile.CHRTYPE)):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = type, str(secret)
        special.append(info)
    assert read_members(write_tar(tmp_path / "x.tar.gz", {"a.txt": b"one"}, *special)) == {"x.tar.gz/a.txt": b"one"}


def test_member_name_that_is_not_utf8_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT, encoding="latin-1") as archive:
        info = tarfile.TarInfo("caf\xe9.txt")
        archive.addfile(info, io.BytesIO())
    assert [source.name for source in members(path, path.name, CONFIG)] == ["x.tar/caf\\xe9.txt"]


def test_archive_larger_than_100_times_max_bytes_is_an_error(tmp_path: Path) -> None:
    limit = DocumentsConfig(max_bytes=100_000)
    many = {f"{n}.txt": random.Random(n).randbytes(200_000) for n in range(60)}
    for path in (write_zip(tmp_path / "x.zip", many), write_tar(tmp_path / "x.tar.gz", many)):
        with pytest.raises(DataError, match=r"unpacks to more than 100 times documents\.max_bytes"):
            list(members(path, path.name, limit))


def test_archive_with_high_compression_ratio_is_an_error(tmp_path: Path) -> None:
    limit = DocumentsConfig(max_bytes=100_000)
    many = {f"{n}.txt": b"zinc " * 20_000 for n in range(20)}
    overlapping = write_zip(tmp_path / "y.zip", {"a.txt": many["0.txt"]})
    with zipfile.ZipFile(overlapping, "a") as archive:
        archive.filelist += [copy(archive.filelist[0]) for _ in range(20)]
        archive._didModify = True
    for path in (write_zip(tmp_path / "x.zip", many), write_tar(tmp_path / "x.tar.gz", many), overlapping):
        with pytest.raises(DataError, match=r"unpacks to more than .* bytes, 100 times its own size"):
            list(members(path, path.name, limit))
    few = write_zip(tmp_path / "z.zip", {"a.txt": many["0.txt"]})
    assert len(list(members(few, few.name, limit))) == 1


def test_damaged_or_encrypted_archive_is_an_error(tmp_path: Path) -> None:
    valid_zip = write_zip(tmp_path / "x.zip", FILES).read_bytes()
    valid_tar = write_tar(tmp_path / "y.tar.gz", {"a.txt": bytes(range(256)) * 4000}).read_bytes()
    utf8_zip = write_zip(tmp_path / "z.zip", {"\xe4.txt": b"one"}).read_bytes()
    in_header, in_directory = utf8_zip.index(b"\xc3\xa4"), utf8_zip.rindex(b"\xc3\xa4")  # offsets of the name
    encrypted = bytearray(valid_zip)
    encrypted[encrypted.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    cases = {
        "a.zip": (valid_zip[:-30], "damaged archive"),
        "b.tar.gz": (valid_tar[: len(valid_tar) // 2], "cannot be unpacked"),
        "c.tar": (b"no archive", "damaged archive"),
        "d.zip": (bytes(encrypted), "is encrypted"),
        "e.zip": (utf8_zip[:in_directory] + b"\xff" + utf8_zip[in_directory + 1 :], "damaged archive"),
        "f.zip": (utf8_zip[:in_header] + b"\xff" + utf8_zip[in_header + 1 :], "cannot be read"),
    }
    for name, (raw, problem) in cases.items():
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(DataError, match=f"{name}(/.+)?: .*{problem}"):
            read_members(tmp_path / name)


def test_tar_header_larger_than_max_bytes_is_an_error(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 150_000
    with gzip.open(tmp_path / "x.tar.gz", "wb") as archive:
        archive.write(info.tobuf(tarfile.USTAR_FORMAT) + b"150000 comment=" + b"a" * 200_000)
    with pytest.raises(DataError, match="header of more than"):
        list(members(tmp_path / "x.tar.gz", "x.tar.gz", DocumentsConfig(max_bytes=100_000)))
