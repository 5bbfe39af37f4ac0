"""Detection of a text's encoding: UTF-8, or UTF-16 with a byte order mark."""

import codecs

CONVERT_ADVICE = (
    "Save it as UTF-8, or convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW (-f is the present encoding)."
)


def is_text_encoding(name: str) -> bool:
    """Whether Python has a text encoding of this name."""
    try:
        return isinstance("a".encode(name), bytes) and b"a".decode(name) == "a"
    except (LookupError, UnicodeError, TypeError, ValueError):
        return False


def encoding_of(start: bytes) -> str:
    """The codec that decodes a text with these first bytes and removes a byte order mark."""
    return "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
