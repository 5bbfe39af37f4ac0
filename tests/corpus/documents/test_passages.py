"""corpus/documents/passages.py: passages that fit, with nothing lost and their places right."""

from collections.abc import Sequence

import pytest

from corpus.documents.extract import Extract, Part, TextBuilder
from corpus.documents.passages import PASSAGE_WORDS, Window, common_window, split_document, words_window
from corpus.sentences import word_spans

WORDS = words_window()


def document(text: str) -> Extract:
    return Extract("a", text, (Part(0, len(text)),))


def texts(found: Extract, window: Window) -> list[str]:
    return [found.text[one.start : one.end] for one in split_document(found, window).passages]


def letters(limit: int, added: int = 2) -> Window:
    """A window that counts characters, with some that come to every text."""
    return Window(limit, lambda some: [len(text) + added for text in some], "letters")


@pytest.mark.parametrize(
    "text",
    [
        "word " * 1000,
        "Six words are in this sentence. " * 300,
        "x" * 30_000,
        "文字。" * 1000,
        "a\n" * 2000,
        "a\n\n" * 999,
        "A short one.\n\n" + "long " * 300 + "\n\nA short one.",
    ],
    ids=["no full stop", "one paragraph", "no space", "unspaced script", "lines", "paragraphs", "mixed"],
)
@pytest.mark.parametrize("window", [WORDS, letters(50), letters(9)], ids=["words", "letters", "few letters"])
def test_no_passage_is_over_the_limit_and_nothing_is_lost(text: str, window: Window) -> None:
    found = texts(document(text), window)
    assert not any(window.too_long(found))
    assert "".join("".join(found).split()) == "".join(text.split())


@pytest.mark.parametrize("text", ["x y " * 150_000, "One. " * 120_000, "One.\n\n" * 100_000, "x" * 600_000])
def test_of_a_huge_text_little_is_counted_at_a_time(text: str) -> None:
    most = 0

    def count(some: Sequence[str]) -> list[int]:
        nonlocal most
        most = max(most, sum(map(len, some)))
        return [len(one) // 4 + 1 for one in some]

    window = Window(1000, count, "quarters")
    found = texts(document(text), window)
    assert most < 300_000
    assert not any(window.too_long(found))
    assert sum(len(one.replace(" ", "")) for one in found) >= len("".join(text.split())) * 0.99


def test_passages_are_as_long_as_the_window_lets_them() -> None:
    text = " ".join(f"Sentence number {n:03} has seven words here." for n in range(100))
    found = texts(document(text), words_window(50))
    assert all(len(word_spans(one)) == 49 for one in found[:-1])
    assert all(one.startswith("Sentence") and one.endswith("here.") for one in found)


def test_paragraphs_stay_whole_where_they_fit() -> None:
    text = "One two three. Four five six.\n\nSeven eight. Nine ten.\n\nEleven."
    assert texts(document(text), words_window(6)) == [
        "One two three. Four five six.",
        "Seven eight. Nine ten.\n\nEleven.",
    ]


def test_a_sentence_that_is_too_long_is_split_at_words_and_counted() -> None:
    made = split_document(document("Short one. " + "word " * 500 + "end. Short again."), WORDS)
    assert made.long_sentences == 1
    assert split_document(document("Short one. Short again."), WORDS).long_sentences == 0


def test_a_table_that_is_too_long_is_split_at_the_ends_of_its_rows() -> None:
    rows = [f"| Drug {number} | {number} mg twice daily |" for number in range(100)]
    found = texts(document("\n".join(rows)), WORDS)
    assert len(found) > 2
    assert [row for text in found for row in text.split("\n")] == rows


def test_a_heading_stays_with_its_text() -> None:
    body = TextBuilder()
    for section, text in (("Rate", "rate " * 30), ("Dose of apixaban", "dose " * 30), ("Stop", "stop " * 60)):
        body.add(section, section=section)
        body.add(text, section=section)
    found = body.extract("a")
    assert found is not None
    assert [text.split("\n")[0] for text in texts(found, words_window(36))][:2] == ["Rate", "Dose of apixaban"]
    underlined = "Rate\n====\n\n" + "rate " * 30 + "\n\nDose\n----\n\n" + "dose " * 30
    start = underlined.index("Dose")
    parts = (Part(0, start, section="Rate"), Part(start, len(underlined), section="Dose"))
    assert texts(Extract("a", underlined, parts), words_window(36))[1].startswith("Dose\n----")


def test_a_document_of_headings_alone_is_cut_where_a_passage_is_full() -> None:
    body = TextBuilder()
    for number in range(200):
        body.add(f"Heading {number}", section=f"Heading {number}")
    found = body.extract("a")
    assert found is not None
    assert len(texts(found, words_window(36))) < 2 * 400 / 36


def test_a_passage_lies_on_one_page_and_tells_its_sections() -> None:
    body = TextBuilder()
    body.add("First page.", page=1, section="A")
    body.add("Second page.", page=2, section="A")
    body.add("Still second.", page=2, section="B")
    found = body.extract("a")
    assert found is not None
    made = split_document(found, WORDS).passages
    assert [(one.page, one.section, found.text[one.start : one.end]) for one in made] == [
        (1, "A", "First page."),
        (2, "A; B", "Second page.\n\nStill second."),
    ]


def test_tokenizers_that_find_more_in_the_whole_than_in_its_parts() -> None:
    def count(some: Sequence[str]) -> list[int]:
        return [len(text.split()) + text.count("\n\n") for text in some]

    window = Window(4, count, "odd")
    found = texts(document("a a\n\nb b\n\nc c\n\nd\n\ne\n\nf"), window)
    assert found == ["a a", "b b", "c c", "d\n\ne", "f"]


def test_what_fits_the_narrowest_fits_all() -> None:
    three, words = letters(60, added=3), words_window(8)
    both = common_window([three, words])
    text = "Some words of other lengths are in every one of these sentences. " * 40
    found = texts(document(text), both)
    assert not any(three.too_long(found) or words.too_long(found))
    assert all(len(word_spans(one)) >= 5 for one in found[:-1])
    # 33 of 60 and 2 of 8 are 4.4 and 2 on a scale of 8.
    assert list(both.count(["x" * 15 + " " + "y" * 14])) == [5]
    assert common_window([three]).count(["abc"]) == three.count(["abc"])
    assert not any(common_window([letters(60)], 20).too_long(["x" * 18]))
    assert common_window([letters(60)], 20).too_long(["x" * 19]) == [True]
    assert common_window([letters(60)], 20).fingerprint != common_window([letters(60)]).fingerprint


def test_the_limit_without_an_embedder() -> None:
    assert WORDS.limit == PASSAGE_WORDS
    assert WORDS.too_long(["word " * PASSAGE_WORDS, "word " * (PASSAGE_WORDS + 1)]) == [False, True]
