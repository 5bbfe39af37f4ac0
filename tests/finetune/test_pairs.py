"""finetune/pairs.py: pairs made from labelled questions."""

from functools import partial

import pytest

from chains.nli import NLI_LABELS
from common.errors import UserError
from corpus.records import QARecord
from finetune import pairs

LABELS = {label: label for label in NLI_LABELS}
SETTING = "train.encoder.answer_pairs"
answer_pairs = partial(pairs.answer_pairs, setting=SETTING, seed=1)


def record(name: str, label: str | None) -> QARecord:
    return QARecord(name, f"Does {name} help?", (f"We gave {name}.", f"It was {label}."), label)  # type: ignore[arg-type]


RECORDS = [record("a", "yes"), record("b", "no"), record("c", "maybe"), record("d", None)]


def test_an_abstract_entails_its_answer_and_contradicts_the_opposite() -> None:
    labels = {pair.id: pair.label for pair in answer_pairs(RECORDS, LABELS) if "-by-" not in pair.id}
    assert labels == {
        "a-yes": "entailment",
        "a-no": "contradiction",
        "b-yes": "contradiction",
        "b-no": "entailment",
        "c-yes": "neutral",
        "c-no": "neutral",
    }


def test_the_premise_is_the_abstract_and_the_hypothesis_states_the_answer() -> None:
    pair = answer_pairs(RECORDS, LABELS)[1]
    assert pair.premise == RECORDS[0].context
    assert pair.hypothesis == "Does a help? The answer is no."


def test_another_abstract_is_neutral_to_the_answer() -> None:
    records = [*RECORDS, record("e", "no"), record("f", "yes"), record("g", "maybe")]
    unrelated = [pair for pair in answer_pairs(records, LABELS) if "-by-" in pair.id]
    assert len(unrelated) == 3  # for half of the six records with a label
    for pair in unrelated:  # id: QUESTION-ANSWER-by-ABSTRACT
        question, abstract = pair.id.split("-")[0], pair.id.split("-by-")[1]
        assert question != abstract
        assert abstract != "d"  # record d has no label
        assert f"We gave {abstract}." in pair.premise
        assert f"Does {question} help?" in pair.hypothesis
        assert pair.label == "neutral"


def test_records_about_the_same_abstract_make_no_unrelated_pair() -> None:
    records = [QARecord(name, f"Does {name} help?", ("We gave both.",), "yes") for name in "abc"]
    assert not [pair for pair in answer_pairs(records, LABELS) if "-by-" in pair.id]


def test_labels_are_renamed_by_pairs_labels() -> None:
    words = {"entailment": "supported", "neutral": "open", "contradiction": "refuted"}
    assert {pair.label for pair in answer_pairs(RECORDS, words)} == set(words.values())


def test_the_seed_determines_the_unrelated_pairs() -> None:
    records = [record(f"r{number}", "yes") for number in range(20)]
    assert answer_pairs(records, LABELS) == answer_pairs(records, LABELS) != answer_pairs(records, LABELS, seed=2)


def test_a_single_record_has_no_unrelated_pairs() -> None:
    assert [pair.id for pair in answer_pairs(RECORDS[:1], LABELS)] == ["a-yes", "a-no"]


def test_labels_without_neutral_are_refused() -> None:
    with pytest.raises(
        UserError, match=rf"pairs\.labels has no entry for neutral.* Add neutral: WORD to it, or set {SETTING} to false"
    ):
        answer_pairs(RECORDS, {"entailment": "yes", "contradiction": "no"})


def test_records_without_labels_are_refused() -> None:
    with pytest.raises(UserError, match=f"{SETTING} is true, but no question.* set {SETTING} to false"):
        answer_pairs(RECORDS[3:], LABELS)
