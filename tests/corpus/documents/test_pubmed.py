"""corpus/documents/pubmed.py: citations and withdrawals, and files that attack."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from document_files import DOCTYPE, citation, pubmed_xml
from reading import parts_of, read_all

from common.errors import DataError
from corpus.documents.extract import Withdrawn

WHOLE = citation(
    "31000001",
    "Rotesartan in <i>adults</i>\n with itch &amp; pain.",
    [("BACKGROUND", "Itch is common."), ("RESULTS", "It fell by 2<sup>1</sup>."), (None, "Unlabelled.")],
    mesh=["Adult", "Pruritus & co"],
)


def test_a_citation_with_all_that_is_known_of_it() -> None:
    (found,) = read_all("a.xml", pubmed_xml([WHOLE]))
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


def test_packed_files_and_their_withdrawals() -> None:
    raw = gzip.compress(pubmed_xml([WHOLE, citation("2", "No abstract")], deleted=["5", "6"]).encode())
    found = read_all("pubmed25n0001.xml.gz", raw)
    assert [one.key for one in found] == ["pubmed:31000001", "pubmed:2", "pubmed:5", "pubmed:6"]
    assert found[2:] == [Withdrawn("pubmed:5"), Withdrawn("pubmed:6")]


@pytest.mark.parametrize(
    ("date", "year"),
    [("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", 1998), ("<Season>Spring</Season>", None), ("", None)],
)
def test_years_as_journals_give_them(date: str, year: int | None) -> None:
    (found,) = read_all("a.xml", pubmed_xml([citation("1", "T", year=date)]))
    assert found.metadata.get("year") == year


def test_a_citation_without_any_text_is_passed_over() -> None:
    assert [one.key for one in read_all("a.xml", pubmed_xml([citation("1", ""), citation("2", "x")]))] == ["pubmed:2"]


PEAK = """
import sys
from pathlib import Path
from corpus.config import DocumentsConfig
from corpus.documents import pubmed
from corpus.documents.source import Source
read = pubmed.read(Source("a.xml", lambda: open(sys.argv[1], "rb")), DocumentsConfig())
print(sum(1 for _ in read), Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak where Linux tells it")
def test_memory_stays_flat(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        text = pubmed_xml([citation(str(i), f"Title {i}", [(None, "word " * 300)]) for i in range(count)])
        path = tmp_path / f"{count}.xml"
        path.write_text(text)
        run = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
        read, most = run.stdout.split()
        assert int(read) == count
        return int(most)

    assert peak(10_000) < peak(200) + 12_000  # the file is 25 MB, and a tree of it several times that


def test_a_file_may_be_larger_than_a_record_may() -> None:
    text = pubmed_xml([citation(str(i), "T", [(None, "word " * 300)]) for i in range(1, 200)])
    assert len(read_all("a.xml", text, max_bytes=100_000)) == 199
    with pytest.raises(DataError, match=r"larger than documents\.max_bytes"):
        read_all("a.xml", pubmed_xml([citation("1", "T", [(None, "word " * 50_000)])]), max_bytes=100_000)


BODY = pubmed_xml([citation("1", "A &x; title")]).split(DOCTYPE)[1]
LAUGHS = "".join(f'<!ENTITY x{i} "{f"&x{i - 1};" * 10}">' for i in range(1, 10))
ATTACKS = {
    "a billion laughs": f'<!DOCTYPE P [<!ENTITY x0 "lol">{LAUGHS}<!ENTITY x "&x9;">]>{BODY}',
    "a file": f'<!DOCTYPE P [<!ENTITY x SYSTEM "file:///etc/hostname">]>{BODY}',
    "an address": f'<!DOCTYPE P [<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]>{BODY}',
    "a parameter": f'<!DOCTYPE P [<!ENTITY % x SYSTEM "file:///etc/hostname"> %x;]>{BODY}',
}


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_a_file_that_declares_entities_is_not_read(text: str) -> None:
    with pytest.raises(DataError, match="declares entities"):
        read_all("a.xml", text)


def test_an_entity_of_the_far_away_dtd_is_left_as_it_is() -> None:
    (found,) = read_all("a.xml", pubmed_xml([citation("1", "A &x; title")]))
    assert found.text == "A &x; title"


BAD = {
    "cut off": (pubmed_xml([citation("1", "a"), citation("2", "b")])[:-200], "breaks at line"),
    "no XML": ("hello", "breaks at line 1"),
    "a PDF": ("%PDF-1.4", "a PDF file: name it .pdf"),
    "empty": ("", "is empty"),
    "other XML": ("<article><front/></article>", "begins with <article>"),
    "no PMID": (pubmed_xml([citation("", "a")]), "without a PMID"),
    "very deep": ("<PubmedArticleSet>" + "<a>" * 100_000, "breaks at line 1"),
}


@pytest.mark.parametrize(("text", "told"), BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_told(text: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_all("a.xml", text)


def test_a_citation_without_a_number_is_reported_and_the_others_are_read() -> None:
    found, problem = read_all("a.xml", pubmed_xml([citation("", "a"), citation("2", "Two")]))
    assert found.key == "pubmed:2"
    assert problem.why == "a.xml: has a citation without a PMID."


@pytest.mark.parametrize("raw", [gzip.compress(pubmed_xml([WHOLE]).encode())[:-20], b"\x1f\x8bjunk", b"<xml/>"])
def test_a_damaged_packed_file_is_told(raw: bytes) -> None:
    with pytest.raises(DataError, match="cannot be unpacked"):
        read_all("a.xml.gz", raw)


@pytest.mark.parametrize("head", ["<PubmedArticleSet>", "<PubmedArticleSet><PubmedArticle><x>"])
def test_a_bomb_is_not_unpacked_to_its_end(head: str) -> None:
    piece = "<a>" + " " * 1000 + "</a>"
    with pytest.raises(DataError, match=r"larger than documents.max_bytes \(1,000,000 bytes\)"):
        read_all("a.xml.gz", gzip.compress((head + piece * 50_000).encode()), max_bytes=1_000_000)


def record(inside: str, *, after: str = "") -> str:
    article = f"<Article>{inside}</Article>{after}"
    return (
        "<PubmedArticleSet><PubmedArticle><MedlineCitation><PMID>1</PMID>"
        f"{article}</MedlineCitation></PubmedArticle></PubmedArticleSet>"
    )


TITLED = "<ArticleTitle>Corvinol cures gout.</ArticleTitle>"


@pytest.mark.parametrize(
    ("mark", "notice"),
    [
        ("<CommentsCorrections RefType='RetractionIn'/>", "Retracted"),
        ("<CommentsCorrections RefType='RetractedandRepublishedIn'/>", "Retracted"),
        ("<CommentsCorrections RefType='ExpressionOfConcernIn'/>", "Expression of concern"),
        ("<CommentsCorrections RefType='RetractionOf'/>", None),
        ("<CommentsCorrections RefType='ErratumIn'/>", None),
    ],
)
def test_a_retraction_stands_in_title_and_metadata(mark: str, notice: str | None) -> None:
    raw = record(TITLED, after=f"<CommentsCorrectionsList>{mark}</CommentsCorrectionsList>")
    (found,) = read_all("a.xml", raw)
    shown = f"{notice.upper()}: Corvinol cures gout." if notice else "Corvinol cures gout."
    assert (found.metadata.get("notice"), found.metadata["title"], found.text) == (notice, shown, shown)


def test_a_title_that_says_so_already_is_left() -> None:
    types = "<PublicationTypeList><PublicationType>Retracted Publication</PublicationType></PublicationTypeList>"
    (found,) = read_all("a.xml", record(f"<ArticleTitle>RETRACTED: Corvinol.</ArticleTitle>{types}"))
    assert found.metadata["title"] == "RETRACTED: Corvinol."


def test_other_abstracts_follow_and_unlabelled_parts_have_no_label() -> None:
    parts = "<AbstractText Label='Unlabeled'>One.</AbstractText><AbstractText Label='AIM'>Two.</AbstractText>"
    other = "<OtherAbstract Type='plain-language-summary'><AbstractText>Three.</AbstractText></OtherAbstract>"
    (found,) = read_all("a.xml", record(f"{TITLED}<Abstract>{parts}</Abstract>", after=other))
    assert found.text == "Corvinol cures gout.\n\nOne.\n\nAIM: Two.\n\nThree."


def test_books_and_chapters_are_read() -> None:
    book = "<Book><BookTitle>InventPearls</BookTitle><PubDate><Year>2021</Year></PubDate></Book>"
    abstract = "<Abstract><AbstractText>Gout hurts.</AbstractText></Abstract>"
    for title, read in (("<ArticleTitle>Gout</ArticleTitle>", "Gout"), ("", "InventPearls")):
        raw = (
            "<PubmedArticleSet><PubmedBookArticle><BookDocument><PMID>2</PMID>"
            f"{book}{title}{abstract}</BookDocument></PubmedBookArticle></PubmedArticleSet>"
        )
        (found,) = read_all("a.xml", raw)
        assert found.text == f"{read}\n\nGout hurts."
        assert found.metadata == {"pmid": "2", "title": read, "journal": "InventPearls", "year": 2021}
