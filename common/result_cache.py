"""A file of results by key, written as they become known, so that a run that was stopped goes on where it stood."""

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
"""Places and the values that belong there, batch by batch."""


class ResultCache:
    """Values of JSON's types by key, one ``{"key": ..., "value": ...}`` a line.

    Lines are only ever added, each batch in one write to the end of the file. So a process that is killed loses at most
    the batch that it was computing, and several may write to one file. A line that cannot be read, the torn end of a
    killed write, counts as absent.

    Attributes:
        path: of the file; it is made with the first value.
        unreadable: how many lines could not be read.

    Raises:
        UserError: there is something at ``path`` that cannot be read as a file.
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
                f"{path}, which holds what earlier runs computed, cannot be read: {error.strerror or error}. Mend or "
                "remove it, or name another --output folder."
            ) from error

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def put(self, values: Mapping[str, Any]) -> None:
        """Add values; they are on the disk when this returns.

        Raises:
            UserError: they cannot be written (a full disk, a folder without write permission).
        """
        lines = [json.dumps({"key": key, "value": plain(value)}, allow_nan=False) for key, value in values.items()]
        block = ("\n" if self._torn else "") + "".join(line + "\n" for line in lines)
        try:
            self._append(block.encode("ascii"))
        except OSError as error:
            self._torn = True
            raise UserError(
                f"What was computed cannot be written to {self.path}: {error.strerror or error}. All before it is "
                "kept: make room, and the same command goes on from there."
            ) from error
        self._torn = False
        self._values.update(values)

    def _read(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            entry = json.loads(line)
            self._values[entry["key"]] = entry["value"]
        except (ValueError, KeyError, TypeError):
            self.unreadable += 1

    def _append(self, block: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            written = os.write(descriptor, block)
            while written < len(block):  # a full disk takes a part of it and refuses the rest
                written += os.write(descriptor, block[written:])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Recalled:
    """A value, and whether it was known before."""

    value: Any
    reused: bool


def recall(
    cache: ResultCache | None, keys: Sequence[str], compute: Callable[[Sequence[int]], Batches]
) -> list[Recalled]:
    """The value of each key, in order; computed where the cache lacks it, and entered there.

    Args:
        cache: None computes all.
        keys: equal keys mean equal values: one of them is computed, for the others its value counts as reused.
        compute: is given the places among ``keys`` to compute values for, and gives them batch by batch, in any order;
            each batch is entered at once. A value that is a ``UserError`` is handed on and not entered.
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
