"""PDF: the text of each page, by pypdf.

pdfminer.six tears tables into columns and pypdfium2 mixes columns as pypdf does, so neither is better on the whole.
"""

import logging
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from math import hypot
from typing import TYPE_CHECKING, Any

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Body, Extract, one_line
from corpus.documents.layout import Stretch, page_text
from corpus.documents.pages import read_on
from corpus.documents.source import Source, hint, read_bytes

if TYPE_CHECKING:
    from pypdf import PageObject

# Printed as one sign, searched as letters: ff, fi, fl, ffi, ffl, long st, st.
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_BOLD = re.compile(r"Bold|Black|Heavy|Demi", re.IGNORECASE)
_MONOSPACED = re.compile(r"Courier|Mono|Consol", re.IGNORECASE)
_NAMED = 5  # pages that a message names
_HEAD = 1024  # bytes within which a PDF file says that it is one


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The text of the pages in order; a page's number counts from 1.

    Running heads and feet are left out, words broken at a line's end are joined, a sentence that goes on over a page's
    end counts as of the page that it begins on, and two columns are read one after the other.

    Raises:
        DataError: it is encrypted, broken, without text (a scan), or has more than ``config.max_pages`` pages.
    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    raw = read_bytes(source, config)
    if b"%PDF-" not in raw[:_HEAD]:
        raise DataError(source.name, f"is not a PDF file. {hint(raw) or ''}".rstrip())
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it remarks on every flaw that it reads over
    body = Body()
    try:
        reader = PdfReader(BytesIO(raw))
        encrypted = reader.is_encrypted and not reader.decrypt("")
        pages = 0 if encrypted else len(reader.pages)
        title = None if encrypted or reader.metadata is None else reader.metadata.title
    except DependencyError:
        encrypted = True
    except Exception as error:  # pypdf gives up on what is broken in many ways
        raise _broken(source, error) from None
    if encrypted:
        raise DataError(source.name, "is encrypted. Save a copy that opens without a password.")
    if pages > config.max_pages:
        problem = f"has {pages:,} pages, more than documents.max_pages ({config.max_pages:,})."
        raise DataError(source.name, f"{problem} Split it, or raise the setting.")
    texts: list[str] = []
    pictures: list[int] = []  # numbers of pages without text
    for number in range(pages):
        try:
            page = reader.pages[number]
            texts.append(_text(page).translate(_LIGATURES))
            if not texts[-1].strip() and _has_picture(page):
                pictures.append(number + 1)
        except Exception as error:
            raise _broken(source, error, number + 1) from None
    for number, text in enumerate(read_on(texts), start=1):
        body.add(text, page=number)
    found = body.extract(source.name, title=one_line(str(title)) if title else None)
    if found is None:
        raise DataError(
            source.name, "holds no text; it seems to be a scan. Have its text recognised first, with ocrmypdf for one."
        )
    yield replace(found, missing=_unread(pictures, pages)) if pictures else found


def _has_picture(page: "PageObject") -> bool:
    """Whether a page names a picture or a form among its resources; False where these are broken."""
    try:
        resources: Any = page["/Resources"]
        objects = resources["/XObject"]
        return any(one.get_object()["/Subtype"] in ("/Image", "/Form") for one in objects.values())
    except Exception:  # pypdf gives up on what is broken in many ways
        return False


def _unread(pictures: Sequence[int], pages: int) -> str:
    """The sentence about pages that are pictures."""
    named = ", ".join(map(str, pictures[:_NAMED])) + (", ..." if len(pictures) > _NAMED else "")
    return (
        f"{len(pictures)} of {pages} pages hold pictures and no text (page {named}); the others are read. If they are "
        "scans, have their text recognised first, with ocrmypdf for one."
    )


def _text(page: "PageObject") -> str:
    """The page's text by its layout; as pypdf gives it where the positions are not those of the text."""
    lines: list[list[Stretch]] = [[]]
    given: list[str] = []

    def visit(text: str, matrix: list[float], text_matrix: list[float], font: Any, size: float) -> None:
        given.append(text)
        first, *others = text.split("\n")
        for number, piece in enumerate([first, *others]):
            if number:
                lines.append([])
            if piece.strip():
                lines[-1].append(_stretch(piece, matrix, text_matrix, font, size))
            elif piece and lines[-1]:
                last = lines[-1][-1]
                lines[-1][-1] = last._replace(text=last.text + piece)

    _part_cells(page)
    text = page.extract_text(visitor_text=visit)
    if not given or "".join(given).split() != text.split():
        return text
    return page_text([line for line in lines if line])


def _part_cells(page: "PageObject") -> None:
    """Have pypdf give what is moved to the right within a line as a stretch of its own, as at a change of fonts."""
    from pypdf.generic import ContentStream, NameObject

    if "/Contents" not in page:
        return
    content = ContentStream(page["/Contents"].get_object(), page.pdf, "bytes")
    fonts: list[Any] = [None]
    operations: list[tuple[Any, bytes]] = []
    before: Any = None
    for operands, operator in content.operations:
        if operator == b"Tf":
            fonts[-1] = operands
        elif operator == b"q":
            fonts.append(fonts[-1])
        elif operator == b"Q" and len(fonts) > 1:
            fonts.pop()
        elif operator in (b"Td", b"Tm") and len(operands) in (2, 6):
            along = _moved_along(operands, before)
            before = operands if operator == b"Tm" else before
            if along and fonts[-1] is not None:
                operations.append((fonts[-1], b"Tf"))
        operations.append((operands, operator))
    content.operations = operations
    page[NameObject("/Contents")] = content


def _moved_along(operands: Any, before: Any) -> bool:
    """Whether Td or Tm moves to the right within a line; ``before`` is what the last Tm had."""
    try:
        if len(operands) == 2:
            return bool(operands[0] > 0 and operands[1] == 0)
        if before is None or operands[:4] != before[:4]:
            return False
        a, b = operands[0], operands[1]
        right, up = operands[4] - before[4], operands[5] - before[5]
        return bool(right * a + up * b > 0 and abs(up * a - right * b) < 0.01 * (a * a + b * b))
    except TypeError:
        return False


def _stretch(text: str, matrix: list[float], text_matrix: list[float], font: Any, size: float) -> Stretch:
    """A stretch with its position along and across its own direction of writing, so that a page may be rotated."""
    a, b, c, d, e, f = _product(text_matrix, matrix)
    along, up = hypot(a, b) or 1.0, hypot(c, d) or 1.0
    x, y = (e * a + f * b) / along, (e * c + f * d) / up
    name = str((font or {}).get("/BaseFont", ""))
    bold, monospaced = _BOLD.search(name) is not None, _MONOSPACED.search(name) is not None
    return Stretch(x, y, abs(size) * up or 1.0, bold, text, monospaced)


def _product(one: Sequence[float], other: Sequence[float]) -> tuple[float, ...]:
    """The matrix that applies ``one`` and then ``other``."""
    a, b, c, d, x, y = other
    rows = [(one[at] * a + one[at + 1] * c, one[at] * b + one[at + 1] * d) for at in (0, 2, 4)]
    return (*rows[0], *rows[1], rows[2][0] + x, rows[2][1] + y)


def _broken(source: Source, error: BaseException, page: int | None = None) -> DataError:
    reason = one_line(str(error)) or type(error).__name__
    record = None if page is None else f"page {page}"
    return DataError(source.name, f"is not a PDF file that can be read ({reason[:200]}).", record=record)
