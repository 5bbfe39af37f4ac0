"""Word documents (.docx): paragraphs, tables and headings of the body."""

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Body, Extract, one_line
from corpus.documents.source import Source, hint, read_bytes

if TYPE_CHECKING:
    from docx.document import Document
    from docx.table import Table


# Also those in content controls; what stands in text boxes is there twice, for old programs too, and is left out.
_BLOCKS = "./w:p | ./w:tbl | .//w:sdtContent[not(ancestor::w:p or ancestor::w:tbl)]/*[self::w:p or self::w:tbl]"
_RUNS = ".//w:r[not(ancestor::w:txbxContent or ancestor::w:moveFrom)]"


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The body's text; the cells of a table's row stand in one line, between tabs.

    Headers, footers, footnotes, comments and text boxes are not read.

    Raises:
        DataError: it is no Word file, is broken, larger than ``config.max_bytes`` when unpacked, or without text.
    """
    import docx
    from docx.oxml.ns import qn
    from docx.table import Table
    from docx.text.paragraph import Paragraph

    raw = read_bytes(source, config)
    try:
        with ZipFile(BytesIO(raw)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except BadZipFile:
        told = hint(raw) if not raw.startswith(b"PK") else None
        raise DataError(source.name, f"is not a .docx file, or a damaged one. {told or ''}".rstrip()) from None
    if unpacked > config.max_bytes:
        raise DataError(
            source.name,
            f"unpacks to {unpacked:,} bytes, more than documents.max_bytes ({config.max_bytes:,}). Raise the setting.",
        )
    try:
        document = docx.Document(BytesIO(raw))
        body = Body()
        section: str | None = None
        for element in document.element.body.xpath(_BLOCKS):
            if element.tag == qn("w:tbl"):
                body.add(_rows(Table(element, document)), section=section)
                continue
            text, style = _text(element), Paragraph(element, document._body).style
            if style is not None and (style.name == "Title" or (style.name or "").startswith("Heading")):
                section = one_line(text)
            body.add(text, section=section)
        title = _title(document)
    except Exception as error:  # python-docx gives up on what is broken in many ways
        raise DataError(source.name, f"is not a .docx file that can be read ({one_line(str(error))}).") from None
    found = body.extract(source.name, title=title)
    if found is None:
        raise DataError(source.name, "holds no text.")
    yield found


def _text(paragraph: Any) -> str:
    """What the paragraph says once all tracked changes are accepted; python-docx's own leaves out what was inserted."""
    return "".join(run.text for run in paragraph.xpath(_RUNS))


def _title(document: "Document") -> str | None:
    from docx.opc.constants import RELATIONSHIP_TYPE

    try:
        document.part.package.part_related_by(RELATIONSHIP_TYPE.CORE_PROPERTIES)
    except KeyError:  # python-docx would make properties up, "Word Document" for the title
        return None
    return one_line(document.core_properties.title)


def _rows(table: "Table") -> str:
    lines = []
    for row in table.rows:
        cells = dict.fromkeys(cell._tc for cell in row.cells)  # a merged cell comes once for each place it covers
        lines.append("\t".join(" ".join(" ".join(map(_text, cell.xpath(".//w:p"))).split()) for cell in cells))
    return "\n".join(line for line in lines if line.strip())
