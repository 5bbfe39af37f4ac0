"""Table of sorted strings on disk: memory-mapped, searched by bisection."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np


def encoded(text: str) -> bytes:
    """The bytes by which strings are sorted and compared: UTF-8, extended to lone surrogates."""
    return text.encode("utf-8", "surrogatepass")


class StringTable:
    """Strings in the order of their encoding, one per row; a search reads only the rows that it compares.

    The files of a table with the name ``word`` are ``words.npy``, the joined strings, and ``word_ends.npy``, the end of
    each string in them.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Open the table ``name``, which ``write`` has written."""
        self._text = np.load(folder / f"{name}s.npy", mmap_mode="r")
        self._ends = np.load(folder / f"{name}_ends.npy", mmap_mode="r")

    @staticmethod
    def write(folder: Path, name: str, strings: Sequence[bytes]) -> None:
        """Write the table ``name``. ``strings`` are encoded and sorted; there must be at least one."""
        np.save(folder / f"{name}s.npy", np.frombuffer(b"".join(strings), dtype=np.uint8))
        np.save(folder / f"{name}_ends.npy", np.cumsum([len(string) for string in strings], dtype=np.int64))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> bytes:
        """The encoded string of a row."""
        if row >= len(self._ends):
            raise IndexError(row)
        return bytes(self._text[self._ends[row - 1] if row else 0 : self._ends[row]])

    def __iter__(self) -> Iterator[bytes]:
        """All encoded strings, in order."""
        text, begin = self._text.tobytes(), 0
        for end in self._ends.tolist():
            yield text[begin:end]
            begin = end

    def row(self, text: str) -> int | None:
        """The row of a string; None if the table lacks the string."""
        string = encoded(text)
        row = bisect_left(self, string)
        return row if row < len(self) and self[row] == string else None
