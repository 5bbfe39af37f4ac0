"""Reader of PubMed XML (baseline files, update files and exports), one citation at a time."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract, TextBuilder, Value, Withdrawn, one_line
from corpus.documents.formulas import formula, lowered, raised
from corpus.documents.source import LimitedStream, Source, format_advice, open_limited

if TYPE_CHECKING:
    from lxml.etree import _Element

_ROOTS = ("PubmedArticleSet", "MedlineCitationSet")
_RECORDS = ("PubmedArticle", "PubmedBookArticle", "MedlineCitation", "DeleteCitation", "DeleteDocument")
NOT_AVAILABLE = "[Not Available]."  # PubMed's title of an article without an English one
_UNLABELLED = re.compile(r"unlabell?ed\Z", re.IGNORECASE)  # PubMed's label of a section without a heading
RETRACTED = "Retracted"
CONCERN = "Expression of concern"
# Notices by publication type, and by the type of a comment or correction that refers to the article.
_NOTICE_BY_TYPE = {"Retracted Publication": RETRACTED}
_NOTICE_BY_REFERENCE = {
    "RetractionIn": RETRACTED,
    "RetractedandRepublishedIn": RETRACTED,
    "ExpressionOfConcernIn": CONCERN,
}
# Dates, the preferred ones first: of the journal's issue ("2019 Nov-Dec" is a MedlineDate), then of the online article.
_ARTICLE_DATES = ("Journal/JournalIssue/PubDate/Year", "Journal/JournalIssue/PubDate/MedlineDate", "ArticleDate/Year")
_BOOK_DATES = ("Book/PubDate/Year", "Book/PubDate/MedlineDate", "ContributionDate/Year")
_YEAR = re.compile(r"\b(1[5-9]|20)\d\d\b")


def key_of(pmid: str) -> str:
    """The key of a citation's document, the same in all files, so that later files can revise it."""
    return f"pubmed:{pmid}"


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract | Withdrawn | DataError]:
    """Documents of citations, books and chapters with a title or an abstract, and ``Withdrawn`` for deleted citations.

    A text is the title, the abstract's sections with their labels, then abstracts of other sources and languages. The
    metadata of a retracted article have a ``notice``, and its title begins with it. For a citation without a PMID, a
    ``DataError`` is yielded. Entities are not expanded, and nothing outside the file is read.
    """
    from lxml import etree

    with open_limited(source, config) as stream:
        try:
            yield from _records(source, stream)
        except etree.XMLSyntaxError as error:
            advice = _format_advice_of(source, config) or f"It breaks at line {error.lineno}: {one_line(error.msg)}."
            raise DataError(source.name, f"is not XML that can be read. {advice}") from None


def _format_advice_of(source: Source, config: DocumentsConfig) -> str | None:
    """Advice on the file's real format, if its first bytes show it."""
    with open_limited(source, config) as stream:
        first = stream.read(16)
    return "It is empty." if not first else format_advice(first)


def _records(source: Source, stream: LimitedStream) -> Iterator[Extract | Withdrawn | DataError]:
    from lxml import etree

    # Start events report an unsupported root element at the start of the file.
    events = etree.iterparse(
        stream, events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
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
                try:
                    document = _article(source, number, element)
                except DataError as error:
                    yield error
                else:
                    if document is not None:
                        yield document
            case "DeleteCitation" | "DeleteDocument":
                for pmid in element.iter("PMID"):
                    yield Withdrawn(key_of(_text(pmid) or ""))
            case _:
                pass
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
    """The English title, or the title in the article's language if PubMed has no English title."""
    return (vernacular or title) if title in (None, NOT_AVAILABLE) else title


def _article(source: Source, number: int, element: Any) -> Extract | None:
    if element.tag == "PubmedBookArticle":
        return _book(source, number, element.find("BookDocument"))
    return _citation(source, number, element if element.tag == "MedlineCitation" else element.find("MedlineCitation"))


def _citation(source: Source, number: int, citation: Any) -> Extract | None:
    pmid = _pmid(source, number, citation)
    article = citation.find("Article")
    if article is None:
        return None
    notice = _notice(citation, article)
    return _document(
        pmid,
        with_notice(_title(article), notice),
        [*article.iterfind("Abstract/AbstractText"), *citation.iterfind("OtherAbstract/AbstractText")],
        journal=_text(article.find("Journal/Title")),
        year=_first_year(article, _ARTICLE_DATES),
        mesh=[name for name in map(_text, citation.iterfind("MeshHeadingList/MeshHeading/DescriptorName")) if name],
        notice=notice,
    )


def _book(source: Source, number: int, document: Any) -> Extract | None:
    """A book or a chapter; its ``journal`` is the book's title."""
    pmid = _pmid(source, number, document)
    book = _text(document.find("Book/BookTitle"))
    return _document(
        pmid,
        _title(document) or book,
        [*document.iterfind("Abstract/AbstractText"), *document.iterfind("OtherAbstract/AbstractText")],
        journal=book,
        year=_first_year(document, _BOOK_DATES),
    )


def _title(article: Any) -> str | None:
    return english_title(_text(article.find("ArticleTitle")), _text(article.find("VernacularTitle")))


def _document(pmid: str, title: str | None, sections: list[Any], **metadata: Value | None) -> Extract | None:
    """A record's title and the sections of its abstracts; None if there are neither."""
    body = TextBuilder()
    body.add(title or "")
    for section in sections:
        label = one_line(section.get("Label"))
        if label is not None and _UNLABELLED.match(label):
            label = None
        text = _text(section)
        if text:
            body.add(f"{label}: {text}" if label else text, section=label)
    return body.extract(key_of(pmid), pmid=pmid, title=title, **metadata)


def _pmid(source: Source, number: int, record: Any) -> str:
    pmid = None if record is None else _text(record.find("PMID"))
    if pmid is None or not pmid.isdigit():
        raise DataError(source.name, "has a citation without a PMID.", record=str(number))
    return pmid


def _notice(citation: Any, article: Any) -> str | None:
    """The notice that an article was retracted, or else that its journal has expressed concern."""
    types = (_text(element) or "" for element in article.iterfind("PublicationTypeList/PublicationType"))
    references = (
        str(element.get("RefType")) for element in citation.iterfind("CommentsCorrectionsList/CommentsCorrections")
    )
    notices = {*map(_NOTICE_BY_TYPE.get, types), *map(_NOTICE_BY_REFERENCE.get, references)}
    return RETRACTED if RETRACTED in notices else CONCERN if CONCERN in notices else None


def _first_year(record: Any, paths: Sequence[str]) -> int | None:
    """The first year in the elements at the paths."""
    years = (year_in(_text(record.find(path))) for path in paths)
    return next((year for year in years if year is not None), None)


def year_in(text: str | None) -> int | None:
    """The first number in a text that can be a year."""
    match = _YEAR.search(text or "")
    return int(match[0]) if match else None


def _text(element: Any) -> str | None:
    """The text of an element with its markup, in one line; None if there is none."""
    return None if element is None else one_line(_marked_up(element))


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
            case _ if isinstance(child, etree._Entity):  # entities of a DTD, which is not read
                text += child.text
        text += child.tail or ""
    return text
