"""What texts are decoded by: UTF-8, or UTF-16 where a byte order mark says so."""

import codecs

CONVERT = "Save it as UTF-8, or convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW (-f names what it is in now)."


def encoding_of(start: bytes) -> str:
    """The codec for a text that begins so, which leaves a byte order mark out."""
    return "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
