"""Reader of HTML: the visible text, block by block, with the heading above each part.

inscriptis and html2text are not used: they ignore hidden elements and folded sections, and write superscripts as plain
digits; see docs/development/log.md.
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby, islice
from typing import Any

from common.encoding import CONVERT_ADVICE, encoding_of
from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, TextBuilder, meaningful_title, one_line
from corpus.documents.formulas import formula, lowered, raised
from corpus.documents.grid import Cell, table_blocks
from corpus.documents.source import Source, format_advice, read_bytes

_SKIPPED = {
    *("audio", "canvas", "datalist", "del", "head", "iframe", "nav", "noscript", "object", "rp", "rt", "s", "script"),
    *("select", "strike", "style", "svg", "template", "video"),
}
_INLINE = {
    *("a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "dfn", "em", "font", "i", "img", "ins", "kbd"),
    *("label", "mark", "q", "ruby", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u"),
    *("var", "wbr"),
}
_ROWS = {"tr", "tbody", "thead", "tfoot", "colgroup", "col", "td", "th"}
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_HIDDEN = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse))\b", re.IGNORECASE)
_DISPLAY_INLINE = re.compile(r"(?:^|;)\s*display\s*:\s*inline", re.IGNORECASE)
_FOLDING_CLASS = re.compile(r"accordion|collaps|toggle|expand", re.IGNORECASE)  # class of a button that folds text
_CONTROLS = ("aria-controls", "data-target", "data-bs-target")
_MAX_TABLE_DEPTH = 50  # nesting of tables
_MAX_ITEM_ELEMENTS = 200  # elements in a list item that may consist of links only
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)|<\?xml[^>]+encoding\s*=\s*[\"']([\w.:-]+)", re.I)
# Browsers decode some declared encodings as a larger encoding (WHATWG's Encoding standard).
_BROWSER_ENCODINGS = {
    **dict.fromkeys(("ascii", "iso8859-1", "latin_1"), "cp1252"),
    **{"iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874", "shift_jis": "cp932", "euc_kr": "cp949"},
    **{"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs"},
}
# Browsers decode these control characters as Windows-1252: "&#150;" is a dash.
_WINDOWS_1252_CONTROLS = {code: bytes([code]).decode("cp1252", "replace") for code in range(0x80, 0xA0)}
_LONG_TAG = re.compile(rb"<[a-zA-Z][^<>]{50000,}")
# An attribute with a quoted value.
_QUOTED_ATTRIBUTE = re.compile(rb"(?<=[\s\"'])[^\s=/\"'<>]+\s*=\s*(?:\"[^\"]*\"|'[^']*')")
_MAX_ATTRIBUTES = 5000  # of an element; the parser's time grows with their square
_CHARSET_BYTES = 2048  # searched for the declaration; the standard says 1,024


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The page's text; its title is the title element, else the first heading of level 1.

    The text of a table has a line for each row and tabs between cells, and repeats the table's header every few rows. A
    table that only lays out the page is read cell by cell. A term and its definition are one line. Folded sections are
    read. Deleted text, navigation, the page's footer and lists of links within the page are not read. Scripts are not
    run, style sheets are not applied and nothing is fetched.
    """
    from lxml import etree, html

    raw = read_bytes(source, config)
    if (advice := format_advice(raw)) or (b"\0" in raw and encoding_of(raw) != "utf-16"):
        advice = advice or f"It holds NUL characters. {CONVERT_ADVICE}"
        raise DataError(source.name, f"is not an HTML file. {advice}")
    if any(_attribute_count(tag[0]) > _MAX_ATTRIBUTES for tag in _LONG_TAG.finditer(raw)):
        problem = f"has an element with more than {_MAX_ATTRIBUTES:,} attributes. Remove that element."
        raise DataError(source.name, problem)
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
    title = root.xpath("string((//title[not(ancestor::svg)])[1])")
    title = meaningful_title(title) or one_line(root.xpath("string((//h1)[1])"))
    extract = body.extract(source.name, title=title)
    if extract is None:
        raise DataError(source.name, "has no visible text.")
    yield extract


def _attribute_count(tag: bytes) -> int:
    """The approximate number of a tag's attributes; white space, slashes or quotation marks separate attributes."""
    return len(re.split(rb"[\s/]+", _QUOTED_ATTRIBUTE.sub(b" a ", tag)))


