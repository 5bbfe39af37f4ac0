"""HTML: the visible text, block by block, with the heading above each part.

inscriptis and html2text are not used: they know neither hidden elements nor folded sections, and write superscripts as
digits; see docs/development/log.md.
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from common.encoding import CONVERT_ADVICE, encoding_of
from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, TextBuilder, one_line
from corpus.documents.formulas import formula, lowered, raised
from corpus.documents.grid import Cell, table_blocks
from corpus.documents.source import Source, format_advice, read_bytes

_UNSEEN = {
    *("audio", "canvas", "datalist", "head", "iframe", "nav", "noscript", "object", "rp", "rt", "script", "select"),
    *("style", "svg", "template", "video"),
}
_INLINE = {
    *("a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img", "ins", "kbd"),
    *("label", "mark", "q", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u"),
    *("var", "wbr"),
}
_ROWS = {"tr", "tbody", "thead", "tfoot", "colgroup", "col", "td", "th"}
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_HIDDEN = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse))\b", re.IGNORECASE)
_FLOWS = re.compile(r"(?:^|;)\s*display\s*:\s*inline", re.IGNORECASE)
_FOLDS = re.compile(r"accordion|collaps|toggle|expand", re.IGNORECASE)  # classes of buttons that fold sections
_CONTROLS = ("aria-controls", "data-target", "data-bs-target")
_DEPTH = 50  # maximum nesting of tables
_LINKS = 200  # maximum number of elements in an entry of a table of contents
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)|<\?xml[^>]+encoding\s*=\s*[\"']([\w.:-]+)", re.I)
# Browsers use wider encodings for these (WHATWG's Encoding standard).
_AS_BROWSERS = {
    **dict.fromkeys(("ascii", "iso8859-1", "latin_1"), "cp1252"),
    **{"iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874", "shift_jis": "cp932", "euc_kr": "cp949"},
    **{"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs"},
}
_C1 = {code: bytes([code]).decode("cp1252", "replace") for code in range(0x80, 0xA0)}  # "&#150;" is a dash
_LONG_TAG = re.compile(rb"<[a-zA-Z][^<>]{50000,}")
_QUOTED = re.compile(rb"(?<=[\s\"'])[^\s=/\"'<>]+\s*=\s*(?:\"[^\"]*\"|'[^']*')")  # an attribute with a quoted value
_ATTRIBUTES = 5000  # maximum number of attributes; the parser's time grows with their square
_CHARSET_WITHIN = 2048  # the standard looks at 1,024 bytes


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The page's text, with the title of its head, else its first heading.

    A table is one block, with a line for each row, tabs between its cells, and its header repeated every few rows; a
    table that only lays out the page is read as blocks. A term and its definition are one line. Folded sections are
    read; navigation, the page's footer and lists of links within the page are not. Scripts are not run, style sheets
    are not applied and nothing is fetched.
    """
    from lxml import etree, html

    raw = read_bytes(source, config)
    if format_advice(raw) or (b"\0" in raw and encoding_of(raw) != "utf-16"):
        raise DataError(
            source.name, f"is not an HTML file. {format_advice(raw) or f'It holds NUL characters. {CONVERT_ADVICE}'}"
        )
    if any(_attributes(tag[0]) > _ATTRIBUTES for tag in _LONG_TAG.finditer(raw)):
        raise DataError(source.name, f"has an element with more than {_ATTRIBUTES:,} attributes. Remove that element.")
    parser = html.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        root = html.document_fromstring(_decoded(raw).encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError) as error:
        raise DataError(source.name, f"is not HTML that can be read ({one_line(str(error))}).") from None
    if fatal := [error for error in parser.error_log if error.level == etree.ErrorLevels.FATAL]:
        reason = one_line(fatal[0].message)
        raise DataError(source.name, f"is not HTML that can be read to its end ({reason}).")
    body = TextBuilder()
    section: str | None = None
    for is_heading, text in _Page(root).blocks():
        if is_heading:
            section = one_line(text)
        body.add(text, section=section)
    title = one_line(root.findtext(".//title")) or one_line("".join(root.xpath("(//h1)[1]//text()")))
    found = body.extract(source.name, title=title)
    if found is None:
        raise DataError(source.name, "has no visible text.")
    yield found


