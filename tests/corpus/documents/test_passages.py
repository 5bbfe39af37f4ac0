from collections.abc import Sequence

import pytest

from corpus.documents.extract import Extract, Part, TextBuilder
from corpus.documents.passages import PASSAGE_WORDS, Window, common_window, split_document, words_window
from corpus.sentences import word_spans

WORDS = words_window()


def extract_of(text: str) -> Extract:
    return Extract("a", text, (Part(0, len(text)),))


def extract_of_blocks(*blocks: tuple[int | None, str, str]) -> Extract:
    """A document built from blocks, each with its page, section and text."""
    body = TextBuilder()
    for page, section, text in blocks:
        body.add(text, page=page, section=section)
    extract = body.extract("a")
    assert extract is not None
    return extract


def passage_texts(extract: Extract, window: Window) -> list[str]:
    return [extract.text[passage.start : passage.end] for passage in split_document(extract, window).passages]


def in_letters(limit: int, special: int = 2) -> Window:
    """A window that counts characters as tokens, and a number of special tokens for every text."""
    return Window(limit, lambda texts: [len(text) + special for text in texts], "letters")


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
@pytest.mark.parametrize("window", [WORDS, in_letters(50), in_letters(9)], ids=["words", "letters", "few letters"])
def test_passages_fit_and_have_all_text(text: str, window: Window) -> None:
    found = passage_texts(extract_of(text), window)
    assert not any(window.too_long(found))
    assert "".join("".join(found).split()) == "".join(text.split())


@pytest.mark.parametrize("text", ["x y " * 150_000, "One. " * 120_000, "One.\n\n" * 100_000, "x" * 600_000])
def test_tokens_of_huge_text_are_counted_in_batches(text: str) -> None:
    largest_batch = 0

    def count(batch: Sequence[str]) -> list[int]:
        nonlocal largest_batch
        largest_batch = max(largest_batch, sum(map(len, batch)))
        return [len(text) // 4 + 1 for text in batch]

    window = Window(1000, count, "quarters")
    found = passage_texts(extract_of(text), window)
    assert largest_batch < 300_000
    assert not any(window.too_long(found))
    assert sum(len(passage.replace(" ", "")) for passage in found) >= len("".join(text.split())) * 0.99


def test_passages_are_as_long_as_the_window_allows() -> None:
    text = " ".join(f"Sentence number {n:03} has seven words here." for n in range(100))
    found = passage_texts(extract_of(text), words_window(50))
    assert all(len(word_spans(passage)) == 49 for passage in found[:-1])  # 7 sentences of 7 words
    assert all(passage.startswith("Sentence") and passage.endswith("here.") for passage in found)


def test_paragraphs_that_fit_are_not_split() -> None:
    first, second = "One two three. Four five six.", "Seven eight. Nine ten.\n\nEleven."
    assert passage_texts(extract_of(f"{first}\n\n{second}"), words_window(6)) == [first, second]


def test_sentences_that_do_not_fit_are_counted() -> None:
    assert split_document(extract_of("Short one. " + "word " * 500 + "end. Short again."), WORDS).long_sentences == 1
    assert split_document(extract_of("Short one. Short again."), WORDS).long_sentences == 0


def test_long_table_is_split_between_rows() -> None:
    rows = [f"| Drug {number} | {number} mg twice daily |" for number in range(100)]
    found = passage_texts(extract_of("\n".join(rows)), WORDS)
    assert len(found) > 2
    assert [row for text in found for row in text.split("\n")] == rows


def test_heading_stays_with_the_text_below_it() -> None:
    sections = (("Rate", "rate " * 30), ("Dose of apixaban", "dose " * 30), ("Stop", "stop " * 60))
    extract = extract_of_blocks(*((None, section, f"{section}\n\n{text}") for section, text in sections))
    first_lines = [text.split("\n")[0] for text in passage_texts(extract, words_window(36))]
    assert first_lines[:2] == ["Rate", "Dose of apixaban"]
    underlined = "Rate\n====\n\n" + "rate " * 30 + "\n\nDose\n----\n\n" + "dose " * 30
    start = underlined.index("Dose")
    parts = (Part(0, start, section="Rate"), Part(start, len(underlined), section="Dose"))
    assert passage_texts(Extract("a", underlined, parts), words_window(36))[1].startswith("Dose\n----")


def test_document_with_headings_only_has_full_passages() -> None:
    extract = extract_of_blocks(*((None, f"Heading {number}", f"Heading {number}") for number in range(200)))
    assert len(passage_texts(extract, words_window(36))) < 2 * 400 / 36  # half full on average


def test_passage_has_one_page_and_all_its_sections() -> None:
    extract = extract_of_blocks((1, "A", "First page."), (2, "A", "Second page."), (2, "B", "Still second."))
    passages = split_document(extract, WORDS).passages
    assert [(found.page, found.section, extract.text[found.start : found.end]) for found in passages] == [
        (1, "A", "First page."),
        (2, "A; B", "Second page.\n\nStill second."),
    ]


def test_passages_fit_if_a_text_has_more_tokens_than_its_pieces() -> None:
    def count(texts: Sequence[str]) -> list[int]:
        return [len(text.split()) + text.count("\n\n") for text in texts]

    window = Window(4, count, "words and blank lines")
    text = "a a\n\nb b\n\nc c\n\nd\n\ne\n\nf"
    assert passage_texts(extract_of(text), window) == ["a a", "b b", "c c", "d\n\ne", "f"]


def test_text_that_fits_the_common_window_fits_each_window() -> None:
    characters, words = in_letters(60, special=3), words_window(8)
    common = common_window([characters, words])
    text = "Some words of other lengths are in every one of these sentences. " * 40
    found = passage_texts(extract_of(text), common)
    assert not any([*characters.too_long(found), *words.too_long(found)])
    assert all(len(word_spans(passage)) >= 5 for passage in found[:-1])
    # The text takes 33 of 60 characters and 2 of 8 words. In a window of 8 tokens, that is 4.4 and 2 tokens. The
    # common window counts the larger number, rounded up.
    assert list(common.count(["x" * 15 + " " + "y" * 14])) == [5]
    assert common_window([characters]).count(["abc"]) == characters.count(["abc"])


def test_max_tokens_limits_the_common_window() -> None:
    assert not any(common_window([in_letters(60)], 20).too_long(["x" * 18]))
    assert common_window([in_letters(60)], 20).too_long(["x" * 19]) == [True]
    assert common_window([in_letters(60)], 20).fingerprint != common_window([in_letters(60)]).fingerprint


def test_words_window_counts_words() -> None:
    assert WORDS.limit == PASSAGE_WORDS
    assert WORDS.too_long(["word " * PASSAGE_WORDS, "word " * (PASSAGE_WORDS + 1)]) == [False, True]
