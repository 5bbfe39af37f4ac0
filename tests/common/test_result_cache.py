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
from common.result_cache import ResultCache, recall


def test_values_are_there_when_the_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    written = ResultCache(path)
    written.put({"a": [0.1, -2.5e-9], "b": None})
    written.put({"c": {"x": "\u00e9\n"}})
    read = ResultCache(path)
    assert len(read) == 3
    assert (read["a"], read["b"], read["c"]) == ([0.1, -2.5e-9], None, {"x": "\u00e9\n"})
    assert "d" not in read
    assert read.unreadable == 0


@pytest.mark.parametrize("cut", [1, 7, 20])
def test_a_torn_end_is_passed_over_and_what_is_added_after_it_is_whole(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    ResultCache(path).put({"a": 1, "b": 2})
    path.write_bytes(path.read_bytes()[:-cut])
    torn = ResultCache(path)
    assert "a" in torn
    assert ("b" in torn, torn.unreadable) == (cut == 1, int(cut > 1))  # without its line break a line is still whole
    torn.put({"c": 3})
    again = ResultCache(path)
    assert (again["a"], again["c"]) == (1, 3)
    assert len(again) == (3 if cut == 1 else 2)


@pytest.mark.parametrize(
    "junk",
    [b"\x00\xff\xfe\n", b"[1, 2]\n", b'{"key": ["a"], "value": 1}\n', b'{"key": "x"}\n', b"\n", b"[" * 100_000 + b"\n"],
)
def test_lines_that_are_no_entries_are_counted_and_the_rest_is_read(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    ResultCache(path).put({"a": 1})
    with path.open("ab") as file:
        file.write(junk)
    ResultCache(path).put({"b": 2})
    read = ResultCache(path)
    assert (read["a"], read["b"], len(read)) == (1, 2, 2)
    assert read.unreadable == int(junk != b"\n")


def test_two_processes_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    code = "import sys; from pathlib import Path; from common.result_cache import ResultCache\n"
    code += "j = ResultCache(Path(sys.argv[1]))\n"
    code += "for n in range(200): j.put({f'{sys.argv[2]} {n} {i}': 'x' * 300 for i in range(5)})"
    both = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("one", "two")]
    assert [process.wait() for process in both] == [0, 0]
    read = ResultCache(path)
    assert (len(read), read.unreadable) == (2000, 0)


def test_a_full_disk_is_told_and_what_was_written_before_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    cache = ResultCache(path)
    cache.put({"a": 1})
    write = os.write
    room = [30]

    def full(descriptor: int, block: bytes) -> int:
        taken = min(room[0], len(block))
        room[0] -= taken
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, block[:taken])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(UserError, match=r"No space left on device.*make room"):
            cache.put({"b": "long enough to be cut"})
    assert "b" not in cache
    cache.put({"c": 3})
    assert dict.fromkeys("ac") == dict.fromkeys(key for key in "abc" if key in ResultCache(path))


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}.*Mend or remove"):
        ResultCache(tmp_path)


def squares(log: list[list[int]], numbers: Sequence[int]) -> Any:
    def compute(places: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
        log.append(list(places))
        for place in reversed(places):
            yield [place], [numbers[place] ** 2]

    return compute


def test_recall_computes_what_is_not_known_and_equal_keys_once(tmp_path: Path) -> None:
    log: list[list[int]] = []
    cache = ResultCache(tmp_path / "journal.jsonl")
    numbers = [3, 4, 3, 5]
    first = recall(cache, [str(n) for n in numbers], squares(log, numbers))
    assert [one.value for one in first] == [9, 16, 9, 25]
    assert [one.reused for one in first] == [False, False, True, False]
    more = [5, 6]
    then = recall(ResultCache(cache.path), [str(n) for n in more], squares(log, more))
    assert [(one.value, one.reused) for one in then] == [(25, True), (36, False)]
    assert log == [[0, 1, 3], [1]]
    assert recall(cache, ["3"], squares(log, [0]))[0].value == 9
    assert len(log) == 2


def test_recall_without_a_cache_computes_all() -> None:
    log: list[list[int]] = []
    found = recall(None, ["", ""], squares(log, [2, 3]))
    assert [(one.value, one.reused) for one in found] == [(4, False), (9, False)]


def test_each_batch_is_on_the_disk_before_the_next_is_computed(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"

    def interrupted(places: Sequence[int]) -> Iterator[tuple[list[int], list[str]]]:
        for place in places:
            if place == 2:
                raise KeyboardInterrupt
            yield [place], ["done"]

    with pytest.raises(KeyboardInterrupt):
        recall(ResultCache(path), ["a", "b", "c"], interrupted)
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["a", "b"]
