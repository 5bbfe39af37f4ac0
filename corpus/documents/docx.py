"""Word documents (.docx): the body with its text boxes and notes, read element by element.

python-docx is not used: its text lacks equations, symbols and insertions, and a merged table takes it minutes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from posixpath import join, normpath
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, TextBuilder, one_line
from corpus.documents.formulas import formula, lowered, raised
from corpus.documents.grid import Cell, table_blocks
from corpus.documents.source import LimitedStream, Source, format_advice, read_bytes
from corpus.documents.symbols import symbol

if TYPE_CHECKING:
    from lxml.etree import _Element

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
_DOCUMENT = "/officeDocument"
_STYLES = "/styles"
_HEADING = re.compile(r"title$|heading\b", re.IGNORECASE)
# Elements whose text is not part of the body, or repeats it for old programs.
_LEFT_OUT = {"txbxContent", "moveFrom", "del", "delText", "instrText", "Fallback", "rPr", "pPr", "sectPr", "tblPr"}
_FREED = 100  # number of paragraphs freed at a time
_SIGNS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}


@dataclass(frozen=True, slots=True)
class _Style:
    name: str = ""
    based_on: str | None = None
    hidden: bool = False
    align: str | None = None


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The body's text; a table's row is a line with tabs between its cells.

    Tracked changes are accepted, hidden text is left out, formulas are written in one line, superscripts with ^. Text
    boxes, footnotes and endnotes follow the paragraph or table that contains or cites them. Headers, footers and
    comments are not read.
    """
    from lxml.etree import XMLSyntaxError

    raw = read_bytes(source, config)
    try:
        with ZipFile(BytesIO(raw)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > config.max_bytes:
                problem = f"unpacks to {unpacked:,} bytes, more than documents.max_bytes ({config.max_bytes:,})."
                raise DataError(source.name, f"{problem} Raise the setting.")
            found = _Reader(archive, source.name, config).read()
    except BadZipFile:
        advice = format_advice(raw) if not raw.startswith(b"PK") else None
        raise DataError(source.name, f"is not a .docx file, or a damaged one. {advice or ''}".rstrip()) from None
    except (KeyError, XMLSyntaxError, NotImplementedError, RuntimeError, ValueError) as error:
        reason = one_line(str(error)) or type(error).__name__
        raise DataError(source.name, f"is not a .docx file that can be read ({reason[:200]}).") from None
    if found is None:
        raise DataError(source.name, "has no text.")
    yield found


class _Reader:
    """Reads the parts of one file."""

    def __init__(self, archive: ZipFile, name: str, config: DocumentsConfig) -> None:
        self._archive = archive
        self._name = name
        self._limit = config.max_bytes
        self._styles: dict[str, _Style] = {}
        self._notes: dict[str, str] = {}
        self._cited: list[str] = []

    def read(self) -> Extract | None:
        relations = self._relations("")
        document = relations.get(_DOCUMENT)
        if document is None:
            raise ValueError("it has no document part")
        styles = self._relations(document).get(_STYLES)
        if styles in self._archive.namelist():
            self._styles = dict(self._read_styles(styles or ""))
        for kind in ("footnote", "endnote"):
            self._notes |= self._read_notes(kind, self._relations(document).get(f"/{kind}s"))
        body = TextBuilder()
        section: str | None = None
        for element in self._blocks(document):
            if _name(element) == "p" and self._is_heading(element):
                section = one_line(self._paragraph(element))
            for block in self._texts(element):
                body.add(block, section=section)
        return body.extract(self._name, title=self._title(relations))

    def _root(self, part: str) -> "_Element":
        from lxml import etree

        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
        with self._archive.open(part) as stream:
            root = etree.parse(LimitedStream(stream, self._name, self._limit), parser).getroot()
        _refuse_document_type(root)
        return root

    def _relations(self, part: str) -> dict[str, str]:
        """The parts that a part refers to, by the last component of their type."""
        folder, _, file = part.rpartition("/")
        path = join(folder, "_rels", f"{file}.rels")
        if path not in self._archive.namelist():
            return {}
        found: dict[str, str] = {}
        for one in self._root(path):
            if isinstance(one.tag, str) and one.get("TargetMode") != "External":
                kind = f"/{(one.get('Type') or '').rpartition('/')[2]}"
                target = one.get("Target") or ""
                found.setdefault(kind, normpath(target.lstrip("/") if target.startswith("/") else join(folder, target)))
        return found

    def _blocks(self, part: str) -> Iterator["_Element"]:
        """The body's paragraphs and tables, including those in content controls; each is freed before the next."""
        from lxml import etree

        kinds = ("{*}p", "{*}tbl")
        checked, waiting = False, 0
        with self._archive.open(part) as stream:
            limited = LimitedStream(stream, self._name, self._limit)
            for _, element in etree.iterparse(
                limited, tag=kinds, resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True
            ):
                checked = checked or _refuse_document_type(element)
                if len(element):
                    if next(element.iterancestors(*kinds), None) is not None:
                        continue  # it is read with the table that contains it
                    if not any(_name(above) in _LEFT_OUT for above in element.iterancestors()):
                        yield element
                    element.clear()
                waiting += 1
                if waiting < _FREED:
                    continue
                waiting = 0
                parent = element.getparent()
                while parent is not None and element.getprevious() is not None:
                    del parent[0]

    def _texts(self, element: "_Element") -> Iterator[str]:
        """A block's text, then its text boxes and the notes that it cites."""
        self._cited.clear()
        yield from self._table(element) if _name(element) == "tbl" else [self._paragraph(element)]
        for box in element.iterdescendants("{*}txbxContent"):
            if _is_read(box, element):
                for block in box.iterchildren("{*}p", "{*}tbl"):
                    yield from self._table(block) if _name(block) == "tbl" else [self._paragraph(block)]
        yield from (self._notes.pop(note, "") for note in self._cited)

    def _read_notes(self, kind: str, part: str | None) -> dict[str, str]:
        """The footnotes or endnotes by kind and number."""
        if part not in self._archive.namelist():
            return {}
        return {
            f"{kind} {_attribute(note, 'id')}": "\n".join(map(self._paragraph, note.iterdescendants("{*}p"))).strip()
            for note in self._root(part or "").iterfind(f"{{*}}{kind}")
        }

    def _is_heading(self, paragraph: "_Element") -> bool:
        used = paragraph.find("{*}pPr/{*}pStyle")
        return used is not None and any(_HEADING.match(style.name) for style in self._inherited_styles(_value(used)))

    def _paragraph(self, paragraph: "_Element") -> str:
        """A paragraph's text; adjacent superscript or subscript runs are joined."""
        text = ""
        open_align: str | None = None
        gathered = ""
        for piece, align in self._pieces(paragraph, None):
            if align != open_align:
                text += _aligned(text, gathered, open_align)
                open_align, gathered = align, ""
            gathered += piece
        return text + _aligned(text, gathered, open_align)

    def _pieces(self, element: "_Element", align: str | None) -> Iterator[tuple[str, str | None]]:
        """The pieces of text below an element, each with its vertical alignment."""
        for child in element:
            name = _name(child)
            if name in _LEFT_OUT:
                continue
            if name in ("oMath", "oMathPara"):
                yield formula(child), None
            elif name == "r":
                hidden, placed = self._format(child)
                if not hidden:
                    yield from self._pieces(child, placed)
            elif name == "t":
                font = element.find("{*}rPr/{*}rFonts")
                yield _of_font(child.text or "", None if font is None else font.get(f"{_W}ascii")), align
            elif name in _SIGNS:
                yield _SIGNS[name], align
            elif name in ("footnoteReference", "endnoteReference"):
                self._cited.append(f"{name.removesuffix('Reference')} {_attribute(child, 'id')}")
            elif name == "sym":
                yield symbol(_attribute(child, "font"), _attribute(child, "char")), align
            else:
                yield from self._pieces(child, align)

    def _format(self, run: "_Element") -> tuple[bool, str | None]:
        """Whether a run is hidden, and its vertical alignment, by its own properties or its style."""
        own = run.find("{*}rPr")
        used = None if own is None else own.find("{*}rStyle")
        styles = self._inherited_styles(None if used is None else _value(used))
        hidden, align = _formatting(own)
        if hidden is None:
            hidden = any(style.hidden for style in styles)
        return hidden, align or next((style.align for style in styles if style.align), None)

    def _inherited_styles(self, id: str | None) -> list[_Style]:
        """A style and the styles that it is based on, nearest first."""
        found: list[_Style] = []
        while id in self._styles and len(found) < 20:
            found.append(self._styles[id])
            id = found[-1].based_on
        return found

    def _read_styles(self, part: str) -> Iterator[tuple[str, _Style]]:
        for style in self._root(part).iterfind("{*}style"):
            based, name = style.find("{*}basedOn"), style.find("{*}name")
            hidden, align = _formatting(style.find("{*}rPr"))
            yield (
                _attribute(style, "styleId"),
                _Style(
                    "" if name is None else _value(name),
                    None if based is None else _value(based),
                    bool(hidden),
                    align,
                ),
            )

    def _table(self, table: "_Element") -> Iterator[str]:
        """A table's text; a cell that spans rows is repeated in each."""
        rows: list[list[Cell]] = []
        above: dict[int, Cell] = {}
        for row in _directly(table, "tr"):
            cells: list[Cell] = []
            column = 0
            header = row.find("{*}trPr/{*}tblHeader") is not None
            for cell in _directly(row, "tc"):
                span, merge = cell.find("{*}tcPr/{*}gridSpan"), cell.find("{*}tcPr/{*}vMerge")
                columns = int(value) if span is not None and (value := _value(span)[:6]).isdecimal() else 1
                if merge is not None and _value(merge) != "restart" and column in above:
                    merged = above[column]
                else:
                    paragraphs = (one for one in cell.iterdescendants("{*}p") if _is_read(one, cell))
                    text = " ".join(" ".join(map(self._paragraph, paragraphs)).split())
                    merged = Cell(text, columns if header else 1, 1, header)
                    above[column] = merged
                cells.append(merged)
                column += columns
            rows.append(cells)
        yield from table_blocks(rows)

    def _title(self, relations: dict[str, str]) -> str | None:
        part = relations.get("/core-properties")
        if part not in self._archive.namelist():
            return None
        return one_line(self._root(part or "").findtext("{http://purl.org/dc/elements/1.1/}title"))


def _refuse_document_type(element: "_Element") -> bool:
    if element.getroottree().docinfo.internalDTD is not None:
        raise ValueError("it has a document type, which Word never writes")
    return True


def _is_read(element: "_Element", within: "_Element") -> bool:
    """Whether an element in a block is read, by the elements between; text boxes may occur twice."""
    for above in element.iterancestors():
        if above is within:
            return True
        if _name(above) in _LEFT_OUT:
            return _name(above) == "txbxContent" and _name(element) == "txbxContent" and _is_read(above, within)
    return True


def _name(element: "_Element") -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _directly(element: "_Element", name: str) -> Iterator["_Element"]:
    """A table's rows or a row's cells, including those in content controls."""
    for child in element:
        if _name(child) == name:
            yield child
        elif _name(child) in ("sdt", "sdtContent", "customXml", "ins"):
            yield from _directly(child, name)


def _attribute(element: "_Element", name: str) -> str:
    return element.get(_W + name) or element.get(_STRICT + name) or ""


def _value(element: "_Element") -> str:
    return _attribute(element, "val")


def _formatting(properties: "_Element | None") -> tuple[bool | None, str | None]:
    """Whether text is hidden (None if not specified), and its vertical alignment."""
    if properties is None:
        return None, None
    vanish, align = properties.find("{*}vanish"), properties.find("{*}vertAlign")
    hidden = None if vanish is None else _value(vanish) not in ("0", "false", "off")
    return hidden, None if align is None else _value(align)


def _aligned(before: str, text: str, align: str | None) -> str:
    match align:
        case "superscript":
            return raised(before, text)
        case "subscript":
            return lowered(before, text)
        case _:
            return text


def _of_font(text: str, font: str | None) -> str:
    """The text with the private codes of symbol fonts replaced by Unicode characters."""
    return re.sub("[\uf020-\uf0ff]", lambda sign: symbol(font or "Symbol", f"{ord(sign[0]):X}"), text)
