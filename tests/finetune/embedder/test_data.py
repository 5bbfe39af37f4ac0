from dataclasses import replace

import pytest
from langchain_core.documents import Document

from common.errors import UserError
from corpus.inference.claims import ClaimData, ClaimRecord, Evidence
from corpus.records import QARecord
from finetune.config import EmbedderTrainConfig
from finetune.embedder.data import Example, make_data, make_evidence_data


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


def claim_data(**documents: list[str]) -> ClaimData:
    """Each document's first sentence decides a claim on it."""
    spans, made = {}, []
    for id, sentences in documents.items():
        text, spans[id] = " ".join(sentences), []
        for sentence in sentences:
            start = text.index(sentence)
            spans[id].append((start, start + len(sentence)))
        made.append(Document(id=id, page_content=text))
    claims = tuple(
        ClaimRecord(id, f"claim {id}", (Evidence(id, id, "contradicted", (frozenset({0}),)),)) for id in documents
    )
    return ClaimData(claims, tuple(made), {id: tuple(one) for id, one in spans.items()})


PAPERS = {f"p{number}": [f"A{number}.", f"B{number}.", f"C{number}."] for number in range(10)}


def test_claims_with_their_labelled_sentences_and_others_of_the_document() -> None:
    data = make_evidence_data(EmbedderTrainConfig(task="evidence", negatives=2), claim_data(**PAPERS))
    (dev,) = data.dev
    assert len(data.train) == 9
    for one in (*data.train, dev):
        number = one.text.removeprefix("claim p")
        assert data.abstracts[one.abstract] == f"A{number}."
        assert {data.abstracts[index] for index in one.negatives} == {f"B{number}.", f"C{number}."}
    of_dev = {dev.abstract, *dev.negatives}
    assert not any(of_dev & {one.abstract, *one.negatives} for one in data.train)
    assert min(of_dev) == 27  # training sentences come first


def test_other_documents_fill_up_the_negatives_and_claims_without_evidence_are_left_out() -> None:
    claims = claim_data(**PAPERS, long=["A.", "B.", "C.", "D.", "E."])
    unlabelled = ClaimRecord("x", "claim x", (Evidence("x", "p1", "not enough evidence"),))
    claims = replace(claims, claims=(*claims.claims, unlabelled))
    data = make_evidence_data(EmbedderTrainConfig(task="evidence", negatives=3, teach_dev=True), claims)
    assert not data.dev
    assert [one.text for one in data.train] == [f"claim {id}" for id in (*PAPERS, "long")]
    for one in data.train:
        assert len({*one.negatives, one.abstract}) == 4
    assert {data.abstracts[index] for index in data.train[-1].negatives} <= {"B.", "C.", "D.", "E."}


def test_claims_with_too_few_sentences() -> None:
    with pytest.raises(UserError, match="have 3 different sentences, too few for train"):
        make_evidence_data(EmbedderTrainConfig(task="evidence", negatives=4), claim_data(p=["A.", "B.", "C."]))
    with pytest.raises(UserError, match="have 0 different sentences"):
        make_evidence_data(EmbedderTrainConfig(task="evidence"), replace(claim_data(p=["A."]), claims=()))
