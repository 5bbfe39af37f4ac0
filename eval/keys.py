"""The key of a record's result: a hash of all that determines it."""

import hashlib
import json
from typing import Any

from eval.results import plain


def content_key(**content: Any) -> str:
    """SHA-256, in hex, of ``content`` as canonical JSON: the same content gives the same key in any order of names."""
    text = json.dumps(plain(content), sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()
