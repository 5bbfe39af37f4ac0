"""Cache of results in a file, for resuming an interrupted run."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.fingerprints import plain

CACHE_FILE = "journal.jsonl"

Batches = Iterable[tuple[Sequence[int], Sequence[Any]]]
"""Batches of indices and the values at these indices."""


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
        self._torn = False
        try:
            with path.open("rb") as file:
                for line in file:
                    self._torn = not line.endswith(b"\n")
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
        """Add values; they are on disk on return.

        Raises:
            UserError: the file cannot be written.
        """
        lines = [json.dumps({"key": key, "value": plain(value)}, allow_nan=False) for key, value in values.items()]
        block = ("\n" if self._torn else "") + "".join(line + "\n" for line in lines)
        try:
            self._append(block.encode("ascii"))
        except OSError as error:
            self._torn = True
            raise UserError(
                f"Results cannot be written to {self.path}: {error.strerror or error}. Earlier results are saved: free "
                "disk space, then run the same command again to continue."
            ) from error
        self._torn = False
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
            while written < len(block):  # a full disk may take only a part
                written += os.write(descriptor, block[written:])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Recalled:
    """A value and whether it came from the cache."""

    value: Any
    reused: bool


def recall(
    cache: ResultCache | None, keys: Sequence[str], compute: Callable[[Sequence[int]], Batches]
) -> list[Recalled]:
    """The value of each key, in order; missing values are computed and cached.

    Args:
        cache: None computes everything.
        keys: a value is computed once for equal keys; repetitions count as reused.
        compute: maps indices of ``keys`` to batches of indices and values, in any order. Batches are cached at once,
            except values that are a ``UserError``.
    """
    if cache is None:
        found: dict[int, Any] = {}
        for places, values in compute(range(len(keys))):
            found.update(zip(places, values, strict=True))
        return [Recalled(found[place], reused=False) for place in range(len(keys))]
    first: dict[str, int] = {}
    for place, key in enumerate(keys):
        if key not in cache:
            first.setdefault(key, place)
    failed: dict[str, UserError] = {}
    if first:
        for places, values in compute(list(first.values())):
            known = {keys[place]: value for place, value in zip(places, values, strict=True)}
            failed |= {key: value for key, value in known.items() if isinstance(value, UserError)}
            cache.put({key: value for key, value in known.items() if key not in failed})
    return [
        Recalled(failed[key] if key in failed else cache[key], reused=first.get(key) != place)
        for place, key in enumerate(keys)
    ]
