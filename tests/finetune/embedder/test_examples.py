import pytest

from common.errors import UserError
from corpus.records import QARecord
from finetune.config import TaughtEmbedderConfig
from finetune.embedder.examples import Example, make_lesson


def record(id: str, text: str, question: str = "", conclusion: str = "") -> QARecord:
    return QARecord(id=id, question=question or f"question {id}?", contexts=(text,), label=None, conclusion=conclusion)


TRAIN = [
    record("a", "aspirin lowered stroke", "does aspirin lower stroke?", "aspirin works"),
    record("b", "aspirin caused bleeding"),
    record("c", "statins and mortality", conclusion="statins fail"),
]
DEV = [record("d", "vaccines in children"), record("e", "aspirin caused bleeding", "is bleeding caused?")]


def test_questions_and_conclusions_with_their_abstracts() -> None:
    lesson = make_lesson(TaughtEmbedderConfig(), TRAIN, DEV)
    assert lesson.abstracts == (
        "aspirin lowered stroke", "aspirin caused bleeding", "statins and mortality", "vaccines in children",
    )  # fmt: skip
    assert lesson.train == (
        Example("does aspirin lower stroke?", 0),
        Example("aspirin works", 0),
        Example("question b?", 1),
        Example("question c?", 2),
        Example("statins fail", 2),
    )
    assert lesson.dev == (Example("question d?", 3), Example("is bleeding caused?", 1))


def test_one_kind_of_pairs_alone() -> None:
    assert {one.text for one in make_lesson(TaughtEmbedderConfig(pairs=("conclusion",)), TRAIN, ()).train} == {
        "aspirin works", "statins fail",
    }  # fmt: skip


def test_negatives_are_bm25s_best_wrong_abstracts_of_the_training_records() -> None:
    lesson = make_lesson(TaughtEmbedderConfig(pairs=("question",), negatives=1), TRAIN, DEV)
    assert lesson.train[0].negatives == (1,)  # it shares a word, and the rest is drawn
    for one in lesson.train:
        assert len(one.negatives) == 1
        assert one.abstract not in one.negatives
        assert max(one.negatives) < 3
    assert make_lesson(TaughtEmbedderConfig(pairs=("question",), negatives=1), TRAIN, DEV) == lesson


def test_the_same_abstract_under_two_ids_is_one_and_never_its_own_negative() -> None:
    twice = [*TRAIN, record("x", "aspirin lowered stroke", "stroke and aspirin?")]
    lesson = make_lesson(TaughtEmbedderConfig(pairs=("question",), negatives=1), twice, ())
    assert lesson.train[-1].abstract == 0
    assert all(one.abstract not in one.negatives for one in lesson.train)


def test_too_little_to_teach() -> None:
    with pytest.raises(UserError, match="have 1 different abstracts, too few to tell apart"):
        make_lesson(TaughtEmbedderConfig(), TRAIN[:1], DEV)
    with pytest.raises(UserError, match=r"too few to tell apart with train\.embedder\.negatives 2"):
        make_lesson(TaughtEmbedderConfig(negatives=2), TRAIN, DEV)
    with pytest.raises(UserError, match=r"No training record has what train\.embedder\.pairs names \(conclusion\)"):
        make_lesson(TaughtEmbedderConfig(pairs=("conclusion",)), [TRAIN[1], DEV[0]], ())
