"""Strict YAML reader with line numbers in error messages."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from common.errors import DataError
from common.json_file import escape, read_text

_MAX_KEYS = 10_000  # maximum per mapping; nested merges (<<) in a small file can produce millions


class _StrictLoader(yaml.SafeLoader):
    """Safe loader that rejects duplicate keys and mappings with too many keys."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MAX_KEYS:
            problem = f"a mapping has more than {_MAX_KEYS:,} keys"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {escape(key.value)!r} occurs twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_mapping(path: Path) -> dict[str, Any]:
    """Read the mapping in a YAML file; a file of comments is an empty mapping."""
    value = read_value(read_text(path), path)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise DataError(path, f"must have settings as `section: ...`, not {type(value).__name__}.")
    _check_keys(path, value)
    return value


def read_value(text: str, where: Path | str) -> Any:
    """Parse one YAML value; ``where`` names its origin in error messages."""
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise DataError(where, f"is not YAML: {error.problem or error.context}{place}.") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DataError(where, f"is not YAML: character {error.character:#04x} is not allowed (line {line}).") from None
    except RecursionError:
        raise DataError(where, "is nested too deeply. Simplify it.") from None
    except (ValueError, OverflowError, LookupError, TypeError, AttributeError) as error:  # of tags such as !!int
        raise DataError(where, f"is not YAML that can be read: {error}.") from None


def _check_keys(path: Path, mapping: dict[Any, Any], prefix: str = "", depth: int = 4) -> None:
    """Check that all keys are strings. The depth is limited, since an alias can make a mapping contain itself."""
    for key, value in mapping.items():
        if not isinstance(key, str):
            raise DataError(path, f"the key {prefix}{key!r} is not a text. Put it in quotes, or check its spelling.")
        if isinstance(value, dict) and depth > 1:
            _check_keys(path, value, f"{prefix}{key}.", depth - 1)
