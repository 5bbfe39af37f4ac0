from pathlib import Path
from time import process_time

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
        ("PAST HISTORY\nGout and\nCOPD.\nALLERGIES:\nNone", ["PAST HISTORY", "Gout and\nCOPD.", "ALLERGIES:", "None"]),
        ("ALLERGIC TO ASPIRIN\nAND LATEX", ["ALLERGIC TO ASPIRIN\nAND LATEX"]),
        ("| DRUG | DOSE |\n|---|---|\n| Aspirin | 75 mg |", ["| DRUG | DOSE |\n|---|---|", "| Aspirin | 75 mg |"]),
        (
            "| Drug | Advice | Dose |\n|---|---|---|\n| Zinc | Take it. Stop if ill. | 5 mg |\n\nIt fell. It rose.",
            [
                "| Drug | Advice | Dose |\n|---|---|---|",
                "| Zinc | Take it. Stop if ill. | 5 mg |",
                "It fell.",
                "It rose.",
            ],
        ),
        ("Drug\tAdvice\tDose\nZinc\tTake it. Stop it.\t5 mg", ["Drug\tAdvice\tDose", "Zinc\tTake it. Stop it.\t5 mg"]),
        ("Drug\tAdvice\nZinc\tTake it. Stop it.", ["Drug\tAdvice", "Zinc\tTake it.", "Stop it."]),
        ("Take it. Stop if ill.\tZinc. It helps.", ["Take it. Stop if ill.\tZinc.", "It helps."]),
        ("HISTORY:\tHe fell. He rose.\nDRUGS:\tNone.", ["HISTORY:\tHe fell.", "He rose.", "DRUGS:\tNone."]),
        ("", []),
        (" \n ", []),
    ],
)
def test_text_is_split_into_sentences(text: str, sentences: list[str]) -> None:
    assert [text[start:end] for start, end in sentence_spans(text)] == sentences


def test_blank_lines_separate_paragraphs() -> None:
    text = "\n one\ntwo \n \t\n\nthree\n"
    assert [text[start:end] for start, end in paragraph_spans(text)] == ["one\ntwo", "three"]


def test_each_character_of_an_unspaced_script_is_a_word() -> None:
    assert len(word_spans("血圧 fell 下")) == 4


def test_words_have_at_most_40_characters() -> None:
    assert len(word_spans("x" * 100)) == 3


def labelled_texts() -> list[tuple[str, set[int]]]:
    """The texts of data/sentences.txt, each with the offsets of its second and later sentences."""
    labelled = []
    _, *kinds = Path(__file__).with_name("data").joinpath("sentences.txt").read_text("utf-8").split("\n## ")
    for line in (line for kind in kinds for line in kind.splitlines()[1:] if line):
        sentences = line.replace("⏎", "\n").split("‖")
        starts = {len("".join(sentences[:number])) for number in range(1, len(sentences))}
        labelled.append(("".join(sentences), starts))
    return labelled


def test_f1_of_labelled_boundaries_is_at_least_0_97() -> None:
    true_positives = predicted = labelled = 0
    for text, starts in labelled_texts():
        found = {start for start, _ in sentence_spans(text)} - {0}
        true_positives += len(found & starts)
        predicted += len(found)
        labelled += len(starts)
    assert labelled >= 400
    assert 2 * true_positives / (predicted + labelled) >= 0.97


def test_only_white_space_is_outside_of_sentences() -> None:
    for text, _ in labelled_texts():
        assert "".join("".join(text[start:end] for start, end in sentence_spans(text)).split()) == "".join(text.split())


@pytest.mark.parametrize(
    "piece",
    ["word ", "a. ", ". . ", "...", "[1] ", "1\n", "\n- x", "| a |\n", "a\tb. c\n", "(((", "1,2-3.", "。", "A. "],
)
def test_time_of_sentence_splitting_grows_at_most_linearly(piece: str) -> None:
    def seconds(pieces: int) -> float:
        start = process_time()
        sentence_spans(piece * pieces)
        return process_time() - start

    seconds(1000)  # warm-up
    assert seconds(40_000) < 25 * max(seconds(4_000), 0.005)  # quadratic time would be 100 times as much
