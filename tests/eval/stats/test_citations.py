"""ALCE's metrics against values computed by hand, and ROUGE-L."""

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
    """A text entails a statement if it has all words of the statement."""
    return [set(statement.split()) <= set(premise.split()) for premise, statement in pairs]


# Each word is a fact: the passage "a b" entails the statements "a", "b" and "a b".
# A case has a test id, which describes the passages; the statement; the passages; whether they support the sentence;
# and the number of precise citations.
CASES: list[tuple[str, str, list[str], bool, int]] = [
    ("one supporting", "a", ["a"], True, 1),
    ("one unsupporting", "a", ["b"], False, 0),
    ("no citation", "a", [], False, 0),
    ("two supporting", "a", ["a", "a b"], True, 2),
    ("two supporting only together", "a b", ["a", "b"], True, 2),
    ("supporting, irrelevant", "a", ["a", "c"], True, 1),
    ("irrelevant, supporting", "a", ["c", "a"], True, 1),
    ("two halves, irrelevant", "a b", ["a", "b", "c"], True, 2),
    ("a half twice, other half", "a b", ["a", "a", "b"], True, 1),
    ("supporting, two halves", "a b", ["a b", "a", "b"], True, 1),
    ("half, irrelevant", "a b", ["a", "c"], False, 0),
]


@pytest.mark.parametrize(
    ("statement", "passages", "supported", "precise"),
    [pytest.param(*case, id=name) for name, *case in CASES],
)
def test_support_and_precise_citations_of_one_sentence(
    statement: str, passages: list[str], supported: bool, precise: int
) -> None:
    [score] = score_citations([CitedSentence(statement, tuple(passages))], entails)
    assert score == CitationScore(supported, len(passages), precise)


def test_many_sentences_are_scored_like_single_ones_in_three_calls() -> None:
    sentences = [CitedSentence(statement, tuple(passages)) for _, statement, passages, *_ in CASES]
    calls: list[int] = []

    def counting(pairs: Sequence[tuple[str, str]]) -> list[bool]:
        calls.append(len(pairs))
        return entails(pairs)

    scores = score_citations(sentences, counting)
    assert [(score.is_supported, score.precise) for score in scores] == [case[3:] for case in CASES]
    assert len(calls) == 3


def test_recall_and_precision_of_an_answer() -> None:
    """The first sentence is supported and 2 of its 3 citations are precise; the others are unsupported.

    The second sentence has a citation, and the third has none.
    """
    scores = [CitationScore(True, 3, 2), CitationScore(False, 1, 0), CitationScore(False, 0, 0)]
    assert citation_recall(scores) == pytest.approx(1 / 3)
    assert citation_precision(scores) == pytest.approx(2 / 4)
    assert citation_precision([CitationScore(False, 0, 0)]) == 0
    assert citation_recall([]) is None
    assert citation_precision([]) is None


def test_metrics_are_means_over_the_answers_that_have_a_value() -> None:
    unset = {"rouge_l": None, "entails_reference": None, "entailed_by_reference": None, "refused": False}
    answer = {
        "citation_recall": 0.5,
        "citation_precision": 1.0,
        "attributed_recall": 1.0,
        "sentence_support": 0.5,
        "sentence_contradicted": 0.5,
        "withheld": False,
        "words": 10,
        "sentences": 2,
        **unset,
    }
    withheld = dict.fromkeys(answer) | unset | {"withheld": True, "words": 0, "sentences": 0}
    metrics = citation_metrics([answer, {**answer, "citation_recall": 1.0}, withheld])
    assert metrics["citation_recall"].value == pytest.approx(0.75)
    assert metrics["withheld"].value == pytest.approx(1 / 3)
    assert metrics["words"].value == pytest.approx(20 / 3)
    assert "rouge_l" not in metrics


@pytest.mark.parametrize(
    ("reference", "text", "value"),
    [
        ("police killed the gunman", "police kill the gunman", 0.75),  # Lin (2004): 3 of 4 words in order
        ("police killed the gunman", "the gunman kill police", 0.5),
        ("police killed the gunman", "the gunman police killed", 0.5),
        ("It fell, clearly.", "it FELL clearly", 1.0),
        ("a b c d", "a c", 2 * 1.0 * 0.5 / 1.5),  # precision 1, recall 0.5
        ("a", "", 0.0),
        ("", "a", 0.0),
    ],
)
def test_rouge_l_is_f1_of_the_longest_common_subsequence(reference: str, text: str, value: float) -> None:
    assert rouge_l(reference, text) == pytest.approx(value)
