import pytest
from document_files import NBIB
from reading import read_all

from common.errors import DataError


@pytest.mark.parametrize(
    "raw",
    [NBIB, NBIB.replace("\n", "\r\n"), "\ufeff" + NBIB, NBIB.encode("utf-16")],
    ids=["LF", "CRLF", "byte order mark", "UTF-16"],
)
def test_citations_have_text_and_metadata(raw: str | bytes) -> None:
    first, second = read_all("a.nbib", raw)
    assert first.key == "pubmed:31000001"
    assert first.text.split("\n\n") == [
        "Rotesartan in adults with itch: a randomised trial that goes on over a line.",
        "BACKGROUND: Itch is common. RESULTS: Rotesartan lowered the itch score by 2.1 points. CONCLUSIONS: It helped.",
    ]
    assert first.metadata == {
        "pmid": "31000001",
        "title": "Rotesartan in adults with itch: a randomised trial that goes on over a line.",
        "journal": "Journal of made trials",
        "year": 2019,
        "mesh": ["Adult", "Pruritus"],
    }
    assert second.metadata["year"] == 2020
    assert "mesh" not in second.metadata


@pytest.mark.parametrize("separator", ["-", "- ", " -", " - "])
def test_spaces_between_tag_and_value_are_optional(separator: str) -> None:
    raw = f"PMID{separator}78\nTI{separator}Gout hurts.\nAB{separator}IL-6 and\n      TNF - rise.\n"
    (found,) = read_all("a.nbib", raw)
    assert (found.key, found.text) == ("pubmed:78", "Gout hurts.\n\nIL-6 and TNF - rise.")


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ("hello\nworld\n", 'record 1: is not of the .nbib format: it has no line "PMID- "'),
        ("      continued\n", "record 1: is not of the .nbib format"),
        ("PMID- x1\n", "record 1: is not of the .nbib format"),
        ("", "is empty"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_invalid_file_is_an_error(raw: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        read_all("a.nbib", raw)


def test_citation_without_pmid_is_reported_and_other_citations_are_read() -> None:
    *citations, problem = read_all("a.nbib", f"TI  - No number\n\n{NBIB}")  # problems follow the documents
    assert citations == read_all("a.nbib", NBIB)
    assert problem.why.startswith("a.nbib, record 1: is not of the .nbib format")


def test_vernacular_title_other_abstract_and_retraction_are_read() -> None:
    titles = "TI  - [Not Available].\nTT  - Corvinol bei Gicht.\n"
    raw = f"PMID- 1\n{titles}AB  - UNLABELLED: One.\nOAB - Two.\nRIN - J Med. 2020\n"
    (found,) = read_all("a.nbib", raw)
    assert found.text == "RETRACTED: Corvinol bei Gicht.\n\nOne.\n\nTwo."
    assert found.metadata["notice"] == "Retracted"
