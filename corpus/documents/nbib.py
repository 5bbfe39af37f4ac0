"""Reader of MEDLINE's tagged format (.nbib), which PubMed's "Send to citation manager" writes."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, TextBuilder, one_line
from corpus.documents.pubmed import english_title, key_of, notice_of, with_notice, year_in
from corpus.documents.source import Source, open_limited, text_lines

_TAG = re.compile(r"\A([A-Z][A-Z0-9]{1,3}) *- ?")
_UNLABELLED = re.compile(r"\bUNLABELL?ED: ")  # PubMed's label of a section without a heading


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract | DataError]:
    """A document for each citation with a title or an abstract; the text is the title and then the abstracts.

    For a record without a PMID, a ``DataError`` is yielded.
    """
    from Bio import Medline

    number = 0
    with open_limited(source, config) as stream:
        # The parser expects tags in four columns before "- ", but some programs drop these spaces.
        lines = (_TAG.sub(lambda tag: f"{tag[1]:4}- ", line) for line in text_lines(source, stream, None, config))
        try:
            for number, record in enumerate(Medline.parse(lines), start=1):  # type: ignore[no-untyped-call]
                stream.reset_limit()
                pmid = one_line(record.get("PMID"))
                if pmid is None or not pmid.isdigit():
                    yield _wrong_format_error(source, number)
                elif (document := _document(pmid, record)) is not None:
                    yield document
        except (KeyError, IndexError):  # a continuation line without a field
            raise _wrong_format_error(source, number + 1) from None
    if number == 0:
        raise DataError(source.name, "is empty.")


def _document(pmid: str, record: Mapping[str, Any]) -> Extract | None:
    notice = notice_of([*record, *record.get("PT", [])])
    title = english_title(_field(record, "TI") or _field(record, "BTI"), _field(record, "TT"))
    title = with_notice(title, notice)
    body = TextBuilder()
    body.add(title or "")
    for abstract in ("AB", "OAB"):
        body.add(_UNLABELLED.sub("", _field(record, abstract) or ""))
    return body.extract(
        key_of(pmid),
        pmid=pmid,
        title=title,
        journal=one_line(record.get("JT")),
        year=year_in(record.get("DP")),
        mesh=list(dict.fromkeys(heading.split("/")[0].strip("* ") for heading in record.get("MH", []))),
        notice=notice,
    )


def _field(record: Mapping[str, Any], name: str) -> str | None:
    """A field in one line; if the parser does not know a field, it returns the field as a list of lines."""
    value = record.get(name)
    return one_line(" ".join(value) if isinstance(value, list) else value)


def _wrong_format_error(source: Source, number: int) -> DataError:
    problem = 'is not of the .nbib format: it has no line "PMID- " with a number. Export it from PubMed again.'
    return DataError(source.name, problem, record=str(number))
