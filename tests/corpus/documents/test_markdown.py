"""corpus/documents/markdown.py and text.py: the file as it is, with the headings that its parts stand under."""

from document_files import MARKDOWN
from reading import parts_of, read_one


def test_the_text_is_the_file_and_its_parts_lie_under_its_headings() -> None:
    found = read_one("a.md", MARKDOWN)
    assert found.text == MARKDOWN
    assert found.metadata == {"title": "Heparin"}
    assert [(section, text.split("\n")[0]) for section, _, text in parts_of(found)] == [
        ("Heparin", "# Heparin"),
        ("Doses", "## Doses"),
    ]


def test_what_only_looks_like_a_heading_is_none() -> None:
    text = "intro\n\n```\n# code\n```\n\n> # quoted\n\n#nor this\n"
    assert [section for section, _, _ in parts_of(read_one("a.md", text))] == [None]


def test_underlined_headings_and_line_ends_of_other_systems() -> None:
    text = "intro\r\n\r\nFirst\r\n=====\r\none\r\n## Second **bold**\r\rtwo\r# Third\rthree"
    found = read_one("a.md", text)
    assert found.text == text
    assert parts_of(found) == [
        (None, None, "intro"),
        ("First", None, "First\r\n=====\r\none"),
        ("Second **bold**", None, "## Second **bold**\r\rtwo"),
        ("Third", None, "# Third\rthree"),
    ]


def test_plain_text_is_kept_without_its_mark() -> None:
    found = read_one("a.txt", "\ufeff  caf\u00e9\r\nx ".encode())
    assert (found.key, found.text, found.metadata) == ("a.txt", "  caf\u00e9\r\nx ", {})
