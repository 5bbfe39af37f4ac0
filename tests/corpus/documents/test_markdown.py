import time

import pytest
from document_files import MARKDOWN
from reading import parts_of, read_one


def test_parts_have_their_heading_as_section() -> None:
    found = read_one("a.md", MARKDOWN)
    assert found.text == MARKDOWN
    assert found.metadata == {"title": "Heparin"}
    assert [(section, text.split("\n")[0]) for section, _, text in parts_of(found)] == [
        ("Heparin", "# Heparin"),
        ("Doses", "## Doses"),
    ]


def test_headings_in_code_and_quotations_are_not_sections() -> None:
    text = "intro\n\n```\n# code\n```\n\n> # quoted\n\n#nor this\n"
    assert [section for section, _, _ in parts_of(read_one("a.md", text))] == [None]


def test_underlined_headings_and_all_line_ends_are_recognized() -> None:
    text = "intro\r\n\r\nFirst\r\n=====\r\none\r\n## Second **bold**\r\rtwo\r# Third\rthree"
    found = read_one("a.md", text)
    assert found.text == text.replace("**", "")
    assert parts_of(found) == [
        (None, None, "intro"),
        ("First", None, "First\r\n=====\r\none"),
        ("Second bold", None, "## Second bold\r\rtwo"),
        ("Third", None, "# Third\rthree"),
    ]


def test_plain_text_is_unchanged_except_for_the_byte_order_mark() -> None:
    found = read_one("a.txt", "\ufeff  caf\u00e9\r\nx ".encode())
    assert (found.key, found.text, found.metadata) == ("a.txt", "  caf\u00e9\r\nx ", {})


@pytest.mark.parametrize(
    ("raw", "title", "text"),
    [
        ("---\ntitle: 'A note'\ntags: [a, b]\n---\n\nText.\n", "A note", "\nText.\n"),
        ("---\r\ntitle: A note\r\n---\r\nText.", "A note", "Text."),
        ('+++\ntitle = "A note"\n+++\nText.', "A note", "Text."),
        ("---\ntitle: >-\n  A note\n  in lines\nlang: en\n---\nText.", "A note in lines", "Text."),
        ("---\ntitle: A note\n  in lines\n---\nText.", "A note in lines", "Text."),
        ("---\ntitle: 'O''Brien''s note'  # draft\n---\nText.", "O'Brien's note", "Text."),
        ("---\ntitle: Asthma: a note\n---\nText.", "Asthma: a note", "Text."),
        ("---\ntitle: 2024-05-01\n---\nText.", "2024-05-01", "Text."),
        ("---\ntitle:\n---\n# Heading\n", "Heading", "# Heading\n"),
        ("---\nNo setting, a rule.\n---\nText.", None, "---\nNo setting, a rule.\n---\nText."),
        ("Text.\n\n---\ntitle: x\n---\n", None, "Text.\n\n---\ntitle: x\n---\n"),
        ("![f](data:image/png;base64," + "A" * 99 + ")\nText.", None, "f\nText."),
        ("![f][i]\n\n[i]: <data:image/png;base64," + "A" * 99 + ">\n", None, "f\n\n"),
        ("See [it][1].\n\n[1]: https://example.org/a 'It'\nEnd.", None, "See it.\n\nEnd."),
        ('Give [zinc](https://x.example/a_(b) "Zinc") **20 mg** _daily_.', None, "Give zinc 20 mg daily."),
        ("Keep a_b_c, 5*3*2, CD4* and `**code**`, [n].", None, "Keep a_b_c, 5*3*2, CD4* and `**code**`, [n]."),
        ("Give ~~40~~ 4 mg <del>weekly</del> daily, ~5 ~~~ \\~~6~~.", None, "Give 4 mg daily, ~5 ~~~ ~~6~~."),
        ("~~~\n~~a~~\n~~~\n", None, "~~~\n~~a~~\n~~~\n"),
        ("- [Dose](#dose)\n- [Risks](#risks)\n\n- [Office](https://o.example)\n", None, "\n- Office\n"),
        ("```\n[a](b) **c**\n```\n", None, "```\n[a](b) **c**\n```\n"),
        (r"P \< 0.05, \~5 \*mg\* \[1\], &lt; 37&deg;C, `a\<&lt;`.", None, r"P < 0.05, ~5 *mg* [1], < 37°C, `a\<&lt;`."),
        (
            "\\# No heading\n1\\. no item, a \\| b &#124; c, C:\\\\x.",
            None,
            "\\# No heading\n1\\. no item, a \\| b &#124; c, C:\\\\x.",
        ),
        ("[^1]: A footnote.\n", None, "[^1]: A footnote.\n"),
        ("A <!-- draft:\n900 mg --> note.", None, "A \n note."),
        ("A <!-- that never ends.", None, "A <!-- that never ends."),
        ("```\n<!-- kept -->\n```\n", None, "```\n<!-- kept -->\n```\n"),
    ],
)
def test_front_matter_and_inline_marks_are_removed(raw: str, title: str | None, text: str) -> None:
    document = read_one("a.md", raw)
    assert (document.metadata.get("title"), document.text) == (title, text)


def test_white_space_in_the_title_is_read_quickly() -> None:
    start = time.process_time()
    assert read_one("a.md", f"---\ntitle: 'A{' ' * 100_000}B' \n---\nText.").metadata["title"] == "A B"
    assert time.process_time() - start < 2


def test_long_table_repeats_its_header_unless_very_long() -> None:
    rows = [f"| drug{n} | {n} mg |" for n in range(30)]
    found = read_one("a.md", "\n".join(["| Drug | Dose |", "|---|---|", *rows]))
    assert found.text.count("| Drug | Dose |\n|---|---|\n") == 3
    assert [line for line in found.text.split("\n") if line.startswith("| drug")] == rows
    assert read_one("a.md", "\n".join([f"| {'h' * 3000} | Dose |", "|---|---|", *rows])).text.count("| Dose |") == 1
