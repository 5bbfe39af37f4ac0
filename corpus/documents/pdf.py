"""PDF: the text of each page."""

import logging
import unicodedata
from collections.abc import Iterator
from io import BytesIO

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Body, Extract, one_line
from corpus.documents.source import Source, hint, read_bytes

# Printed as one sign, searched as letters: ff, fi, fl, ffi, ffl, long st, st.
_LIGATURES = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFB00, 0xFB07)}
_HEAD = 1024  # bytes within which a PDF file says that it is one


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract]:
    """The text of the pages in order; a page's number counts from 1.

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
    for number in range(pages):
        try:
            text = reader.pages[number].extract_text()
        except Exception as error:
            raise _broken(source, error, number + 1) from None
        body.add(text.translate(_LIGATURES), page=number + 1)
    found = body.extract(source.name, title=one_line(str(title)) if title else None)
    if found is None:
        raise DataError(
            source.name, "holds no text; it seems to be a scan. Have its text recognised first, with ocrmypdf for one."
        )
    yield found


def _broken(source: Source, error: BaseException, page: int | None = None) -> DataError:
    reason = one_line(str(error)) or type(error).__name__
    record = None if page is None else f"page {page}"
    return DataError(source.name, f"is not a PDF file that can be read ({reason[:200]}).", record=record)