def _decoded(raw: bytes) -> str:
    """The text, decoded by its byte order mark or declared encoding, else as UTF-8, else as Windows-1252."""
    if encoding_of(raw) == "utf-16":
        return raw.decode("utf-16", "replace")
    declared = _CHARSET.search(raw[:_CHARSET_BYTES])
    if declared and not raw.startswith(codecs.BOM_UTF8):
        encoding = (declared[1] or declared[2]).decode("ascii")
        with suppress(LookupError, UnicodeError):  # no encoding of this name, or not a text encoding
            encoding = codecs.lookup(encoding).name
            encoding = _BROWSER_ENCODINGS.get(encoding, encoding)
            if b"<p>".decode(encoding) == "<p>":  # false for UTF-16, which would hide the declaration
                return raw.decode(encoding, "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


class _Page:
    """The blocks of a page, or of a table's cell."""

    def __init__(self, root: Any, depth: int = 0, foldable_ids: frozenset[str] | None = None) -> None:
        self._root = root
        self._depth = depth
        self._foldable_ids = _foldable_ids(root) if foldable_ids is None else foldable_ids
        self._pieces: list[str] = []  # of the current block's text
        self._script_starts: list[int] = []  # offset in the block's text of each open <sup> or <sub>

    def blocks(self) -> Iterator[tuple[bool, str]]:
        """For each block, whether it is a heading, and its text; blocks end where block elements begin or end.

        The tree is not walked recursively, since it may be deep.
        """
        from lxml import etree

        inside: list[str] = []  # tags of the open block elements
        walk = etree.iterwalk(self._root, events=("start", "end"))
        skipped: Any = None
        for event, element in walk:
            tag = _tag(element)
            if event == "start":
                if self._is_skipped(element, tag, inside):
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
                if tag == "dd" and (term := self._join().rstrip()):
                    self._pieces = [f"{term}: "]
                    inside.append(tag)
                elif tag in ("sup", "sub"):
                    self._script_starts.append(len(self._join()))
                elif not _is_inline(element, tag) and tag != "br":
                    yield from self._flush(inside)
                    inside.append(_block_tag(element, tag))
                self._pieces.append(_text_of(element.text, "pre" in inside))
                continue
            if element is skipped:
                skipped = None
            elif tag == "br":
                self._pieces.append("\n")
            elif tag in ("sup", "sub"):
                self._end_script(tag)
            elif tag == "dt":
                inside.pop()
            elif not _is_inline(element, tag):
                yield from self._flush(inside)
                inside.pop()
            if element is not self._root:
                self._pieces.append(_text_of(element.tail, "pre" in inside))
        yield from self._flush(inside)

    def _join(self) -> str:
        """The text of the current block so far."""
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def _flush(self, inside: list[str]) -> Iterator[tuple[bool, str]]:
        text = self._join()
        self._pieces = []
        self._script_starts = [0 for _ in self._script_starts]
        if "pre" not in inside:
            text = "\n".join(re.sub(r" *([ \t]) *", r"\1", line).strip() for line in text.split("\n"))
        if text.strip():
            yield any(tag in _HEADINGS for tag in inside), text

    def _end_script(self, tag: str) -> None:
        text = self._join()
        begin = self._script_starts.pop()
        before, inner = text[:begin], text[begin:]
        self._pieces = [before, raised(before, inner) if tag == "sup" else lowered(before, inner)]

    def _is_skipped(self, element: Any, tag: str, inside: Sequence[str]) -> bool:
        if tag in _SKIPPED or (tag == "dialog" and element.get("open") is None) or _is_navigation(element, tag):
            return True
        if tag == "button":
            controls_section = any(element.get(name) is not None for name in ("aria-expanded", *_CONTROLS))
            in_heading = any(kind in _HEADINGS for kind in inside)
            return not (controls_section or in_heading or _FOLDING_CLASS.search(element.get("class", "")))
        hidden = element.get("hidden")
        if (hidden is None or hidden.lower() == "until-found") and not _HIDDEN.search(element.get("style", "")):
            return False
        return element.get("id") not in self._foldable_ids

    def _is_data(self, table: Any) -> bool:
        """Whether a table has data. Other tables lay out the page: they have headings, tables or a single column."""
        if self._depth >= _MAX_TABLE_DEPTH or table.get("role") in ("presentation", "none"):
            return False
        has_columns = max((len(_cells_of(row)) for row in self._rows_of(table)), default=0) > 1
        return has_columns and next(table.iterdescendants("table", *_HEADINGS), None) is None

    def _rows_of(self, table: Any) -> list[Any]:
        """The visible rows of a table, without the rows of tables inside of it."""
        parts = (part for part in table if not self._is_skipped(part, _tag(part), ()))
        rows = (row for part in parts for row in ([part] if part.tag == "tr" else part if part.tag in _ROWS else ()))
        return [row for row in rows if row.tag == "tr" and not self._is_skipped(row, "tr", ())]

    def _table(self, table: Any) -> Iterator[tuple[bool, str]]:
        for caption in table.iterfind("caption"):
            if self._is_skipped(caption, "caption", ()):
                continue
            yield from _Page(caption, self._depth + 1, self._foldable_ids).blocks()
        rows: list[list[Cell]] = []
        for _, row_group in groupby(self._rows_of(table), key=lambda row: row.getparent()):
            group = list(row_group)
            for number, row in enumerate(group):
                rows.append([self._cell(cell, len(group) - number) for cell in _cells_of(row)])
        for block in table_blocks(rows):
            yield False, block

    def _cell(self, cell: Any, rows_left: int) -> Cell:
        """The cell of an element; ``rows_left`` is the number of rows from its own to the last of its row group."""
        text = ""
        if not self._is_skipped(cell, _tag(cell), ()):
            blocks = (one_line(text) for _, text in _Page(cell, self._depth + 1, self._foldable_ids).blocks())
            text = " ".join(filter(None, blocks))
        rows = min(_span(cell.get("rowspan")) or rows_left, rows_left)  # rowspan="0" means all rows that are left
        is_header = cell.tag == "th" or _tag(cell.getparent().getparent()) == "thead"
        return Cell(text, _span(cell.get("colspan")), rows, is_header)


def _is_navigation(element: Any, tag: str) -> bool:
    """Whether an element is navigation, the page's footer, or a list of links within the page."""
    if element.get("role") in ("navigation", "search", "doc-toc", "contentinfo"):
        return True
    if tag == "footer":
        return _tag(element.getparent()) == "body"
    if tag not in ("ul", "ol"):
        return False
    items = element.findall("li")
    return len(items) > 1 and all(_links_within(item) for item in items)


def _links_within(item: Any) -> bool:
    """Whether a list item, including nested lists, consists of links within the page."""
    if len(list(islice(item.iter(), _MAX_ITEM_ELEMENTS))) == _MAX_ITEM_ELEMENTS:
        return False
    words = "".join("".join(item.itertext()).split())
    links = (link for link in item.iterdescendants("a") if link.get("href", "").startswith("#"))
    return bool(words) and words == "".join("".join("".join(link.itertext()) for link in links).split())


def _cells_of(row: Any) -> list[Any]:
    return [cell for cell in row if cell.tag in ("td", "th")]


def _span(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else 1


def _tag(element: Any) -> str:
    return str(element.tag).rpartition("}")[2].lower() if element is not None else ""


def _is_inline(element: Any, tag: str) -> bool:
    return tag in _INLINE or _DISPLAY_INLINE.search(element.get("style", "")) is not None


def _block_tag(element: Any, tag: str) -> str:
    """The tag of a block element; h6 for other elements that are headings."""
    is_heading = tag in ("summary", "button", "caption") or element.get("role") == "heading"
    return "h6" if is_heading and tag not in _HEADINGS else tag


def _foldable_ids(root: Any) -> frozenset[str]:
    """The ids of sections that a button shows and hides."""
    names = (element.get(name) for name in _CONTROLS for element in root.iterfind(f".//*[@{name}]"))
    return frozenset(id.removeprefix("#") for name in names for id in name.split())


def _text_of(text: str | None, verbatim: bool) -> str:
    decoded = (text or "").translate(_WINDOWS_1252_CONTROLS)
    return decoded if verbatim else re.sub(r"\s+", " ", decoded)
