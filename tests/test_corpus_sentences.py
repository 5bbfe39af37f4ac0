"""corpus/sentences.py: where sentences end, and where they do not."""

import pytest

from corpus.sentences import paragraph_spans, sentence_spans, word_spans


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It fell. It rose!  Did it?", ["It fell.", "It rose!", "Did it?"]),
        ("A mean of 3.5 mm (p < 0.01). Next.", ["A mean of 3.5 mm (p < 0.01).", "Next."]),
        ("Drugs, e.g. statins, vs. none. End", ["Drugs, e.g. statins, vs. none.", "End"]),
        ("Dr. Lee saw A. madagascariensis. Yes.", ["Dr. Lee saw A. madagascariensis.", "Yes."]),
        ('He said "no." Then left.', ['He said "no."', "Then left."]),
        (
            "The answer was no. We saw E. coli in group B. No. 3 fell.",
            ["The answer was no.", "We saw E. coli in group B.", "No. 3 fell."],
        ),
        ("文一。文二。", ["文一。", "文二。"]),
        ("Intro:\n- one\n- two", ["Intro:", "- one", "- two"]),
        ("# Title\nText that\nis wrapped.\n\nMore", ["# Title", "Text that\nis wrapped.", "More"]),
        ("No stop here\n\nnor here", ["No stop here", "nor here"]),
        ("We saw e.g.\n\nNext", ["We saw e.g.", "Next"]),
        ("", []),
        (" \n ", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert [text[start:end] for start, end in sentence_spans(text)] == sentences


def test_paragraphs_lie_between_blank_lines() -> None:
    text = "\n one\ntwo \n \t\n\nthree\n"
    assert [text[start:end] for start, end in paragraph_spans(text)] == ["one\ntwo", "three"]


def test_words_of_unspaced_scripts_are_characters() -> None:
    assert len(word_spans("血圧 fell 下")) == 4
    assert len(word_spans("x" * 100)) == 3
