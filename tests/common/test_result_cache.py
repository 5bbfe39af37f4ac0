import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from common.result_cache import ResultCache, get_or_compute


def test_values_are_read_back_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    cache = ResultCache(path)
    cache.put({"a": [0.1, -2.5e-9], "b": None})
    cache.put({"c": {"x": "\u00e9\n"}})
    reopened = ResultCache(path)
    assert len(reopened) == 3
    assert (reopened["a"], reopened["b"], reopened["c"]) == ([0.1, -2.5e-9], None, {"x": "\u00e9\n"})
    assert "d" not in reopened
    assert reopened.unreadable == 0


@pytest.mark.parametrize("lost_bytes", [1, 7, 20])
def test_torn_last_line_is_skipped_and_later_values_are_whole(tmp_path: Path, lost_bytes: int) -> None:
    path = tmp_path / "journal.jsonl"
    ResultCache(path).put({"a": 1, "b": 2})
    path.write_bytes(path.read_bytes()[:-lost_bytes])
    torn = ResultCache(path)
    lost_only_line_end = lost_bytes == 1
    assert "a" in torn
    assert ("b" in torn, torn.unreadable) == ((True, 0) if lost_only_line_end else (False, 1))
    torn.put({"c": 3})
    reopened = ResultCache(path)
    assert (reopened["a"], reopened["c"]) == (1, 3)
    assert len(reopened) == (3 if lost_only_line_end else 2)


@pytest.mark.parametrize(
    "line",
    [b"\x00\xff\xfe\n", b"[1, 2]\n", b'{"key": ["a"], "value": 1}\n', b'{"key": "x"}\n', b"\n", b"[" * 100_000 + b"\n"],
)
def test_unreadable_lines_are_counted_and_skipped(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    ResultCache(path).put({"a": 1})
    with path.open("ab") as file:
        file.write(line)
    ResultCache(path).put({"b": 2})
    cache = ResultCache(path)
    assert (cache["a"], cache["b"], len(cache)) == (1, 2, 2)
    assert cache.unreadable == int(line != b"\n")


PUT_1000_VALUES = """
import sys
from pathlib import Path
from common.result_cache import ResultCache
cache = ResultCache(Path(sys.argv[1]))
for batch in range(200):
    cache.put({f"{sys.argv[2]} {batch} {number}": "x" * 300 for number in range(5)})
"""


def test_two_processes_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    processes = [subprocess.Popen([sys.executable, "-c", PUT_1000_VALUES, str(path), name]) for name in ("one", "two")]
    assert [process.wait() for process in processes] == [0, 0]
    cache = ResultCache(path)
    assert (len(cache), cache.unreadable) == (2000, 0)


def test_full_disk_is_an_error_and_keeps_earlier_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.jsonl"
    cache = ResultCache(path)
    cache.put({"a": 1})
    write = os.write
    free_bytes = 30

    def write_until_full(descriptor: int, block: bytes) -> int:
        nonlocal free_bytes
        if not free_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(descriptor, block[:free_bytes])
        free_bytes -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write_until_full)
        with pytest.raises(UserError, match=r"No space left on device.*free disk space"):
            cache.put({"b": "long enough to be cut"})
    assert "b" not in cache
    cache.put({"c": 3})
    assert [key for key in "abc" if key in ResultCache(path)] == ["a", "c"]


def test_folder_as_cache_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}.*Delete it"):
        ResultCache(tmp_path)


def make_squaring(calls: list[list[int]], numbers: Sequence[int]) -> Any:
    """A ``compute`` function that squares numbers and records the indices of each call."""

    def compute(indices: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
        calls.append(list(indices))
        for index in reversed(indices):
            yield [index], [numbers[index] ** 2]

    return compute


def test_get_or_compute_computes_each_missing_key_once(tmp_path: Path) -> None:
    calls: list[list[int]] = []
    cache = ResultCache(tmp_path / "journal.jsonl")
    results = get_or_compute(cache, ["3", "4", "3", "5"], make_squaring(calls, [3, 4, 3, 5]))
    assert [(result.value, result.reused) for result in results] == [(9, False), (16, False), (9, True), (25, False)]
    results = get_or_compute(ResultCache(cache.path), ["5", "6"], make_squaring(calls, [5, 6]))
    assert [(result.value, result.reused) for result in results] == [(25, True), (36, False)]
    assert calls == [[0, 1, 3], [1]]
    assert get_or_compute(cache, ["3"], make_squaring(calls, [0]))[0].value == 9
    assert len(calls) == 2


def test_get_or_compute_without_a_cache_computes_equal_keys_again() -> None:
    results = get_or_compute(None, ["", ""], make_squaring([], [2, 3]))
    assert [(result.value, result.reused) for result in results] == [(4, False), (9, False)]


def test_each_batch_is_on_the_disk_before_the_next_is_computed(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"

    def interrupted(indices: Sequence[int]) -> Iterator[tuple[list[int], list[str]]]:
        for index in indices:
            if index == 2:
                raise KeyboardInterrupt
            yield [index], ["done"]

    with pytest.raises(KeyboardInterrupt):
        get_or_compute(ResultCache(path), ["a", "b", "c"], interrupted)
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b"]
