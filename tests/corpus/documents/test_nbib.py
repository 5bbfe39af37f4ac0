"""corpus/documents/nbib.py: PubMed's tagged format."""

import pytest
from document_files import NBIB
from reading import read_all

from common.errors import DataError


@pytest.mark.parametrize("raw", [NBIB, NBIB.replace("\n", "\r\n"), "\ufeff" + NBIB], ids=["unix", "windows", "mark"])
def test_citations_with_what_is_known_of_them(raw: str) -> None:
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


def test_a_file_in_utf_16_is_the_same() -> None:
    assert read_all("a.nbib", NBIB.encode("utf-16")) == read_all("a.nbib", NBIB)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ("hello\nworld\n", 'record 1: is not of the .nbib format: it has no line "PMID- "'),
        ("      continued\n", "record 1: is not of the .nbib format"),
        ("PMID- x1\n", "record 1: is not of the .nbib format"),
        ("", "is empty"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_what_is_of_another_format_is_told(raw: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_all("a.nbib", raw)


def test_a_citation_without_a_number_is_named_and_the_others_are_read() -> None:
    *found, problem = read_all("a.nbib", f"TI  - No number\n\n{NBIB}")
    assert found == read_all("a.nbib", NBIB)
    assert problem.why.startswith("a.nbib, record 1: is not of the .nbib format")


def test_vernacular_titles_other_abstracts_and_retractions() -> None:
    titles = "TI  - [Not Available].\nTT  - Corvinol bei Gicht.\n"
    raw = f"PMID- 1\n{titles}AB  - UNLABELLED: One.\nOAB - Two.\nRIN - J Med. 2020\n"
    (found,) = read_all("a.nbib", raw)
    assert found.text == "RETRACTED: Corvinol bei Gicht.\n\nOne.\n\nTwo."
    assert found.metadata["notice"] == "Retracted"
