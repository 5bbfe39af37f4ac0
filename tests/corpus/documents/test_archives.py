"""corpus/documents/archives.py: members as sources; nothing is written, and nothing outside is read."""

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


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: Mapping[str, bytes], *more: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in more:
            archive.addfile(info)
    return path


def contents(path: Path) -> dict[str, bytes]:
    found = {}
    for source in members(path, path.name, CONFIG):
        with open_limited(source, CONFIG) as stream:
            found[source.name] = stream.read()
    return found


FILES = {"a.txt": b"one", "deep/b.txt": b"two", ".hidden": b"no", "__MACOSX/a.txt": b"no", "deep/.x/c.txt": b"no"}


def test_members_are_read_where_they_lie(tmp_path: Path) -> None:
    for path in (zipped(tmp_path / "x.zip", FILES), tarred(tmp_path / "x.tar.gz", FILES)):
        assert is_archive(path.name)
        assert contents(path) == {f"{path.name}/a.txt": b"one", f"{path.name}/deep/b.txt": b"two"}


def test_names_that_lead_outside_lead_nowhere(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    evil = {"../../evil.txt": b"1", "/etc/evil.txt": b"2", "..\\evil.txt": b"3"}
    for path in (zipped(inside / "x.zip", evil), tarred(inside / "x.tgz", evil)):
        assert set(contents(path)) == {f"{path.name}/{name}" for name in ("evil.txt", "evil (2).txt", "etc/evil.txt")}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "x.tgz", "x.zip"]


def test_links_and_devices_are_passed_over(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    odd = []
    for name, kind in (("s.txt", tarfile.SYMTYPE), ("h.txt", tarfile.LNKTYPE), ("d.txt", tarfile.CHRTYPE)):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, str(secret)
        odd.append(info)
    assert contents(tarred(tmp_path / "x.tar.gz", {"a.txt": b"one"}, *odd)) == {"x.tar.gz/a.txt": b"one"}


def test_names_that_are_no_text_are_written_out(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT, encoding="latin-1") as archive:
        info = tarfile.TarInfo("caf\xe9.txt")
        archive.addfile(info, io.BytesIO())
    assert [source.name for source in members(path, path.name, CONFIG)] == ["x.tar/caf\\xe9.txt"]


def test_too_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    limit = DocumentsConfig(max_bytes=100_000)
    many = {f"{n}.txt": random.Random(n).randbytes(200_000) for n in range(60)}
    for path in (zipped(tmp_path / "x.zip", many), tarred(tmp_path / "x.tar.gz", many)):
        with pytest.raises(DataError, match=r"unpacks to more than 100 times documents\.max_bytes"):
            list(members(path, path.name, limit))


def test_an_archive_that_unpacks_to_many_times_its_size_is_refused(tmp_path: Path) -> None:
    limit = DocumentsConfig(max_bytes=100_000)
    many = {f"{n}.txt": b"zinc " * 20_000 for n in range(20)}
    overlapping = zipped(tmp_path / "y.zip", {"a.txt": many["0.txt"]})
    with zipfile.ZipFile(overlapping, "a") as archive:
        archive.filelist += [copy(archive.filelist[0]) for _ in range(20)]
        archive._didModify = True
    for path in (zipped(tmp_path / "x.zip", many), tarred(tmp_path / "x.tar.gz", many), overlapping):
        with pytest.raises(DataError, match=r"unpacks to more than .* bytes, 100 times its own size"):
            list(members(path, path.name, limit))
    few = zipped(tmp_path / "z.zip", {"a.txt": many["0.txt"]})
    assert len(list(members(few, few.name, limit))) == 1


def test_a_damaged_or_encrypted_archive_is_told(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "x.zip", FILES).read_bytes()
    packed = tarred(tmp_path / "y.tar.gz", {"a.txt": bytes(range(256)) * 4000}).read_bytes()
    utf8 = zipped(tmp_path / "z.zip", {"\xe4.txt": b"one"}).read_bytes()
    inner, listed = utf8.index(b"\xc3\xa4"), utf8.rindex(b"\xc3\xa4")  # the time may have a byte of these
    flagged = bytearray(whole)
    flagged[flagged.index(b"PK\x01\x02") + 8] |= 1
    cases = {
        "a.zip": (whole[:-30], "damaged archive"),
        "b.tar.gz": (packed[: len(packed) // 2], "cannot be unpacked"),
        "c.tar": (b"no archive", "damaged archive"),
        "d.zip": (bytes(flagged), "is encrypted"),
        "e.zip": (utf8[:listed] + b"\xff" + utf8[listed + 1 :], "damaged archive"),
        "f.zip": (utf8[:inner] + b"\xff" + utf8[inner + 1 :], "cannot be read"),
    }
    for name, (raw, told) in cases.items():
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(DataError, match=f"{name}(/.+)?: .*{told}"):
            contents(tmp_path / name)


def test_a_header_larger_than_any_document_is_not_read(tmp_path: Path) -> None:
    import gzip
    import tarfile

    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 150_000
    with gzip.open(tmp_path / "x.tar.gz", "wb") as archive:
        archive.write(info.tobuf(tarfile.USTAR_FORMAT) + b"150000 comment=" + b"a" * 200_000)
    with pytest.raises(DataError, match="header of more than"):
        list(members(tmp_path / "x.tar.gz", "x.tar.gz", DocumentsConfig(max_bytes=100_000)))
