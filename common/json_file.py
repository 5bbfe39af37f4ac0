"""Strict reader of a JSON object, with line and column in error messages."""

import json
import math
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

from common.encoding import CONVERT_ADVICE, encoding_of
from common.errors import DataError


class JSONObject(dict[str, Any]):
    """A parsed JSON object; ``duplicate_keys`` are the keys that occur more than once in the file."""

    duplicate_keys: tuple[str, ...] = ()


def read_text(path: Path) -> str:
    """The file as text: UTF-8, or UTF-16 with a byte order mark.

    Raises:
        DataError: the file is missing, a folder, a device, unreadable, empty, or in another encoding; then the message
            gives the offset of the first invalid byte.
    """
    try:
        if path.is_char_device():  # a device may have no end
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
        raise DataError(path, f"{problem} {CONVERT_ADVICE}") from None
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
        value = json.loads(text, object_pairs_hook=_to_json_object)
    except json.JSONDecodeError as error:
        raise DataError(path, f"is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from None
    except RecursionError:
        raise DataError(path, "is nested too deeply to be read.") from None
    except ValueError as error:
        raise DataError(path, f"is not JSON that can be read: {error}.") from None
    if not isinstance(value, JSONObject):
        raise DataError(path, f"must be one JSON object from id to record, not {json_type(value)}.")
    if value.duplicate_keys:
        raise DataError(path, "occurs twice; ids must be unique.", record=escape(value.duplicate_keys[0]))
    return value


def value_problem(value: Any) -> str | None:
    """A message about a duplicate key, NaN, infinity or lone surrogate at any depth of a parsed value; else None."""
    unchecked = [value]
    while unchecked:
        item = unchecked.pop()
        if isinstance(item, str):
            try:
                item.encode("utf-8")
            except UnicodeEncodeError as error:
                surrogate = ord(item[error.start])
                return f"has the lone surrogate \\u{surrogate:04x}, which is not a valid character."
        elif isinstance(item, float) and not math.isfinite(item):
            return f"has {item}, which is not a number in JSON."
        elif isinstance(item, JSONObject) and item.duplicate_keys:
            return f"has {escape(item.duplicate_keys[0])} twice."
        elif isinstance(item, dict):
            unchecked.extend(chain.from_iterable(item.items()))
        elif isinstance(item, list):
            unchecked.extend(item)
    return None


def json_type(value: Any) -> str:
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


def escape(text: str, width: int = 60) -> str:
    """User data for a message: the text is cut to ``width`` characters, then its control characters are escaped."""
    shortened = text if len(text) <= width else text[: width - 3] + "..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in shortened)


def _to_json_object(pairs: list[tuple[str, Any]]) -> JSONObject:
    parsed = JSONObject(pairs)
    if len(parsed) < len(pairs):
        parsed.duplicate_keys = tuple(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return parsed
