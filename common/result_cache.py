"""Cache of results in a file, for resuming an interrupted run."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.fingerprints import to_jsonable

CACHE_FILE = "journal.jsonl"

Batches = Iterable[tuple[Sequence[int], Sequence[Any]]]
"""Pairs of indices and their values."""


class ResultCache:
    """JSON values by key, one ``{"key": ..., "value": ...}`` per line.

    The file is append-only, with one write per batch: a killed process loses at most one batch, and several processes
    can share a file. Unreadable lines count as absent.

    Attributes:
        path: the file, created with the first value.
        unreadable: the number of unreadable lines.

    Raises:
        UserError: ``path`` exists and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable = 0
        self._values: dict[str, Any] = {}
        self._is_torn = False  # the last line has no line end, as after a killed write
        try:
            with path.open("rb") as file:
                for line in file:
                    self._is_torn = not line.endswith(b"\n")
                    self._read(line)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise UserError(
                f"The result cache {path} cannot be read: {error.strerror or error}. Delete it to compute all results "
                "again, or choose another --output folder."
            ) from error

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def put(self, values: Mapping[str, Any]) -> None:
        """Add values and write them to the disk.

        Raises:
            UserError: the file cannot be written.
        """
        lines = [
            json.dumps({"key": key, "value": to_jsonable(value)}, allow_nan=False) for key, value in values.items()
        ]
        block = ("\n" if self._is_torn else "") + "".join(line + "\n" for line in lines)
        try:
            self._append(block.encode("ascii"))
        except OSError as error:
            self._is_torn = True
            raise UserError(
                f"Results cannot be written to {self.path}: {error.strerror or error}. Earlier results are saved: free "
                "disk space, then run the same command again to continue."
            ) from error
        self._is_torn = False
        self._values.update(values)

    def _read(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            entry = json.loads(line)
            self._values[entry["key"]] = entry["value"]
        except (ValueError, KeyError, TypeError, RecursionError):
            self.unreadable += 1

    def _append(self, block: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            written = os.write(descriptor, block)
            while written < len(block):  # a nearly full disk may write only a part
                written += os.write(descriptor, block[written:])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class CachedResult:
    """A value; ``reused`` is whether it was taken from the cache, or computed for an earlier equal key."""

    value: Any
    reused: bool


def get_or_compute(
    cache: ResultCache | None, keys: Sequence[str], compute: Callable[[Sequence[int]], Batches]
) -> list[CachedResult]:
    """The value of each key, in order; missing values are computed and cached.

    Args:
        cache: if None, every value is computed, even if keys are equal.
        keys: with a cache, equal keys have one value: it is computed for the first of them and reused for the others.
        compute: takes indices of ``keys`` and yields batches of indices and their values, in any order. Each batch is
            cached when it arrives, except values that are a ``UserError``.
    """
    if cache is None:
        computed: dict[int, Any] = {}
        for indices, values in compute(range(len(keys))):
            computed.update(zip(indices, values, strict=True))
        return [CachedResult(computed[index], reused=False) for index in range(len(keys))]
    missing: dict[str, int] = {}  # index of the first occurrence of each key without a value
    for index, key in enumerate(keys):
        if key not in cache:
            missing.setdefault(key, index)
    failed: dict[str, UserError] = {}
    if missing:
        for indices, values in compute(list(missing.values())):
            batch = {keys[index]: value for index, value in zip(indices, values, strict=True)}
            failed |= {key: value for key, value in batch.items() if isinstance(value, UserError)}
            cache.put({key: value for key, value in batch.items() if key not in failed})
    return [
        CachedResult(failed[key] if key in failed else cache[key], reused=missing.get(key) != index)
        for index, key in enumerate(keys)
    ]
