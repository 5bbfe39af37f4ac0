"""PDF: the text of each page, by pypdf.

pdfminer.six splits tables into columns and pypdfium2 mixes columns like pypdf, so neither is better overall.
"""

import logging
import unicodedata
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Body, Extract, one_line
from corpus.documents.pages import in_columns, read_on
from corpus.documents.source import Source, hint, read_bytes

if TYPE_CHECKING:
    from pypdf import PageObject

# Ligatures and their letters: ff, fi, fl, ffi, ffl, long st, st.
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_HEAD = 1024  # number of bytes within which the PDF header must begin


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The text of the pages in order; a page's number counts from 1.

    Running headers and footers are left out, hyphenated words are joined, a sentence that continues on the next page
    belongs to the page where it starts, and two columns are read one after the other.

    Raises:
        DataError: it is encrypted, broken, without text (a scan), or has more than ``config.max_pages`` pages.
    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    raw = read_bytes(source, config)
    if b"%PDF-" not in raw[:_HEAD]:
        raise DataError(source.name, f"is not a PDF file. {hint(raw) or ''}".rstrip())
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it logs every recoverable error
    body = Body()
    try:
        reader = PdfReader(BytesIO(raw))
        encrypted = reader.is_encrypted and not reader.decrypt("")
        pages = 0 if encrypted else len(reader.pages)
        title = None if encrypted or reader.metadata is None else reader.metadata.title
    except DependencyError:
        encrypted = True
    except Exception as error:  # pypdf raises many types of errors on broken files
        raise _broken(source, error) from None
    if encrypted:
        raise DataError(source.name, "is encrypted. Save a copy that opens without a password.")
    if pages > config.max_pages:
        problem = f"has {pages:,} pages, more than documents.max_pages ({config.max_pages:,})."
        raise DataError(source.name, f"{problem} Split it, or raise the setting.")
    texts: list[str] = []
    for number in range(pages):
        try:
            texts.append(_text(reader.pages[number]).translate(_LIGATURES))
        except Exception as error:
            raise _broken(source, error, number + 1) from None
    for number, text in enumerate(read_on(texts), start=1):
        body.add(text, page=number)
    found = body.extract(source.name, title=one_line(str(title)) if title else None)
    if found is None:
        raise DataError(
            source.name, "contains no text; it seems to be a scan. Run OCR on it first, for example with ocrmypdf."
        )
    yield found


def _text(page: "PageObject") -> str:
    stretches: list[tuple[float, str]] = []

    def visit(text: str, matrix: list[float], text_matrix: list[float], *_: object) -> None:
        if text:
            stretches.append((text_matrix[4] + matrix[4], text))

    text = page.extract_text(visitor_text=visit)
    lines: list[list[tuple[float, str]]] = [[]]
    for begin, stretch in stretches:
        first, *others = stretch.split("\n")
        for number, piece in enumerate([first, *others]):
            if number:
                lines.append([])
            if piece.strip():
                lines[-1].append((begin, piece))
    columns = in_columns([line for line in lines if line])
    return text if columns is None else "\n".join(columns)


def _broken(source: Source, error: BaseException, page: int | None = None) -> DataError:
    reason = one_line(str(error)) or type(error).__name__
    record = None if page is None else f"page {page}"
    return DataError(source.name, f"is not a PDF file that can be read ({reason[:200]}).", record=record)
