"""PubMed's XML, as its baseline and update files and its own export have it, one citation at a time."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Body, Extract, Withdrawn, one_line
from corpus.documents.source import Limited, Source, hint, open_limited

if TYPE_CHECKING:
    from lxml.etree import _Element

_ROOTS = ("PubmedArticleSet", "MedlineCitationSet")
_RECORDS = ("PubmedArticle", "PubmedBookArticle", "MedlineCitation", "DeleteCitation")
_YEAR = re.compile(r"\b(1[5-9]|20)\d\d\b")


def key_of(pmid: str) -> str:
    """The id of a citation in a store, whichever file it comes from."""
    return f"pubmed:{pmid}"


def read(source: Source, config: DocumentsConfig) -> Iterator[Extract | Withdrawn]:
    """Each citation with a title or an abstract, and each that ``DeleteCitation`` names, in the file's order.

    The text is the title and the abstract's sections, each with its label before it. Entities are not expanded, and
    nothing outside the file is read.

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
            case "DeleteCitation":
                for pmid in element.iter("PMID"):
                    yield Withdrawn(key_of(_text(pmid) or ""))
            case _:
                pass  # books are no citations
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


def _citation(source: Source, citation: Any) -> Iterator[Extract]:
    pmid = None if citation is None else _text(citation.find("PMID"))
    if pmid is None or not pmid.isdigit():
        raise DataError(source.name, "holds a citation without a PMID.")
    article = citation.find("Article")
    if article is None:
        return
    title = _text(article.find("ArticleTitle")) or _text(article.find("VernacularTitle"))
    body = Body()
    body.add(title or "")
    for section in article.iterfind("Abstract/AbstractText"):
        label = one_line(section.get("Label"))
        text = _text(section)
        if text:
            body.add(f"{label}: {text}" if label else text, section=label)
    found = body.extract(
        key_of(pmid),
        pmid=pmid,
        title=title,
        journal=_text(article.find("Journal/Title")),
        year=_year(article),
        mesh=[name for name in map(_text, citation.iterfind("MeshHeadingList/MeshHeading/DescriptorName")) if name],
    )
    if found is not None:
        yield found


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
    return None if element is None else one_line("".join(element.itertext()))
