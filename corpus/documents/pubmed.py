"""Reader of PubMed XML (baseline files, update files and exports), one citation at a time."""

import re
from collections.abc import Iterable, Iterator
from io import BufferedReader
from typing import TYPE_CHECKING, Any

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, TextBuilder, Withdrawn, one_line
from corpus.documents.formulas import formula, lowered, raised
from corpus.documents.source import BUFFER_BYTES, LimitedStream, Source, format_advice, open_limited

if TYPE_CHECKING:
    from lxml.etree import _Element

_ROOTS = ("PubmedArticleSet", "MedlineCitationSet")
_RECORDS = ("PubmedArticle", "PubmedBookArticle", "MedlineCitation", "DeleteCitation", "DeleteDocument")
NOT_AVAILABLE = "[Not Available]."  # PubMed's title of an article without an English one
_UNLABELLED = re.compile(r"unlabell?ed\Z", re.IGNORECASE)  # PubMed's label of a section without a heading
RETRACTED = "Retracted"
CONCERN = "Expression of concern"
# Notices by the article's publication type, and by the type of a reference to it (in .nbib files, the reference's tag).
_NOTICES = {
    **dict.fromkeys(("Retracted Publication", "RetractionIn", "RetractedandRepublishedIn", "RIN", "RRI"), RETRACTED),
    **dict.fromkeys(("ExpressionOfConcernIn", "ECI"), CONCERN),
}
# Paths of dates, the preferred ones first. A date in words, such as "2019 Nov-Dec", is a MedlineDate.
_DATES = (
    # Of the journal's issue, then of the online article.
    *("Journal/JournalIssue/PubDate/Year", "Journal/JournalIssue/PubDate/MedlineDate", "ArticleDate/Year"),
    *("Book/PubDate/Year", "Book/PubDate/MedlineDate", "ContributionDate/Year"),  # of books, then of chapters
)
_YEAR = re.compile(r"\b(1[5-9]|20)\d\d\b")


def key_of(pmid: str) -> str:
    """The key of a citation's document. It is the same in all files, so that later files can revise the document."""
    return f"pubmed:{pmid}"


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract | Withdrawn | DataError]:
    """Documents of citations, books and chapters with a title or an abstract, and ``Withdrawn`` for deleted citations.

    A text is the title, the abstract's sections with their labels, then abstracts of other sources and languages. A
    retracted article has a ``notice`` in its metadata and at the start of its title. For a citation without a PMID, a
    ``DataError`` is yielded. Entities are not expanded, and nothing outside the file is read.
    """
    from lxml import etree

    with open_limited(source, config) as stream, BufferedReader(stream, BUFFER_BYTES) as buffered:
        start = buffered.peek()
        try:
            yield from _records(source, stream, buffered)
        except etree.XMLSyntaxError as error:
            advice = format_advice(start) or f"It breaks at line {error.lineno}: {one_line(error.msg)}."
            problem = f"is not XML that can be read. {advice if start else 'It is empty.'}"
            raise DataError(source.name, problem) from None


def _records(
    source: Source, stream: LimitedStream, buffered: "BufferedReader[LimitedStream]"
) -> Iterator[Extract | Withdrawn | DataError]:
    from lxml import etree

    # Start events are requested too, so that an unsupported root element is reported before the whole file is read.
    events = etree.iterparse(
        buffered, events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    root: _Element | None = None
    number = 0  # of the record
    for event, element in events:
        if root is None:
            root = element
            _check_root(source, root)
        if event == "start" or element.getparent() is not root:
            continue
        number += element.tag in _RECORDS
        match element.tag:
            case "PubmedArticle" | "MedlineCitation" | "PubmedBookArticle":
                document = _document(source, number, element)
                if document is not None:
                    yield document
            case "DeleteCitation" | "DeleteDocument":
                yield from (Withdrawn(key_of(pmid)) for pmid in _texts(element, ".//PMID"))
        element.clear()
        while element.getprevious() is not None:
            del root[0]
        if element.tag in _RECORDS:
            stream.reset_limit()


def _check_root(source: Source, root: "_Element") -> None:
    if root.tag not in _ROOTS:
        raise DataError(source.name, f"is XML, but not PubMed's: it begins with <{str(root.tag)[:60]}>.")
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):
        raise DataError(source.name, "declares entities, which PubMed's files never do; it is not read.")


