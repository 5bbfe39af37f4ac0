"""PubMed's XML, as its baseline and update files and its own export have it, one citation at a time."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Body, Extract, Withdrawn, one_line
from corpus.documents.formulas import formula, lowered, raised
from corpus.documents.source import Limited, Source, hint, open_limited

if TYPE_CHECKING:
    from lxml.etree import _Element

_ROOTS = ("PubmedArticleSet", "MedlineCitationSet")
_RECORDS = ("PubmedArticle", "PubmedBookArticle", "MedlineCitation", "DeleteCitation", "DeleteDocument")
NOT_AVAILABLE = "[Not Available]."  # PubMed's title of an article that has none in English
_UNLABELLED = re.compile(r"unlabell?ed\Z", re.IGNORECASE)  # PubMed's label of a part that has none
RETRACTED = "Retracted"
CONCERN = "Expression of concern"
# What PubMed says of an article by its types of publication and by the notices that refer to it.
_BY_TYPE = {"Retracted Publication": RETRACTED}
_BY_NOTICE = {
    "RetractionIn": RETRACTED,
    "RetractedandRepublishedIn": RETRACTED,
    "ExpressionOfConcernIn": CONCERN,
}
_YEAR = re.compile(r"\b(1[5-9]|20)\d\d\b")


def key_of(pmid: str) -> str:
    """The id of a citation in a store, whichever file it comes from."""
    return f"pubmed:{pmid}"


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract | Withdrawn]:
    """Each citation, book or chapter with a title or an abstract, and each that is deleted, in the file's order.

    The text is the title and the abstract's sections, each with its label before it, then abstracts of other sources
    and languages. An article that was retracted has ``notice`` in its metadata and a title that says so.
    Entities are not expanded, and nothing outside the file is read.

    Raises:
        DataError: it is no PubMed XML, is broken (with the line), declares entities, or has a citation that is larger
            than ``config.max_bytes`` or without a PMID.
    """
    from lxml import etree

    with open_limited(source, config) as stream:
        try:
            yield from _records(source, stream)
        except etree.XMLSyntaxError as error:
            told = hint_of(source, config) or f"It breaks at line {error.lineno}: {one_line(error.msg)}."
            raise DataError(source.name, f"is not XML that can be read. {told}") from None


def hint_of(source: Source, config: DocumentsConfig) -> str | None:
    """What the file seems to be instead."""
    with open_limited(source, config) as stream:
        first = stream.read(16)
    return "It is empty." if not first else hint(first)


def _records(source: Source, stream: Limited) -> Iterator[Extract | Withdrawn]:
    from lxml import etree

    # Without the events of starts a root of another kind would only be noticed at the end of a long file.
    events = etree.iterparse(
        stream, events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    root: _Element | None = None
    for event, element in events:
        if root is None:
            root = element
            _check(source, root)
        if event == "start" or element.getparent() is not root:
            continue
        match element.tag:
            case "PubmedArticle":
                yield from _citation(source, element.find("MedlineCitation"))
            case "MedlineCitation":
                yield from _citation(source, element)
            case "PubmedBookArticle":
                yield from _book(source, element.find("BookDocument"))
            case "DeleteCitation" | "DeleteDocument":
                for pmid in element.iter("PMID"):
                    yield Withdrawn(key_of(_text(pmid) or ""))
            case _:
                pass
        element.clear()
        while element.getprevious() is not None:
            del root[0]
        if element.tag in _RECORDS:
            stream.restart()


def _check(source: Source, root: "_Element") -> None:
    if root.tag not in _ROOTS:
        raise DataError(source.name, f"is XML, but not PubMed's: it begins with <{str(root.tag)[:60]}>.")
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):
        raise DataError(source.name, "declares entities, which no file of PubMed does; it is not read.")


def marked(title: str | None, notice: str | None) -> str | None:
    """The title with the notice before it, as journals print it: "RETRACTED: ..."."""
    if notice is None or (title or "").upper().startswith(notice.upper()):
        return title
    return f"{notice.upper()}: {title or ''}".strip()


def english_title(title: str | None, vernacular: str | None) -> str | None:
    """The title, or the one in the article's own language where PubMed has no other."""
    return (vernacular or title) if title in (None, NOT_AVAILABLE) else title


