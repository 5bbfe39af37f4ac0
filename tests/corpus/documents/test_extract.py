import pytest

from corpus.documents.extract import TextBuilder, clean, meaningful_title, one_line


def test_adjacent_blocks_on_one_page_and_in_one_section_are_one_part() -> None:
    body = TextBuilder()
    body.add(" one\r\n", page=1, section="A")
    body.add(" \n\t", page=9)
    body.add("two", page=1, section="A")
    body.add("three", page=1, section="B")
    body.add("four", page=2, section="B")
    extract = body.extract("key", title="T", year=None, mesh=[], journal="")
    assert extract is not None
    assert extract.text == "one\n\ntwo\n\nthree\n\nfour"
    assert [(part.page, part.section, extract.text[part.start : part.end]) for part in extract.parts] == [
        (1, "A", "one\n\ntwo"),
        (1, "B", "three"),
        (2, "B", "four"),
    ]
    assert (extract.key, extract.metadata) == ("key", {"title": "T"})


def test_builder_without_text_returns_none() -> None:
    body = TextBuilder()
    body.add(" \x00\u00ad ")
    assert body.extract("key", title="T") is None


def test_clean_removes_invisible_characters() -> None:
    assert clean("a\x00b\x1bc\ud800d\u00ade\ufefff\tg\nh\x0ci\r\nj\u2028k") == "abcdef\tg\nh\ni\nj\u2028k"
    assert one_line("  a \n\n b\x00 ") == "a b"
    assert one_line(" \x00") is one_line(None) is None


@pytest.mark.parametrize(
    "title",
    [
        *("Microsoft Word - x.docx", "Microsoft PowerPoint - Gout", "untitled", "Untitled-1", "Untitled Document"),
        *("Slide 1", "Document1", "PowerPoint Presentation", "Présentation PowerPoint", "gout guideline.doc"),
        *("97..105.indd", "doi:10.1136/bmj.1", "10.1136/bmj.1", "PII: S0140-6736(19)1", " ", None),
    ],
)
def test_title_that_names_no_content_is_not_meaningful(title: str | None) -> None:
    assert meaningful_title(title) is None


@pytest.mark.parametrize("title", ["Gout", "Slide tests in 3 wards", "Untitled: a memoir", "Page kidney", "Grade 2.5"])
def test_title_of_content_is_meaningful(title: str) -> None:
    assert meaningful_title(f" {title}\n") == title
