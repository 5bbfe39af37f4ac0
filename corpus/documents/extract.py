"""Results of readers: a document's text with its parts, a withdrawn record, or a problem."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Value = str | int | list[str]
MAX_CHARACTERS = 500  # characters of a title, a heading or another text in the metadata
MAX_VALUES = 300  # items of a list in the metadata
BLOCK_SEPARATOR = "\n\n"

# Lone surrogates, invisible characters such as Unicode's tags (U+E0000 to U+E007F), and control characters. The control
# characters tab, line feed and form feed stay.
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0d-\x1f\x7f\u00ad\ud800-\udfff\ufeff\U000e0000-\U000e007f]")
_DATA_URI = re.compile(r"\bdata:[a-zA-Z]{1,30}/[\w.+-]{1,60}(?:;[\w=.+-]{1,40})*,[^\s)\"'<>]{32,}")

# Titles that programs set by default, names of files, and identifiers of articles.
_PROGRAM_TITLE = re.compile(
    r"(?:untitled|title|(?:(?:untitled|word|new) )?(?:document|page)|dokument|presentation|slide|folie|layout)[ -]?\d*"
    r"|powerpoint[ -]pr(?:esentation|äsentation)|présentation powerpoint"
    r"|microsoft (?:word|powerpoint|excel) - .*"
    r"|.*\w\.(?:docx?|rtf|odt|pdf|txt|tex|dvi|e?ps|indd|qx[dp]|fm|pptx?|odp|xlsx?|x?html?)"
    r"|(?:doi: ?|pii: ?|https?://)\S+|10\.\d{4,}/\S+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Part:
    """``text[start:end]`` of a document, on one page and under one heading.

    ``page`` is None if the format has no pages, ``section`` if there is no heading.
    """

    start: int
    end: int
    page: int | None = None
    section: str | None = None


@dataclass(frozen=True, slots=True)
class Extract:
    """One document.

    Attributes:
        key: id of the document, unique in a library. It contains the file's name, unless other files may revise the
            document.
        text: the text that passages and citations refer to by offsets.
        parts: in order, without overlap; only white space lies outside them.
        metadata: title, year, journal, MeSH headings and others, as far as the format has them.
    """

    key: str
    text: str
    parts: tuple[Part, ...]
    metadata: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A notice that the record ``key`` of this or an earlier file is withdrawn."""

    key: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A message for the user, ``why``: the file or archive's member ``file``, or a part of it, cannot be read."""

    file: str
    why: str


class TextBuilder:
    """A text built block by block; adjacent blocks on one page and in one section become one part."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._parts: list[Part] = []
        self._size = 0

    def add(self, text: str, *, page: int | None = None, section: str | None = None) -> None:
        """Append a block; a blank one is skipped."""
        text = clean(text).strip()
        if not text:
            return
        section = None if section is None else _short(section)
        start = self._size + len(BLOCK_SEPARATOR) if self._blocks else 0
        self._blocks.append(text)
        self._size = start + len(text)
        last = self._parts[-1] if self._parts else None
        if last and (last.page, last.section) == (page, section):
            self._parts[-1] = Part(last.start, self._size, page, section)
        else:
            self._parts.append(Part(start, self._size, page, section))

    def extract(self, key: str, **metadata: Value | None) -> Extract | None:
        """The document, without metadata that are None or empty; None if there is no text."""
        if not self._blocks:
            return None
        given = {name: value for name, value in metadata.items() if value not in (None, "", [])}
        return Extract(key, BLOCK_SEPARATOR.join(self._blocks), tuple(self._parts), given)


def shortened(metadata: Mapping[str, Value]) -> dict[str, Value]:
    """Metadata with long texts and lists cut, since every passage has a copy of them."""

    def shorten(value: Value) -> Value:
        if isinstance(value, list):
            return [_short(text) for text in value[:MAX_VALUES]]
        return _short(value) if isinstance(value, str) else value

    return {name: shorten(value) for name, value in metadata.items()}


def _short(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"


def clean(text: str) -> str:
    """The text without invisible and control characters; form feeds become line feeds."""
    return _INVISIBLE.sub("", text).replace("\f", "\n")


def without_data_uris(text: str) -> str:
    """The text without embedded files (``data:image/png;base64,...``)."""
    return _DATA_URI.sub("", text)


def one_line(text: str | None) -> str | None:
    """The clean text with single spaces as white space; None if nothing is left."""
    return " ".join(clean(text or "").split()) or None


def meaningful_title(text: str | None) -> str | None:
    """The title in a file's properties, in one line; None if it is a program's default, file name or identifier."""
    title = one_line(text)
    return None if title is None or _PROGRAM_TITLE.fullmatch(title) else title
