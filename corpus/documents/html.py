"""HTML: what a reader sees, block by block, with the heading that each part stands under."""

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress

from common.encoding import CONVERT, encoding_of
from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Body, Extract, one_line
from corpus.documents.source import Source, hint, read_bytes

_UNSEEN = {
    *("button", "head", "iframe", "math", "nav", "noscript", "object", "script", "select", "style", "svg", "template")
}
_INLINE = {
    *("a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img", "ins", "kbd"),
    *("label", "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "time", "tt", "u", "var"),
    "wbr",
}
_ROWS = {"tr", "tbody", "thead", "tfoot", "colgroup", "col"}
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)|<\?xml[^>]+encoding\s*=\s*[\"']([\w.:-]+)", re.I)
_CHARSET_WITHIN = 2048  # the standard looks at 1,024 bytes


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The page's text; its title is that of its head, else its first heading.

    A table is one block, with a line for each row and tabs between its cells; so is a term with its definition.
    Scripts are not run and nothing is fetched.

    Raises:
        DataError: it is no text, or there is nothing to read in it.
    """
    from lxml import etree, html

    raw = read_bytes(source, config)
    if hint(raw) or (b"\0" in raw and encoding_of(raw) != "utf-16"):
        raise DataError(source.name, f"is not an HTML file. {hint(raw) or f'It holds NUL characters. {CONVERT}'}")
    parser = html.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = html.document_fromstring(_decoded(raw).encode("utf-8", "replace"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError) as error:
        raise DataError(source.name, f"is not HTML that can be read ({one_line(str(error))}).") from None
    body = Body()
    section: str | None = None
    for tag, text in _blocks(root):
        if tag in _HEADINGS:
            section = one_line(text)
        body.add(text, section=section)
    title = one_line(root.findtext(".//title")) or one_line("".join(root.xpath("(//h1)[1]//text()")))
    found = body.extract(source.name, title=title)
    if found is None:
        raise DataError(source.name, "holds no text that a reader would see.")
    yield found


def _decoded(raw: bytes) -> str:
    """The text by its byte order mark or the encoding that it names; else as UTF-8, else as old pages are written."""
    if encoding_of(raw) == "utf-16":
        return raw.decode("utf-16", "replace")
    named = _CHARSET.search(raw[:_CHARSET_WITHIN])
    if named and not raw.startswith(codecs.BOM_UTF8):
        encoding = (named[1] or named[2]).decode("ascii")
        with suppress(LookupError, UnicodeError):  # there is no such encoding, or it is none of texts
            if b"<p>".decode(encoding) == "<p>":  # UTF-16 has not written what names it
                return raw.decode(encoding, "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _blocks(root: object) -> Iterator[tuple[str, str]]:
    """The text between the edges of block elements, with the heading or else the innermost block that it stands in.

    The tree is walked without recursion, however deep it is.
    """
    from lxml import etree

    inside: list[str] = []
    unseen = 0
    gathered: list[str] = []

    def flush() -> Iterator[tuple[str, str]]:
        text = "".join(gathered)
        gathered.clear()
        if "pre" not in inside:
            lines = (re.sub(r" *([ \t]) *", r"\1", line).strip() for line in text.split("\n"))
            text = "\n".join(line for line in lines if line or "table" not in inside)
        if text.strip():
            yield next((tag for tag in inside if tag in _HEADINGS), inside[-1] if inside else ""), text

    for event, element in etree.iterwalk(root, events=("start", "end")):
        tag = str(element.tag).lower()
        if event == "start":
            if tag in _UNSEEN:
                unseen += 1
            if tag == "dd" and "".join(gathered).strip():
                gathered[:] = ["".join(gathered).rstrip(), ": "]
                inside.append(tag)
            elif tag not in _INLINE and tag not in _ROWS and tag not in ("td", "th", "br"):
                yield from flush()
                inside.append(tag)
            if not unseen and element.text:
                gathered.append(_spaced(element.text, "pre" in inside))
            continue
        if tag == "br":
            gathered.append("\n")
        elif tag in ("td", "th"):
            gathered.append("\t")
        elif tag in _ROWS:
            gathered.append("\n" if tag == "tr" else "")
        elif tag == "dt":
            inside.pop()
        elif tag not in _INLINE:
            yield from flush()
            inside.pop()
        if tag in _UNSEEN:
            unseen -= 1
        if not unseen and element.tail:
            gathered.append(_spaced(element.tail, "pre" in inside))
    yield from flush()


def _spaced(text: str, verbatim: bool) -> str:
    return text if verbatim else re.sub(r"\s+", " ", text)
