"""ALCE's arithmetic against cases that were worked by hand."""

from collections.abc import Sequence

import pytest

from eval.stats.citations import (
    CitationScore,
    CitedSentence,
    citation_metrics,
    citation_precision,
    citation_recall,
    rouge_l,
    score_citations,
)


def entails(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """A text entails a statement if it has all of its letters."""
    return [set(statement.split()) <= set(premise.split()) for premise, statement in pairs]


# Passages and statements are sets of facts: "a b" holds the facts a and b.
CASES: list[tuple[str, str, list[str], bool, int]] = [
    ("one citation that supports", "a", ["a"], True, 1),
    ("one citation that does not", "a", ["b"], False, 0),
    ("no citation", "a", [], False, 0),
    ("two that each support", "a", ["a", "a b"], True, 2),
    ("two that support together only", "a b", ["a", "b"], True, 2),
    ("one that supports and one that is irrelevant", "a", ["a", "c"], True, 1),
    ("the irrelevant one first", "a", ["c", "a"], True, 1),
    ("two needed and one irrelevant", "a b", ["a", "b", "c"], True, 2),
    ("two copies of one half and the other half", "a b", ["a", "a", "b"], True, 1),
    ("one that supports alone, beside two halves", "a b", ["a b", "a", "b"], True, 1),
    ("not supported: no citation counts", "a b", ["a", "c"], False, 0),
]


@pytest.mark.parametrize(
    ("statement", "passages", "supported", "precise"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_sentence(statement: str, passages: list[str], supported: bool, precise: int) -> None:
    [score] = score_citations([CitedSentence(statement, tuple(passages))], entails)
    assert score == CitationScore(supported, len(passages), precise)


def test_all_sentences_are_scored_as_each_alone() -> None:
    sentences = [CitedSentence(case[1], tuple(case[2])) for case in CASES]
    passes: list[int] = []

    def counting(pairs: Sequence[tuple[str, str]]) -> list[bool]:
        passes.append(len(pairs))
        return entails(pairs)

    scores = score_citations(sentences, counting)
    assert [(one.is_supported, one.precise) for one in scores] == [case[3:] for case in CASES]
    assert len(passes) == 3


def test_an_answer() -> None:
    """Three sentences: supported by 2 of its 3 citations, not supported by 1, and without a citation."""
    scores = [CitationScore(True, 3, 2), CitationScore(False, 1, 0), CitationScore(False, 0, 0)]
    assert citation_recall(scores) == pytest.approx(1 / 3)
    assert citation_precision(scores) == pytest.approx(2 / 4)
    assert citation_precision([CitationScore(False, 0, 0)]) == 0
    assert citation_recall([]) is None
    assert citation_precision([]) is None


def test_figures_are_means_over_the_answers_that_have_a_value() -> None:
    base = {"rouge_l": None, "entails_reference": None, "entailed_by_reference": None, "refused": False}
    given = {
        "citation_recall": 0.5,
        "citation_precision": 1.0,
        "attributed_recall": 1.0,
        "sentence_support": 0.5,
        "sentence_contradicted": 0.5,
        "withheld": False,
        "words": 10,
        "sentences": 2,
        **base,
    }
    withheld = dict.fromkeys(given) | base | {"withheld": True, "words": 0, "sentences": 0}
    figures = citation_metrics([given, {**given, "citation_recall": 1.0}, withheld])
    assert figures["citation_recall"].value == pytest.approx(0.75)
    assert figures["withheld"].value == pytest.approx(1 / 3)
    assert figures["words"].value == pytest.approx(20 / 3)
    assert "rouge_l" not in figures


@pytest.mark.parametrize(
    ("reference", "text", "value"),
    [
        ("police killed the gunman", "police kill the gunman", 0.75),  # Lin (2004): 3 of 4 words in order
        ("police killed the gunman", "the gunman kill police", 0.5),
        ("police killed the gunman", "the gunman police killed", 0.5),
        ("It fell, clearly.", "it FELL clearly", 1.0),
        ("a b c d", "a c", 2 * 1.0 * 0.5 / 1.5),
        ("a", "", 0.0),
        ("", "a", 0.0),
    ],
)
def test_rouge_l(reference: str, text: str, value: float) -> None:
    assert rouge_l(reference, text) == pytest.approx(value)
