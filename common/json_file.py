"""Strict reader of a JSON object, with positions in error messages."""

import json
import math
from pathlib import Path
from typing import Any

from common.encoding import CONVERT, encoding_of
from common.errors import DataError


class JSONObject(dict[str, Any]):
    """A parsed object with its duplicate keys."""

    repeated: tuple[str, ...] = ()


def read_text(path: Path) -> str:
    """The file as text: UTF-8, optionally with a byte order mark, or UTF-16 with one.

    Raises:
        DataError: the file is missing, a folder, a device, unreadable, empty, or in another encoding (with the byte's
            offset).
    """
    try:
        if path.is_char_device():  # it may have no end
            raise DataError(path, "this is a device; name a file.")
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(path, "there is no such file. Check the path.") from None
    except IsADirectoryError:
        raise DataError(path, "this is a folder; name a file in it.") from None
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror}).") from None
    except ValueError as error:  # a NUL character in the path
        raise DataError(path, f"cannot be read ({error}).") from None
    try:
        text = raw.decode(encoding_of(raw))
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text: byte {raw[error.start]:#04x} at offset {error.start}."
        raise DataError(path, f"{problem} {CONVERT}") from None
    if not text.strip():
        raise DataError(path, "is empty.")
    return text


def read_object(path: Path) -> JSONObject:
    """The JSON object in the file.

    Raises:
        DataError: see ``read_text``; or the file is not JSON, is not an object, or has a duplicate key.
    """
    text = read_text(path)
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise DataError(path, f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from None
    except RecursionError:
        raise DataError(path, "is nested too deeply to be read.") from None
    except ValueError as error:
        raise DataError(path, f"is not JSON that can be read: {error}.") from None
    if not isinstance(value, JSONObject):
        raise DataError(path, f"must be one JSON object from id to record, not {kind_of(value)}.")
    if value.repeated:
        raise DataError(path, "occurs twice; ids must be unique.", record=shown(value.repeated[0]))
    return value


def flaw(value: Any) -> str | None:
    """The problem of a parsed value at any depth: a duplicate key, NaN, infinity or a lone surrogate; else None."""
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, str):
            try:
                part.encode("utf-8")
            except UnicodeEncodeError as error:
                half = ord(part[error.start])
                return f"has the lone surrogate \\u{half:04x}, which is not a valid character."
        elif isinstance(part, float) and not math.isfinite(part):
            return f"has {part}, which is not a number in JSON."
        elif isinstance(part, JSONObject) and part.repeated:
            return f"has {shown(part.repeated[0])} twice."
        elif isinstance(part, dict):
            rest.extend(piece for pair in part.items() for piece in pair)
        elif isinstance(part, list):
            rest.extend(part)
    return None


def kind_of(value: Any) -> str:
    """The JSON type of a value, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def shown(text: str, width: int = 60) -> str:
    """A text from outside for messages: control characters escaped, cut to ``width``."""
    cut = text if len(text) <= width else text[: width - 3] + "..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in cut)


def _object(pairs: list[tuple[str, Any]]) -> JSONObject:
    found = JSONObject(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        found.repeated = tuple(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return found