def _attributes(tag: bytes) -> int:
    """The approximate number of a tag's attributes, separated by white space, slashes or quoted values."""
    return len(re.split(rb"[\s/]+", _QUOTED.sub(b" a ", tag)))


def _decoded(raw: bytes) -> str:
    """The text by its byte order mark or declared encoding; else as UTF-8, else as Windows-1252."""
    if encoding_of(raw) == "utf-16":
        return raw.decode("utf-16", "replace")
    named = _CHARSET.search(raw[:_CHARSET_WITHIN])
    if named and not raw.startswith(codecs.BOM_UTF8):
        encoding = (named[1] or named[2]).decode("ascii")
        with suppress(LookupError, UnicodeError):  # no such encoding, or not one of texts
            encoding = codecs.lookup(encoding).name
            encoding = _AS_BROWSERS.get(encoding, encoding)
            if b"<p>".decode(encoding) == "<p>":  # UTF-16 could not have written the declaration
                return raw.decode(encoding, "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


class _Page:
    """The blocks of a page, or of a table's cell."""

    def __init__(self, root: Any, depth: int = 0, controlled: frozenset[str] | None = None) -> None:
        self._root = root
        self._depth = depth
        self._controlled = _controlled(root) if controlled is None else controlled
        self._text = ""
        self._pieces: list[str] = []  # after _text, not yet joined
        self._raised: list[int] = []  # start of the text of each open <sup> or <sub>

    def blocks(self) -> Iterator[tuple[bool, str]]:
        """The text between the edges of block elements, and whether it is a heading.

        The walk is not recursive, since the tree may be deep.
        """
        from lxml import etree

        inside: list[str] = []
        walk = etree.iterwalk(self._root, events=("start", "end"))
        skipped: Any = None
        for event, element in walk:
            tag = _tag(element)
            if event == "start":
                if self._is_unseen(element, tag, inside):
                    skipped = element
                elif tag == "math":
                    self._pieces.append(formula(element))
                    skipped = element
                elif tag == "table" and self._is_data(element):
                    yield from self._flush(inside)
                    yield from self._table(element)
                    skipped = element
                if skipped is not None:
                    walk.skip_subtree()
                    continue
                if tag == "dd" and (term := self._joined().rstrip()):
                    self._restart(f"{term}: ")
                    inside.append(tag)
                elif tag in ("sup", "sub"):
                    self._raised.append(len(self._joined()))
                elif not _is_inline(element, tag) and tag != "br":
                    yield from self._flush(inside)
                    inside.append(_kind(element, tag))
                self._pieces.append(_spaced(element.text, "pre" in inside))
                continue
            if element is skipped:
                skipped = None
            elif tag == "br":
                self._pieces.append("\n")
            elif tag in ("sup", "sub"):
                self._raise(tag)
            elif tag == "dt":
                inside.pop()
            elif not _is_inline(element, tag):
                yield from self._flush(inside)
                inside.pop()
            if element is not self._root:
                self._pieces.append(_spaced(element.tail, "pre" in inside))
        yield from self._flush(inside)

    def _joined(self) -> str:
        self._text += "".join(self._pieces)
        self._pieces.clear()
        return self._text

    def _restart(self, text: str = "") -> None:
        self._text = text
        self._pieces.clear()

    def _flush(self, inside: list[str]) -> Iterator[tuple[bool, str]]:
        text = self._joined()
        self._restart()
        self._raised = [0 for _ in self._raised]
        if "pre" not in inside:
            text = "\n".join(re.sub(r" *([ \t]) *", r"\1", line).strip() for line in text.split("\n"))
        if text.strip():
            yield any(tag in _HEADINGS for tag in inside), text

    def _raise(self, tag: str) -> None:
        text = self._joined()
        begin = self._raised.pop()
        before, inner = text[:begin], text[begin:]
        self._restart(before + (raised(before, inner) if tag == "sup" else lowered(before, inner)))

    def _is_unseen(self, element: Any, tag: str, inside: Sequence[str]) -> bool:
        if tag in _UNSEEN or (tag == "dialog" and element.get("open") is None) or _is_navigation(element, tag):
            return True
        if tag == "button":
            folds = any(element.get(name) is not None for name in ("aria-expanded", *_CONTROLS))
            in_heading = any(kind in _HEADINGS for kind in inside)
            return not (folds or in_heading or _FOLDS.search(element.get("class", "")))
        hidden = element.get("hidden")
        if (hidden is None or hidden.lower() == "until-found") and not _HIDDEN.search(element.get("style", "")):
            return False
        return element.get("id") not in self._controlled

    def _is_data(self, table: Any) -> bool:
        """Whether a table holds data; one that lays out a page has headings, tables or a single column."""
        if self._depth >= _DEPTH or table.get("role") in ("presentation", "none"):
            return False
        has_columns = max(map(len, _rows_of(table)), default=0) > 1
        return has_columns and next(table.iterdescendants("table", *_HEADINGS), None) is None

    def _table(self, table: Any) -> Iterator[tuple[bool, str]]:
        for caption in table.iterfind("caption"):
            yield from _Page(caption, self._depth + 1, self._controlled).blocks()
        rows = [
            [
                Cell(
                    self._cell(cell),
                    _number(cell.get("colspan")),
                    _number(cell.get("rowspan")),
                    cell.tag == "th" or _tag(cell.getparent().getparent()) == "thead",
                )
                for cell in row
            ]
            for row in _rows_of(table)
        ]
        for block in table_blocks(rows):
            yield False, block

    def _cell(self, cell: Any) -> str:
        if self._is_unseen(cell, _tag(cell), ()):
            return ""
        blocks = (one_line(text) for _, text in _Page(cell, self._depth + 1, self._controlled).blocks())
        return " ".join(filter(None, blocks))


def _rows_of(table: Any) -> list[list[Any]]:
    """The cells of each of a table's own rows."""
    rows = (row for part in table for row in ([part] if part.tag == "tr" else part if part.tag in _ROWS else ()))
    return [[cell for cell in row if cell.tag in ("td", "th")] for row in rows if row.tag == "tr"]


def _is_navigation(element: Any, tag: str) -> bool:
    """Whether an element is the page's footer, navigation, or a list of links within the page."""
    if element.get("role") in ("navigation", "search", "doc-toc", "contentinfo"):
        return True
    if tag == "footer":
        return _tag(element.getparent()) == "body"
    if tag not in ("ul", "ol"):
        return False
    items = element.findall("li")
    return len(items) > 1 and all(_links_within(item) for item in items)


def _links_within(item: Any) -> bool:
    """Whether all text of a list item, including nested lists, is links within the page."""
    if len(list(islice(item.iter(), _LINKS))) == _LINKS:
        return False
    words = "".join("".join(item.itertext()).split())
    links = (link for link in item.iterdescendants("a") if link.get("href", "").startswith("#"))
    return bool(words) and words == "".join("".join("".join(link.itertext()) for link in links).split())


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else 1


def _tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2].lower() if element is not None else ""


def _is_inline(element: Any, tag: str) -> bool:
    return tag in _INLINE or _FLOWS.search(element.get("style", "")) is not None


def _kind(element: Any, tag: str) -> str:
    """The tag, or that of a heading for elements that head a section."""
    heads = tag in ("summary", "button", "caption") or element.get("role") == "heading"
    return "h6" if heads and tag not in _HEADINGS else tag


def _controlled(root: Any) -> frozenset[str]:
    """The ids of foldable sections."""
    names = (element.get(name) for name in _CONTROLS for element in root.iterfind(f".//*[@{name}]"))
    return frozenset(id.removeprefix("#") for name in names for id in name.split())


def _spaced(text: str | None, verbatim: bool) -> str:
    shown = (text or "").translate(_C1)
    return shown if verbatim else re.sub(r"\s+", " ", shown)
