"""What a format gives: a document's text with its parts, or the word that a record is withdrawn."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Value = str | int | list[str]
CHARACTERS = 500  # of a title, a section's name or another text among the metadata
VALUES = 300  # of a list among them
BLOCK = "\n\n"  # stands between the blocks of a text that was put together

# Control characters but for tab, line feed and form feed, halves of characters, and what no reader sees, such as the
# tags of Unicode (U+E0000 to U+E007F).
_UNFIT = re.compile("[\x00-\x08\x0b\x0d-\x1f\x7f\u00ad\ud800-\udfff\ufeff\U000e0000-\U000e007f]")

_DATA_URI = re.compile(r"\bdata:[a-zA-Z]{1,30}/[\w.+-]{1,60}(?:;[\w=.+-]{1,40})*,[^\s)\"'<>]{32,}")


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a text that lies on one page and in one section, where the format knows of such."""

    start: int
    end: int
    page: int | None = None
    section: str | None = None


@dataclass(frozen=True, slots=True)
class Extract:
    """One document.

    Attributes:
        key: its id, unique in a store; a record of a file that others may revise has one that does not name the file.
        text: what passages are cut from and citations point into.
        parts: in order, without overlap; only white space lies outside them.
        metadata: title, year, journal, mesh and the like, as far as the format knows them.
        missing: what of the document cannot be read, for the user, such as pages that are pictures.
    """

    key: str
    text: str
    parts: tuple[Part, ...]
    metadata: Mapping[str, Value] = field(default_factory=dict)
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The record ``key``, whichever file brought it, is no longer there."""

    key: str


class Body:
    """A text put together block by block; neighbours on one page and in one section become one part."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._parts: list[Part] = []
        self._size = 0

    def add(self, text: str, *, page: int | None = None, section: str | None = None) -> None:
        """Append a block; one without anything but white space is passed over."""
        text = clean(text).strip()
        if not text:
            return
        section = None if section is None else _short(section)
        start = self._size + len(BLOCK) if self._blocks else 0
        self._blocks.append(text)
        self._size = start + len(text)
        last = self._parts[-1] if self._parts else None
        if last and (last.page, last.section) == (page, section):
            self._parts[-1] = Part(last.start, self._size, page, section)
        else:
            self._parts.append(Part(start, self._size, page, section))

    def extract(self, key: str, **metadata: Value | None) -> Extract | None:
        """The document, without metadata that is None or empty; None where there is no text."""
        if not self._blocks:
            return None
        known = {name: value for name, value in metadata.items() if value not in (None, "", [])}
        return Extract(key, BLOCK.join(self._blocks), tuple(self._parts), known)


def shortened(metadata: Mapping[str, Value]) -> dict[str, Value]:
    """Metadata with at most some hundred characters in a text and texts in a list: every passage has a copy of them."""
    return {
        name: [_short(one) for one in value[:VALUES]]
        if isinstance(value, list)
        else _short(value)
        if isinstance(value, str)
        else value
        for name, value in metadata.items()
    }


def _short(text: str) -> str:
    return text if len(text) <= CHARACTERS else f"{text[: CHARACTERS - 1]}…"


def clean(text: str) -> str:
    """The text without characters that nothing can show."""
    return _UNFIT.sub("", text).replace("\f", "\n")


def without_data_uris(text: str) -> str:
    """The text without pictures and the like that lie in it as ``data:image/png;base64,...``."""
    return _DATA_URI.sub("", text)


def one_line(text: str | None) -> str | None:
    """The text with every run of white space as one space; None where nothing is left."""
    return " ".join(clean(text or "").split()) or None