def with_notice(title: str | None, notice: str | None) -> str | None:
    """The title after the notice in capitals ("RETRACTED: ..."), unless the title already begins with the notice."""
    if notice is None or (title or "").upper().startswith(notice.upper()):
        return title
    return f"{notice.upper()}: {title or ''}".strip()


def english_title(title: str | None, vernacular: str | None) -> str | None:
    """The English title; the title in the article's language if PubMed has no English one."""
    return (vernacular or title) if title in (None, NOT_AVAILABLE) else title


def notice_of(kinds: Iterable[str]) -> str | None:
    """The notice that an article was retracted, else the notice that its journal has expressed concern, else None.

    Args:
        kinds: the article's publication types, and the types of references to it (in .nbib files, their tags).
    """
    notices = set(map(_NOTICES.get, kinds))
    return RETRACTED if RETRACTED in notices else CONCERN if CONCERN in notices else None


def _document(source: Source, number: int, element: Any) -> Extract | DataError | None:
    """The document of a record; None if it has neither title nor abstract. For a book, ``journal`` is its title."""
    path = {"PubmedArticle": "MedlineCitation", "PubmedBookArticle": "BookDocument"}.get(element.tag, ".")
    record = element.find(path)
    pmid = None if record is None else _text(record.find("PMID"))
    if pmid is None or not pmid.isdigit():
        return DataError(source.name, "has a citation without a PMID.", record=str(number))
    article = record if path == "BookDocument" else record.find("Article")
    if article is None:
        return None
    references = (reference.get("RefType") for reference in record.iterfind("CommentsCorrectionsList/*"))
    notice = notice_of([*_texts(article, "PublicationTypeList/PublicationType"), *filter(None, references)])
    book = _text(article.find("Book/BookTitle"))
    title = english_title(_text(article.find("ArticleTitle")), _text(article.find("VernacularTitle"))) or book
    title = with_notice(title, notice)
    body = TextBuilder()
    body.add(title or "")
    for section in [*article.iterfind("Abstract/AbstractText"), *record.iterfind("OtherAbstract/AbstractText")]:
        label = one_line(section.get("Label"))
        if label is not None and _UNLABELLED.match(label):
            label = None
        if text := _text(section):
            body.add(f"{label}: {text}" if label else text, section=label)
    years = (year_in(_text(article.find(path))) for path in _DATES)
    return body.extract(
        key_of(pmid),
        pmid=pmid,
        title=title,
        journal=_text(article.find("Journal/Title")) or book,
        year=next((year for year in years if year is not None), None),
        mesh=_texts(record, "MeshHeadingList/MeshHeading/DescriptorName"),
        notice=notice,
    )


def year_in(text: str | None) -> int | None:
    """The first number in a text that can be a year."""
    match = _YEAR.search(text or "")
    return int(match[0]) if match else None


def _text(element: Any) -> str | None:
    """The text of an element with its markup, in one line; None if there is none."""
    return None if element is None else one_line(_marked_up(element))


def _texts(element: Any, path: str) -> list[str]:
    """The texts of the elements at a path, without blank ones."""
    return [text for text in map(_text, element.iterfind(path)) if text]


def _marked_up(element: Any) -> str:
    """An element's text with superscripts, subscripts and formulas in plain text."""
    from lxml import etree

    text = element.text or ""
    for child in element:
        match str(child.tag).rpartition("}")[2]:
            case "sup":
                text += raised(text, _marked_up(child))
            case "sub":
                text += lowered(text, _marked_up(child))
            case "math":
                text += formula(child)
            case _ if isinstance(child.tag, str):
                text += _marked_up(child)
            case _ if isinstance(child, etree._Entity):  # an entity of a DTD, which is not read
                text += child.text
        text += child.tail or ""
    return text
