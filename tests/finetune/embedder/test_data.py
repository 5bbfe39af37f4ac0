import pytest

from common.errors import UserError
from corpus.records import QARecord
from finetune.config import EmbedderTrainConfig
from finetune.embedder.data import Example, make_data


def record(id: str, text: str, question: str = "", conclusion: str = "") -> QARecord:
    return QARecord(id=id, question=question or f"question {id}?", contexts=(text,), label=None, conclusion=conclusion)


TRAIN = [
    record("a", "aspirin lowered stroke", "does aspirin lower stroke?", "aspirin works"),
    record("b", "aspirin caused bleeding"),
    record("c", "statins and mortality", conclusion="statins fail"),
]
DEV = [record("d", "vaccines in children"), record("e", "aspirin caused bleeding", "is bleeding caused?")]


def test_questions_and_conclusions_with_their_abstracts() -> None:
    data = make_data(EmbedderTrainConfig(), TRAIN, DEV)
    assert data.abstracts == (
        "aspirin lowered stroke", "aspirin caused bleeding", "statins and mortality", "vaccines in children",
    )  # fmt: skip
    assert data.train == (
        Example("does aspirin lower stroke?", 0),
        Example("aspirin works", 0),
        Example("question b?", 1),
        Example("question c?", 2),
        Example("statins fail", 2),
    )
    assert data.dev == (Example("question d?", 3), Example("is bleeding caused?", 1))


def test_one_kind_of_pairs_alone() -> None:
    assert {one.text for one in make_data(EmbedderTrainConfig(pairs=("conclusion",)), TRAIN, ()).train} == {
        "aspirin works", "statins fail",
    }  # fmt: skip


def test_negatives_are_bm25s_best_wrong_abstracts_of_the_training_records() -> None:
    data = make_data(EmbedderTrainConfig(pairs=("question",), negatives=1), TRAIN, DEV)
    assert data.train[0].negatives == (1,)  # it shares a word, and the rest is drawn
    for one in data.train:
        assert len(one.negatives) == 1
        assert one.abstract not in one.negatives
        assert max(one.negatives) < 3
    assert make_data(EmbedderTrainConfig(pairs=("question",), negatives=1), TRAIN, DEV) == data


def test_the_same_abstract_under_two_ids_is_one_and_never_its_own_negative() -> None:
    twice = [*TRAIN, record("x", "aspirin lowered stroke", "stroke and aspirin?")]
    data = make_data(EmbedderTrainConfig(pairs=("question",), negatives=1), twice, ())
    assert data.train[-1].abstract == 0
    assert all(one.abstract not in one.negatives for one in data.train)


def test_too_little_data() -> None:
    with pytest.raises(UserError, match="have 1 different abstracts, too few for train"):
        make_data(EmbedderTrainConfig(), TRAIN[:1], DEV)
    with pytest.raises(UserError, match=r"too few for train\.embedder\.negatives 2"):
        make_data(EmbedderTrainConfig(negatives=2), TRAIN, DEV)
    with pytest.raises(UserError, match=r"No training record has any of train\.embedder\.pairs \(conclusion\)"):
        make_data(EmbedderTrainConfig(pairs=("conclusion",)), [TRAIN[1], DEV[0]], ())
