"""Word documents (.docx): paragraphs, tables and headings of the body."""

from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

from corpus.config import DocumentsConfig
from corpus.documents.extract import Body, Extract, one_line
from corpus.documents.source import Source, hint, read_bytes
from corpus.errors import DataError

if TYPE_CHECKING:
    from docx.table import Table


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The body's text; the cells of a table's row stand in one line, between tabs.

    Headers, footers, footnotes and comments are not read.

    Raises:
        DataError: it is no Word file, is broken, larger than ``config.max_bytes`` when unpacked, or without text.
    """
    import docx
    from docx.table import Table

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
        for block in document.iter_inner_content():
            if isinstance(block, Table):
                body.add(_rows(block), section=section)
                continue
            style = (block.style.name or "") if block.style is not None else ""
            if style == "Title" or style.startswith("Heading"):
                section = one_line(block.text)
            body.add(block.text, section=section)
        title = one_line(document.core_properties.title)
    except Exception as error:  # python-docx gives up on what is broken in many ways
        raise DataError(source.name, f"is not a .docx file that can be read ({one_line(str(error))}).") from None
    found = body.extract(source.name, title=title)
    if found is None:
        raise DataError(source.name, "holds no text.")
    yield found


def _rows(table: "Table") -> str:
    lines = []
    for row in table.rows:
        cells = dict.fromkeys(cell._tc for cell in row.cells)  # a merged cell comes once for each place it covers
        by_element = {cell._tc: cell.text for cell in row.cells}
        lines.append("\t".join(" ".join(by_element[cell].split()) for cell in cells))
    return "\n".join(line for line in lines if line.strip())
