"""Reader of PDF files: the text of each page, by pypdf.

Neither pdfminer.six nor pypdfium2 is better overall: pdfminer.six reads tables column by column, and pypdfium2 mixes
the columns of a page as pypdf does.
"""

import logging
import re
import unicodedata
from collections.abc import Iterator, Sequence
from io import BytesIO
from math import hypot
from typing import TYPE_CHECKING, Any

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, TextBuilder, meaningful_title, one_line
from corpus.documents.layout import Stretch, page_text
from corpus.documents.pages import join_pages
from corpus.documents.source import Source, format_advice, read_bytes

if TYPE_CHECKING:
    from pypdf import PageObject

# Ligatures and their letters: ff, fi, fl, ffi, ffl, long st, st.
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_BOLD = re.compile(r"Bold|Black|Heavy|Demi", re.IGNORECASE)
_MONOSPACED = re.compile(r"Courier|Mono|Consol", re.IGNORECASE)
_MAX_LISTED = 5  # pages that a message lists
_SIGNATURE_BYTES = 1024  # first bytes of a PDF file, in which its signature must be


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract | DataError]:
    """The text of the pages in order; page numbers count from 1.

    Running heads are removed and hyphenated words are joined. A sentence that continues on the next page belongs to the
    page where it starts. Two columns are read one after the other. A ``DataError`` is yielded for each damaged page,
    and one for all pages that have images and no text.

    Raises:
        DataError: the file is encrypted, broken, without text (a scan), or has more than ``config.max_pages`` pages.
    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    raw = read_bytes(source, config)
    if b"%PDF-" not in raw[:_SIGNATURE_BYTES]:
        raise DataError(source.name, f"is not a PDF file. {format_advice(raw) or ''}".rstrip())
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # pypdf logs every recoverable error
    body = TextBuilder()
    try:
        reader = PdfReader(BytesIO(raw))
        encrypted = reader.is_encrypted and not reader.decrypt("")
        page_count = 0 if encrypted else len(reader.pages)
        title = None if encrypted or reader.metadata is None else reader.metadata.title
    except DependencyError:
        encrypted = True
    except Exception as error:  # pypdf raises many types of errors on broken files
        raise _damage_error(source, error) from None
    if encrypted:
        raise DataError(source.name, "is encrypted. Save a copy that opens without a password.")
    if page_count > config.max_pages:
        problem = f"has {page_count:,} pages, more than documents.max_pages ({config.max_pages:,})."
        raise DataError(source.name, f"{problem} Split it, or raise the setting.")
    texts = [""] * page_count
    image_pages: list[int] = []  # numbers of pages with images and no text
    is_damaged = False
    for number in range(page_count):
        try:
            page = reader.pages[number]
            texts[number] = _text(page).translate(_LIGATURES)
            if not texts[number].strip() and _has_image(page):
                image_pages.append(number + 1)
        except MemoryError:  # this process has reached its limit, so other pages would fail too
            raise
        except Exception as error:
            is_damaged = True
            yield _damage_error(source, error, number + 1)
    for number, text in enumerate(join_pages(texts), start=1):
        body.add(text, page=number)
    extract = body.extract(source.name, title=meaningful_title(str(title)) if title else None)
    if extract is not None:
        yield extract
    elif not is_damaged:
        raise DataError(
            source.name, "contains no text; it seems to be a scan. Run OCR on it first, for example with ocrmypdf."
        )
    if image_pages:
        yield DataError(source.name, _missing_text_message(image_pages, page_count))


def _has_image(page: "PageObject") -> bool:
    """Whether a page's resources have an image or a form; False if they are broken."""
    try:
        resources: Any = page["/Resources"]
        objects = resources["/XObject"]
        return any(item.get_object()["/Subtype"] in ("/Image", "/Form") for item in objects.values())
    except Exception:  # pypdf raises many types of errors on broken files
        return False


def _missing_text_message(image_pages: Sequence[int], page_count: int) -> str:
    """The message about pages that have images and no text."""
    listed = ", ".join(map(str, image_pages[:_MAX_LISTED])) + (", ..." if len(image_pages) > _MAX_LISTED else "")
    return (
        f"{len(image_pages)} of {page_count} pages have images and no text (page {listed}); the others are read. If "
        "they are scans, run OCR on the file first, for example with ocrmypdf."
    )


