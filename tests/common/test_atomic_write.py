from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from common.atomic_write import new_version, remove_other_versions, write_whole


def test_write_replaces_existing_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old and longer")
    write_whole(path, "n\u00e9w\n")
    assert path.read_bytes() == "n\u00e9w\n".encode()
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_failed_write_keeps_existing_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new \ud800")  # a lone surrogate: encoding fails after the temporary file is open
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]


def test_file_is_whole_while_several_threads_write_it(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def write_often(character: str) -> None:
        for _ in range(50):
            write_whole(path, character * 20_000)
            text = path.read_text()
            assert text == text[0] * 20_000

    with ThreadPoolExecutor() as pool:
        list(pool.map(write_often, "abcd"))


def test_missing_folder_raises_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "none" / "a.txt", "text")


def test_a_version_is_not_removed_while_it_is_written_or_current(tmp_path: Path) -> None:
    with new_version(tmp_path / "all", "one") as version:
        remove_other_versions(tmp_path / "all", lambda: "two")
        assert version.is_dir()
    remove_other_versions(tmp_path / "all", lambda: "one")
    assert version.is_dir()
    remove_other_versions(tmp_path / "all", lambda: "two")
    assert not version.exists()