def _citation(source: Source, citation: Any) -> Iterator[Extract]:
    pmid = _pmid(source, citation)
    article = citation.find("Article")
    if article is None:
        return
    notice = _notice(citation, article)
    title = english_title(_text(article.find("ArticleTitle")), _text(article.find("VernacularTitle")))
    title = marked(title, notice)
    body = Body()
    body.add(title or "")
    _add_abstract(body, [*article.iterfind("Abstract/AbstractText"), *citation.iterfind("OtherAbstract/AbstractText")])
    found = body.extract(
        key_of(pmid),
        pmid=pmid,
        title=title,
        journal=_text(article.find("Journal/Title")),
        year=_year(article),
        mesh=[name for name in map(_text, citation.iterfind("MeshHeadingList/MeshHeading/DescriptorName")) if name],
        notice=notice,
    )
    if found is not None:
        yield found


def _book(source: Source, document: Any) -> Iterator[Extract]:
    """A book, or a chapter of one; its journal is the book."""
    pmid = _pmid(source, document)
    book = _text(document.find("Book/BookTitle"))
    title = english_title(_text(document.find("ArticleTitle")), _text(document.find("VernacularTitle"))) or book
    body = Body()
    body.add(title or "")
    _add_abstract(body, [*document.iterfind("Abstract/AbstractText"), *document.iterfind("OtherAbstract/AbstractText")])
    dates = ("Book/PubDate/Year", "Book/PubDate/MedlineDate", "ContributionDate/Year")
    years = (year_in(_text(document.find(path))) for path in dates)
    found = body.extract(
        key_of(pmid), pmid=pmid, title=title, journal=book, year=next((year for year in years if year), None)
    )
    if found is not None:
        yield found


def _pmid(source: Source, record: Any) -> str:
    pmid = None if record is None else _text(record.find("PMID"))
    if pmid is None or not pmid.isdigit():
        raise DataError(source.name, "holds a citation without a PMID.")
    return pmid


def _add_abstract(body: Body, sections: list[Any]) -> None:
    for section in sections:
        label = one_line(section.get("Label"))
        if label is not None and _UNLABELLED.match(label):
            label = None
        text = _text(section)
        if text:
            body.add(f"{label}: {text}" if label else text, section=label)


def _notice(citation: Any, article: Any) -> str | None:
    """Whether the article was retracted or its journal is concerned about it."""
    types = (_text(one) or "" for one in article.iterfind("PublicationTypeList/PublicationType"))
    notices = (str(one.get("RefType")) for one in citation.iterfind("CommentsCorrectionsList/CommentsCorrections"))
    found = {*(_BY_TYPE.get(one) for one in types), *(_BY_NOTICE.get(one) for one in notices)}
    return RETRACTED if RETRACTED in found else CONCERN if CONCERN in found else None


def _year(article: Any) -> int | None:
    """Of the journal's issue, where need be out of a text such as "2019 Nov-Dec", else of the article online."""
    for path in ("Journal/JournalIssue/PubDate/Year", "Journal/JournalIssue/PubDate/MedlineDate", "ArticleDate/Year"):
        if (year := year_in(_text(article.find(path)))) is not None:
            return year
    return None


def year_in(text: str | None) -> int | None:
    """The first number in a text that can be a year."""
    found = _YEAR.search(text or "")
    return int(found[0]) if found else None


def _text(element: Any) -> str | None:
    """The text of an element and of the markup in it, in one line; None where there is none."""
    return None if element is None else one_line(_marked_up(element))


def _marked_up(element: Any) -> str:
    """Superscripts and formulas are kept apart from the numbers before them."""
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
            case _ if isinstance(child, etree._Entity):  # of a DTD that is not read
                text += child.text
        text += child.tail or ""
    return text