def _text(page: "PageObject") -> str:
    """The page's text in the order of its layout, or as pypdf orders it if parts of the text have no position."""
    lines: list[list[Stretch]] = [[]]
    visited: list[str] = []

    def visit(text: str, matrix: list[float], text_matrix: list[float], font: Any, size: float) -> None:
        visited.append(text)
        first, *others = text.split("\n")
        for number, piece in enumerate([first, *others]):
            if number:
                lines.append([])
            if piece.strip():
                lines[-1].append(_stretch(piece, matrix, text_matrix, font, size))
            elif piece and lines[-1]:
                last = lines[-1][-1]
                lines[-1][-1] = last._replace(text=last.text + piece)

    _separate_cells(page)
    text = page.extract_text(visitor_text=visit)
    if not visited or "".join(visited).split() != text.split():
        return text
    return page_text([line for line in lines if line])


def _separate_cells(page: "PageObject") -> None:
    """Make pypdf split a line's text before each move to the right, by repeating the font operator there."""
    from pypdf.generic import ContentStream, NameObject

    if "/Contents" not in page:
        return
    content = ContentStream(page["/Contents"].get_object(), page.pdf, "bytes")
    fonts: list[Any] = [None]
    operations: list[tuple[Any, bytes]] = []
    last_matrix: Any = None  # operands of the last Tm
    for operands, operator in content.operations:
        if operator == b"Tf":
            fonts[-1] = operands
        elif operator == b"q":
            fonts.append(fonts[-1])
        elif operator == b"Q" and len(fonts) > 1:
            fonts.pop()
        elif operator in (b"Td", b"Tm") and len(operands) in (2, 6):
            if fonts[-1] is not None and _moves_right(operands, last_matrix):
                operations.append((fonts[-1], b"Tf"))
            last_matrix = operands if operator == b"Tm" else last_matrix
        operations.append((operands, operator))
    content.operations = operations
    page[NameObject("/Contents")] = content


def _moves_right(operands: Any, last_matrix: Any) -> bool:
    """Whether a Td or Tm operator moves to the right within a line."""
    try:
        if len(operands) == 2:
            return bool(operands[0] > 0 and operands[1] == 0)
        if last_matrix is None or operands[:4] != last_matrix[:4]:
            return False
        a, b = operands[0], operands[1]
        right, up = operands[4] - last_matrix[4], operands[5] - last_matrix[5]
        return bool(right * a + up * b > 0 and abs(up * a - right * b) < 0.01 * (a * a + b * b))
    except TypeError:
        return False


def _stretch(text: str, matrix: list[float], text_matrix: list[float], font: Any, size: float) -> Stretch:
    """A stretch with its position along and across the direction of writing, which differs on rotated pages."""
    a, b, c, d, e, f = _product(text_matrix, matrix)
    along, up = hypot(a, b) or 1.0, hypot(c, d) or 1.0
    x, y = (e * a + f * b) / along, (e * c + f * d) / up
    name = str((font or {}).get("/BaseFont", ""))
    bold, monospaced = _BOLD.search(name) is not None, _MONOSPACED.search(name) is not None
    return Stretch(x, y, abs(size) * up or 1.0, bold, text, monospaced)


def _product(first: Sequence[float], second: Sequence[float]) -> tuple[float, ...]:
    """The transformation matrix that applies ``first`` and then ``second``."""
    a, b, c, d, x, y = second
    rows = [(first[at] * a + first[at + 1] * c, first[at] * b + first[at + 1] * d) for at in (0, 2, 4)]
    return (*rows[0], *rows[1], rows[2][0] + x, rows[2][1] + y)


def _damage_error(source: Source, error: BaseException, page: int | None = None) -> DataError:
    reason = one_line(str(error)) or type(error).__name__
    if page is None:
        return DataError(source.name, f"is not a PDF file that can be read ({reason[:200]}).")
    return DataError(source.name, f"is damaged and cannot be read ({reason[:200]}).", record=f"page {page}")
