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
        ("Title\n-----\nText", ["Title\n-----", "Text"]),
        ("No stop here\n\nnor here", ["No stop here", "nor here"]),
        ("We saw e.g.\n\nNext", ["We saw e.g.", "Next"]),
        ("1. Wash it.\n2. Do not suck it.", ["1. Wash it.", "2. Do not suck it."]),
        ("Diagnosis: 1. Stroke. 2. Gout of\nthe toe.", ["Diagnosis: 1. Stroke.", "2. Gout of\nthe toe."]),
        ("It rose from 5 to 12. Then it fell.", ["It rose from 5 to 12.", "Then it fell."]),
        ("Take it b.i.d. with food, at most 2 g. Stop.", ["Take it b.i.d. with food, at most 2 g.", "Stop."]),
        (
            "Fall-Nr. 2203, geb. 04.08.1947, z. B. mit Gicht. Am 19. Tag ging er.",
            ["Fall-Nr. 2203, geb. 04.08.1947, z. B. mit Gicht.", "Am 19. Tag ging er."],
        ),
        (
            "PAST HISTORY\nGout and\nCOPD.\nALLERGIES:\nNone",
            ["PAST HISTORY", "Gout and\nCOPD.", "ALLERGIES:", "None"],
        ),
        ("ALLERGIC TO ASPIRIN\nAND LATEX", ["ALLERGIC TO ASPIRIN\nAND LATEX"]),
        (
            "| DRUG | DOSE |\n|---|---|\n| Aspirin | 75 mg |",
            ["| DRUG | DOSE |\n|---|---|\n| Aspirin | 75 mg |"],
        ),
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
