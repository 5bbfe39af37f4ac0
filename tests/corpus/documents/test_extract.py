"""corpus/documents/extract.py: texts put together from blocks, with the places of their parts."""

from corpus.documents.extract import TextBuilder, clean, one_line


def test_neighbours_on_a_page_and_in_a_section_are_one_part() -> None:
    body = TextBuilder()
    body.add(" one\r\n", page=1, section="A")
    body.add(" \n\t", page=9)
    body.add("two", page=1, section="A")
    body.add("three", page=1, section="B")
    body.add("four", page=2, section="B")
    found = body.extract("key", title="T", year=None, mesh=[], journal="")
    assert found is not None
    assert found.text == "one\n\ntwo\n\nthree\n\nfour"
    assert [(part.page, part.section, found.text[part.start : part.end]) for part in found.parts] == [
        (1, "A", "one\n\ntwo"),
        (1, "B", "three"),
        (2, "B", "four"),
    ]
    assert (found.key, found.metadata) == ("key", {"title": "T"})


def test_nothing_is_no_document() -> None:
    body = TextBuilder()
    body.add(" \x00\u00ad ")
    assert body.extract("key", title="T") is None


def test_what_nothing_can_show_is_left_out() -> None:
    assert clean("a\x00b\x1bc\ud800d\u00ade\ufefff\tg\nh\x0ci\r\nj\u2028k") == "abcdef\tg\nh\ni\nj\u2028k"
    assert one_line("  a \n\n b\x00 ") == "a b"
    assert one_line(" \x00") is one_line(None) is None
