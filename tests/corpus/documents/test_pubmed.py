import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from document_files import DOCTYPE, citation, pubmed_xml
from reading import parts_of, read_all

from common.errors import DataError
from corpus.documents.extract import Withdrawn

CITATION = citation(
    "31000001",
    "Rotesartan in <i>adults</i>\n with itch &amp; pain.",
    [("BACKGROUND", "Itch is common."), ("RESULTS", "It fell by 2<sup>1</sup>."), (None, "Unlabelled.")],
    mesh=["Adult", "Pruritus & co"],
)


def test_citation_has_sections_and_metadata() -> None:
    (found,) = read_all("a.xml", pubmed_xml([CITATION]))
    assert found.key == "pubmed:31000001"
    assert parts_of(found) == [
        (None, None, "Rotesartan in adults with itch & pain."),
        ("BACKGROUND", None, "BACKGROUND: Itch is common."),
        ("RESULTS", None, "RESULTS: It fell by 2^1."),
        (None, None, "Unlabelled."),
    ]
    assert found.metadata == {
        "pmid": "31000001",
        "title": "Rotesartan in adults with itch & pain.",
        "journal": "Journal of made trials",
        "year": 2019,
        "mesh": ["Adult", "Pruritus & co"],
    }


def test_compressed_file_has_citations_and_withdrawals() -> None:
    raw = gzip.compress(pubmed_xml([CITATION, citation("2", "No abstract")], deleted=["5", "6"]).encode())
    found = read_all("pubmed25n0001.xml.gz", raw)
    assert [document.key for document in found] == ["pubmed:31000001", "pubmed:2", "pubmed:5", "pubmed:6"]
    assert found[2:] == [Withdrawn("pubmed:5"), Withdrawn("pubmed:6")]


@pytest.mark.parametrize(
    ("date", "year"),
    [("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", 1998), ("<Season>Spring</Season>", None), ("", None)],
)
def test_year_is_read_from_medline_date(date: str, year: int | None) -> None:
    (found,) = read_all("a.xml", pubmed_xml([citation("1", "T", year=date)]))
    assert found.metadata.get("year") == year


def test_citation_without_text_is_skipped() -> None:
    (found,) = read_all("a.xml", pubmed_xml([citation("1", ""), citation("2", "x")]))
    assert found.key == "pubmed:2"


