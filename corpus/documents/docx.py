"""Reader of Word documents (.docx): the body with its text boxes and notes, element by element.

python-docx is not used: its text lacks equations, symbols and insertions, and it needs minutes for some merged tables.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from posixpath import join, normpath
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, TextBuilder, meaningful_title, one_line
from corpus.documents.formulas import formula, lowered, raised
from corpus.documents.grid import Cell, table_blocks
from corpus.documents.source import LimitedStream, Source, format_advice, read_bytes
from corpus.documents.symbols import symbol

if TYPE_CHECKING:
    from lxml.etree import _Element

_NAMESPACE = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT_NAMESPACE = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
_HEADING = re.compile(r"title$|heading\b", re.IGNORECASE)
# Elements whose text is read separately (txbxContent), is not part of the body, or repeats other text for old programs.
_SKIPPED = {"txbxContent", "moveFrom", "del", "delText", "instrText", "rt", "Fallback", "rPr", "pPr", "sectPr", "tblPr"}
_BATCH = 100  # number of paragraphs and tables whose memory is freed together
_MAX_STYLES = 20  # length of a chain of styles based on each other, which is a circle in damaged files
_CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}


@dataclass(frozen=True, slots=True)
class _Style:
    """A style. ``align`` is the vertical alignment, such as superscript.

    ``hidden`` and ``align`` are None if the style does not specify them.
    """

    name: str = ""
    based_on: str | None = None
    hidden: bool | None = None
    align: str | None = None


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The body's text, with a line for each row of a table and tabs between its cells.

    Tracked changes are accepted; hidden and struck-through text is skipped. Formulas are written in one line,
    superscripts with ^. Text boxes, footnotes and endnotes follow the paragraph or table that contains or cites them.
    Headers, footers and comments are not read.
    """
    from lxml.etree import XMLSyntaxError

    raw = read_bytes(source, config)
    try:
        with ZipFile(BytesIO(raw)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > config.max_bytes:
                problem = f"unpacks to {unpacked:,} bytes, more than documents.max_bytes ({config.max_bytes:,})."
                raise DataError(source.name, f"{problem} Raise the setting.")
            extract = _Reader(archive, source.name, config).read()
    except BadZipFile:
        advice = format_advice(raw) if not raw.startswith(b"PK") else None
        raise DataError(source.name, f"is not a .docx file, or a damaged one. {advice or ''}".rstrip()) from None
    except (KeyError, XMLSyntaxError, NotImplementedError, RuntimeError, ValueError) as error:
        reason = one_line(str(error)) or type(error).__name__
        raise DataError(source.name, f"is not a .docx file that can be read ({reason[:200]}).") from None
    if extract is None:
        raise DataError(source.name, "has no text.")
    yield extract


class _Reader:
    """Reads one file, which is a zip archive of XML parts."""

    def __init__(self, archive: ZipFile, name: str, config: DocumentsConfig) -> None:
        self._archive = archive
        self._name = name
        self._limit = config.max_bytes
        self._styles: dict[str, _Style] = {}
        self._notes: dict[str, str] = {}  # the texts by kind and id; a note is removed once its text is used
        self._cited: list[str] = []  # kind and id of the notes that the current block cites

    def read(self) -> Extract | None:
        relations = self._relations("")  # of the whole file
        if "officeDocument" not in relations:
            raise ValueError("it has no document part")
        document = relations["officeDocument"]
        parts = self._relations(document)
        if (styles := self._part(parts.get("styles"))) is not None:
            self._styles = dict(map(_read_style, styles.iterfind("{*}style")))
        for kind in ("footnote", "endnote"):
            if (notes := self._part(parts.get(f"{kind}s"))) is not None:
                for note in notes.iterfind(f"{{*}}{kind}"):
                    text = "\n".join(self._paragraphs(note.iterdescendants("{*}p"))).strip()
                    self._notes[f"{kind} {_attribute(note, 'id')}"] = text
        properties = self._part(relations.get("core-properties"))
        title = None if properties is None else properties.findtext("{http://purl.org/dc/elements/1.1/}title")
        body = TextBuilder()
        section: str | None = None
        for element in _accept_joins(self._blocks(document)):
            if _name(element) == "p" and self._is_heading(element):
                section = one_line(self._paragraph(element))
            for block in self._texts(element):
                body.add(block, section=section)
        return body.extract(self._name, title=meaningful_title(title))

    def _part(self, part: str | None) -> "_Element | None":
        """The root of an optional part; None if the file lacks it."""
        return self._root(part) if part is not None and part in self._archive.namelist() else None

    def _root(self, part: str) -> "_Element":
        from lxml import etree

        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
        with self._archive.open(part) as stream:
            root = etree.parse(LimitedStream(stream, self._name, self._limit), parser).getroot()
        _check_no_dtd(root)
        return root

    def _relations(self, part: str) -> dict[str, str]:
        """The paths of the parts that ``part`` refers to, by the last component of the relationship's type."""
        folder, _, file = part.rpartition("/")
        relations = self._part(join(folder, "_rels", f"{file}.rels"))
        parts: dict[str, str] = {}
        for relation in () if relations is None else relations.iterchildren("{*}Relationship"):
            if relation.get("TargetMode") != "External":
                kind = relation.get("Type", "").rpartition("/")[2]
                parts.setdefault(kind, normpath(join("/", folder, relation.get("Target", ""))).lstrip("/"))
        return parts

    def _blocks(self, part: str) -> Iterator["_Element"]:
        """The paragraphs and tables of a part, except those inside of another paragraph or table.

        Each block is cleared after use, since all elements of a large part would need many times its size in memory.
        """
        from lxml import etree

        kinds = ("{*}p", "{*}tbl")
        is_checked, unfreed = False, 0
        with self._archive.open(part) as stream:
            limited = LimitedStream(stream, self._name, self._limit)
            for _, element in etree.iterparse(
                limited, tag=kinds, resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True
            ):
                is_checked = is_checked or _check_no_dtd(element)
                if next(element.iterancestors(*kinds), None) is not None:
                    continue  # read with the table or paragraph that contains it
                if not any(_name(above) in _SKIPPED for above in element.iterancestors()):
                    yield element
                element.clear()
                unfreed += 1
                if unfreed < _BATCH:
                    continue
                unfreed = 0
                parent = element.getparent()
                while parent is not None and element.getprevious() is not None:  # free what precedes the element
                    del parent[0]

    def _texts(self, element: "_Element") -> Iterator[str]:
        """The texts of a block, of its text boxes and of the notes that the block cites."""
        self._cited.clear()
        boxes = [box for box in element.iterdescendants("{*}txbxContent") if _is_visible(box, element)]
        for block in chain([element], *(_accept_joins(box.iterchildren("{*}p", "{*}tbl")) for box in boxes)):
            yield from self._table(block) if _name(block) == "tbl" else [self._paragraph(block)]
        yield from (self._notes.pop(note, "") for note in self._cited)

    def _is_heading(self, paragraph: "_Element") -> bool:
        return any(_HEADING.match(style.name) for style in self._styles_of(paragraph.find("{*}pPr/{*}pStyle")))

    def _paragraphs(self, elements: Iterable["_Element"]) -> Iterator[str]:
        """The texts of paragraphs, joined where tracked changes delete the mark between them."""
        return map(self._paragraph, _accept_joins(list(elements)))

    def _paragraph(self, paragraph: "_Element") -> str:
        """A paragraph's text; adjacent superscript or subscript runs are joined."""
        text = pending = ""  # pending: adjacent pieces with the same alignment
        pending_align: str | None = None
        default_hidden = bool(_hidden_by(self._styles_of(paragraph.find("{*}pPr/{*}pStyle"))))
        for piece, align in self._pieces(paragraph, None, default_hidden):
            if align != pending_align:
                text += _aligned(text, pending, pending_align)
                pending_align, pending = align, ""
            pending += piece
        return text + _aligned(text, pending, pending_align)

    def _pieces(self, element: "_Element", align: str | None, default_hidden: bool) -> Iterator[tuple[str, str | None]]:
        """The pieces of text below an element, each with its vertical alignment.

        ``default_hidden`` is whether the paragraph's style hides its runs; a run may override it.
        """
        for child in element:
            name = _name(child)
            if name in _SKIPPED:
                continue
            if name in ("oMath", "oMathPara"):
                yield formula(child), None
            elif name == "r":
                hidden, run_align = self._run_format(child)
                if not (default_hidden if hidden is None else hidden):
                    yield from self._pieces(child, run_align, default_hidden)
            elif name == "t":
                font = element.find("{*}rPr/{*}rFonts")
                yield _decode_symbols(child.text or "", None if font is None else font.get(f"{_NAMESPACE}ascii")), align
            elif name in _CHARACTERS:
                yield _CHARACTERS[name], align
            elif name in ("footnoteReference", "endnoteReference"):
                self._cited.append(f"{name.removesuffix('Reference')} {_attribute(child, 'id')}")
            elif name == "sym":
                yield symbol(_attribute(child, "font"), _attribute(child, "char")), align
            else:
                yield from self._pieces(child, align, default_hidden)

    def _run_format(self, run: "_Element") -> tuple[bool | None, str | None]:
        """Whether a run is hidden (None if not specified), and its alignment, by its own properties or its style."""
        properties = run.find("{*}rPr")
        styles = self._styles_of(run.find("{*}rPr/{*}rStyle"))
        hidden, align = _visibility_and_alignment(properties)
        if hidden is None:
            hidden = _hidden_by(styles)
        return hidden, align or next((style.align for style in styles if style.align), None)

    def _styles_of(self, reference: "_Element | None") -> list[_Style]:
        """The style that a paragraph or run refers to, and the styles that it is based on, nearest first."""
        found: list[_Style] = []
        id = _value(reference) or None  # an empty id would match a style without an id
        while id in self._styles and len(found) < _MAX_STYLES:
            found.append(self._styles[id])
            id = found[-1].based_on
        return found

    def _table(self, table: "_Element") -> Iterator[str]:
        """A table's text; a cell that spans rows is repeated in each row."""
        rows: list[list[Cell]] = []
        above: dict[int, Cell] = {}
        for row in _direct_children(table, "tr"):
            is_deleted = row.find("{*}trPr/{*}del") is not None
            column = _columns(row.find("{*}trPr/{*}gridBefore"), 0)  # where the row's first cell begins
            cells = [Cell("", column)] if column else []
            header = row.find("{*}trPr/{*}tblHeader") is not None
            for cell in _direct_children(row, "tc"):
                columns, merge = _columns(cell.find("{*}tcPr/{*}gridSpan"), 1), cell.find("{*}tcPr/{*}vMerge")
                if merge is not None and _value(merge) != "restart" and column in above:
                    merged = above[column]
                else:
                    paragraphs = (child for child in cell.iterdescendants("{*}p") if _is_visible(child, cell))
                    text = "" if is_deleted else " ".join(" ".join(self._paragraphs(paragraphs)).split())
                    merged = Cell(text, columns, 1, header)
                    above[column] = merged
                cells.append(merged)
                column += columns
            if not is_deleted:
                rows.append(cells)
        yield from table_blocks(rows)


def _check_no_dtd(element: "_Element") -> bool:
    """Raise ``ValueError`` on a document type declaration, which could declare entities; else return True."""
    if element.getroottree().docinfo.internalDTD is not None:
        raise ValueError("it has a document type, which Word never writes")
    return True


def _read_style(style: "_Element") -> tuple[str, _Style]:
    """A style's id, and the style."""
    based_on, name = _value(style.find("{*}basedOn")) or None, _value(style.find("{*}name"))
    return _attribute(style, "styleId"), _Style(name, based_on, *_visibility_and_alignment(style.find("{*}rPr")))


def _accept_joins(blocks: Iterable["_Element"]) -> Iterator["_Element"]:
    """The blocks; a paragraph whose mark is deleted in tracked changes is joined with the paragraph below it."""
    joined: _Element | None = None  # the joined paragraphs so far, to which the next paragraph is joined
    for block in blocks:
        properties, mark = block.find("{*}pPr"), block.find("{*}pPr/{*}rPr")
        mark_is_deleted = mark is not None and any(_name(change) in ("del", "moveFrom") for change in mark)
        if _name(block) == "p" and (mark_is_deleted or joined is not None):
            if joined is None:
                joined = block.makeelement(block.tag)
            joined.extend(list(block))
            # As in Word, the joined paragraph has the properties of its last paragraph. They are inserted first, since
            # ``find`` returns the first ones.
            joined.insert(0, block.makeelement("pPr") if properties is None else properties)
            if mark_is_deleted:
                continue
            block = joined
        elif joined is not None:
            yield joined
        joined = None
        yield block
    if joined is not None:
        yield joined


def _is_visible(element: "_Element", within: "_Element") -> bool:
    """Whether no skipped element is between ``element`` and the block ``within``.

    If ``element`` is a text box, other text boxes around it do not count as skipped.
    """
    for above in element.iterancestors():
        if above is within:
            return True
        if _name(above) in _SKIPPED:
            return _name(above) == "txbxContent" and _name(element) == "txbxContent" and _is_visible(above, within)
    return True


def _name(element: "_Element") -> str:
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _direct_children(element: "_Element", name: str) -> Iterator["_Element"]:
    """The children of this name, such as a table's rows, also within content controls."""
    for child in element:
        if _name(child) == name:
            yield child
        elif _name(child) in ("sdt", "sdtContent", "customXml", "ins"):
            yield from _direct_children(child, name)


def _attribute(element: "_Element", name: str) -> str:
    return element.get(_NAMESPACE + name) or element.get(_STRICT_NAMESPACE + name) or ""


def _value(element: "_Element | None") -> str:
    """An element's value; empty if there is no element or value."""
    return "" if element is None else _attribute(element, "val")


def _columns(span: "_Element | None", default: int) -> int:
    """The number of columns that a cell or gap spans."""
    number = _value(span)[:6]  # cut, since damaged files may have huge numbers
    return int(number) if number.isdecimal() else default


def _hidden_by(styles: Sequence[_Style]) -> bool | None:
    """Whether the nearest style that specifies ``hidden`` hides its text; None if no style specifies it."""
    return next((style.hidden for style in styles if style.hidden is not None), None)


def _visibility_and_alignment(properties: "_Element | None") -> tuple[bool | None, str | None]:
    """Whether run properties hide or strike through the text (None if not specified), and its vertical alignment."""
    if properties is None:
        return None, None
    switches = [switch for name in ("vanish", "strike", "dstrike") for switch in properties.iterfind(f"{{*}}{name}")]
    hidden = any(_value(switch) not in ("0", "false", "off") for switch in switches) if switches else None
    return hidden, _value(properties.find("{*}vertAlign")) or None


def _aligned(before: str, text: str, align: str | None) -> str:
    match align:
        case "superscript":
            return raised(before, text)
        case "subscript":
            return lowered(before, text)
        case _:
            return text


def _decode_symbols(text: str, font: str | None) -> str:
    """The text with the private-use codes of symbol fonts replaced by Unicode characters."""
    return re.sub("[\uf020-\uf0ff]", lambda sign: symbol(font or "Symbol", f"{ord(sign[0]):X}"), text)