# Prints the number of citations in a file and the peak memory of the process in kB.
MEASURE_PEAK = """
import sys
from pathlib import Path
from corpus.config import DocumentsConfig
from corpus.documents import pubmed
from corpus.documents.source import Source
read = pubmed.read(Source("a.xml", lambda: open(sys.argv[1], "rb")), DocumentsConfig())
print(sum(1 for _ in read), Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        text = pubmed_xml([citation(str(i), f"Title {i}", [(None, "word " * 300)]) for i in range(count)])
        path = tmp_path / f"{count}.xml"
        path.write_text(text)
        command = [sys.executable, "-c", MEASURE_PEAK, str(path)]
        citations, peak_kb = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert int(citations) == count
        return int(peak_kb)

    assert peak(10_000) < peak(200) + 12_000  # the larger file has 25 MB


def test_max_bytes_applies_to_each_record() -> None:
    text = pubmed_xml([citation(str(i), "T", [(None, "word " * 300)]) for i in range(1, 200)])
    assert len(read_all("a.xml", text, max_bytes=100_000)) == 199
    with pytest.raises(DataError, match=r"larger than documents\.max_bytes"):
        read_all("a.xml", pubmed_xml([citation("1", "T", [(None, "word " * 50_000)])]), max_bytes=100_000)


BODY = pubmed_xml([citation("1", "A &x; title")]).split(DOCTYPE)[1]
EXPONENTIAL_ENTITIES = "".join(f'<!ENTITY x{i} "{f"&x{i - 1};" * 10}">' for i in range(1, 10))
FILES_WITH_ENTITIES = {
    "billion laughs": f'<!DOCTYPE P [<!ENTITY x0 "lol">{EXPONENTIAL_ENTITIES}<!ENTITY x "&x9;">]>{BODY}',
    "local file": f'<!DOCTYPE P [<!ENTITY x SYSTEM "file:///etc/hostname">]>{BODY}',
    "URL": f'<!DOCTYPE P [<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]>{BODY}',
    "parameter entity": f'<!DOCTYPE P [<!ENTITY % x SYSTEM "file:///etc/hostname"> %x;]>{BODY}',
}


@pytest.mark.parametrize("text", FILES_WITH_ENTITIES.values(), ids=FILES_WITH_ENTITIES)
def test_file_that_declares_entities_is_an_error(text: str) -> None:
    with pytest.raises(DataError, match="declares entities"):
        read_all("a.xml", text)


def test_undeclared_entity_stays_unexpanded() -> None:
    (found,) = read_all("a.xml", pubmed_xml([citation("1", "A &x; title")]))
    assert found.text == "A &x; title"


INVALID_FILES = {
    "cut off": (pubmed_xml([citation("1", "a"), citation("2", "b")])[:-200], "breaks at line"),
    "plain text": ("hello", "breaks at line 1"),
    "PDF": ("%PDF-1.4", "a PDF file: name it .pdf"),
    "empty": ("", "is empty"),
    "other XML": ("<article><front/></article>", "begins with <article>"),
    "missing PMID": (pubmed_xml([citation("", "a")]), "without a PMID"),
    "deep nesting": ("<PubmedArticleSet>" + "<a>" * 100_000, "breaks at line 1"),
}


@pytest.mark.parametrize(("text", "problem"), INVALID_FILES.values(), ids=INVALID_FILES)
def test_invalid_file_is_an_error(text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_all("a.xml", text)


def test_citation_without_pmid_is_reported_and_other_citations_are_read() -> None:
    found, problem = read_all("a.xml", pubmed_xml([citation("", "a"), citation("2", "Two")]))
    assert found.key == "pubmed:2"
    assert problem.why == "a.xml, record 1: has a citation without a PMID."


@pytest.mark.parametrize("raw", [gzip.compress(pubmed_xml([CITATION]).encode())[:-20], b"\x1f\x8bjunk", b"<xml/>"])
def test_damaged_compressed_file_is_an_error(raw: bytes) -> None:
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_all("a.xml.gz", raw)


@pytest.mark.parametrize("start", ["<PubmedArticleSet>", "<PubmedArticleSet><PubmedArticle><x>"])
def test_record_that_decompresses_to_more_than_max_bytes_is_an_error(start: str) -> None:
    element = "<a>" + " " * 1000 + "</a>"
    with pytest.raises(DataError, match=r"larger than documents.max_bytes \(1,000,000 bytes\)"):
        read_all("a.xml.gz", gzip.compress((start + element * 50_000).encode()), max_bytes=1_000_000)


def one_citation(article: str, *, after: str = "") -> str:
    """A file with one citation: the content of <Article>, and elements after it."""
    article = f"<Article>{article}</Article>{after}"
    return (
        "<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>1</PMID>"
        f"{article}</MedlineCitation></PubmedArticle></PubmedArticleSet>"
    )


TITLED = "<ArticleTitle>Corvinol cures gout.</ArticleTitle>"


@pytest.mark.parametrize(
    ("reference", "notice"),
    [
        ("<CommentsCorrections RefType='RetractionIn'/>", "Retracted"),
        ("<CommentsCorrections RefType='RetractedandRepublishedIn'/>", "Retracted"),
        ("<CommentsCorrections RefType='ExpressionOfConcernIn'/>", "Expression of concern"),
        ("<CommentsCorrections RefType='RetractionOf'/>", None),
        ("<CommentsCorrections RefType='ErratumIn'/>", None),
    ],
)
def test_retraction_is_in_title_and_metadata(reference: str, notice: str | None) -> None:
    raw = one_citation(TITLED, after=f"<CommentsCorrectionsList>{reference}</CommentsCorrectionsList>")
    (found,) = read_all("a.xml", raw)
    title = f"{notice.upper()}: Corvinol cures gout." if notice else "Corvinol cures gout."
    assert (found.metadata.get("notice"), found.metadata["title"], found.text) == (notice, title, title)


def test_title_that_begins_with_retracted_stays() -> None:
    types = "<PublicationTypeList><PublicationType>Retracted Publication</PublicationType></PublicationTypeList>"
    (found,) = read_all("a.xml", one_citation(f"<ArticleTitle>RETRACTED: Corvinol.</ArticleTitle>{types}"))
    assert found.metadata["title"] == "RETRACTED: Corvinol."


def test_other_abstracts_follow_the_abstract_and_unlabelled_sections_have_no_label() -> None:
    sections = "<AbstractText Label='Unlabeled'>One.</AbstractText><AbstractText Label='AIM'>Two.</AbstractText>"
    other = "<OtherAbstract Type='plain-language-summary'><AbstractText>Three.</AbstractText></OtherAbstract>"
    (found,) = read_all("a.xml", one_citation(f"{TITLED}<Abstract>{sections}</Abstract>", after=other))
    assert found.text == "Corvinol cures gout.\n\nOne.\n\nAIM: Two.\n\nThree."


def test_books_and_chapters_are_read() -> None:
    book = "<Book><BookTitle>InventPearls</BookTitle><PubDate><Year>2021</Year></PubDate></Book>"
    abstract = "<Abstract><AbstractText>Gout hurts.</AbstractText></Abstract>"
    for title_element, title in (("<ArticleTitle>Gout</ArticleTitle>", "Gout"), ("", "InventPearls")):
        raw = (
            "<PubmedArticleSet><PubmedBookArticle><BookDocument><PMID>2</PMID>"
            f"{book}{title_element}{abstract}</BookDocument></PubmedBookArticle></PubmedArticleSet>"
        )
        (found,) = read_all("a.xml", raw)
        assert found.text == f"{title}\n\nGout hurts."
        assert found.metadata == {"pmid": "2", "title": title, "journal": "InventPearls", "year": 2021}
