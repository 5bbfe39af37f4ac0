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


def test_questions_and_conclusions_are_paired_with_their_abstracts() -> None:
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


def test_questions_are_left_out_if_the_setting_pairs_is_conclusion() -> None:
    data = make_data(EmbedderTrainConfig(pairs=("conclusion",)), TRAIN, ())
    assert [example.text for example in data.train] == ["aspirin works", "statins fail"]


def test_hard_negatives_are_the_best_other_training_abstracts_by_bm25() -> None:
    data = make_data(EmbedderTrainConfig(pairs=("question",), negatives=1), TRAIN, DEV)
    assert data.train[0].negatives == (1,)  # shares "aspirin" with the question; the other negatives are random
    for example in data.train:
        assert len(example.negatives) == 1
        assert example.abstract not in example.negatives
        assert max(example.negatives) < 3  # only training abstracts
    assert make_data(EmbedderTrainConfig(pairs=("question",), negatives=1), TRAIN, DEV) == data


def test_random_negatives_are_drawn_only_where_bm25_finds_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.embedder.data.random.Random", lambda _: pytest.fail("drew random abstracts"))
    records = [record(name, f"aspirin and {name}", f"aspirin and {name}?") for name in ("stroke", "pain", "mortality")]
    data = make_data(EmbedderTrainConfig(pairs=("question",), negatives=1), records, ())
    assert [len(example.negatives) for example in data.train] == [1, 1, 1]


def test_records_with_equal_abstracts_share_an_index_and_are_not_negatives_of_each_other() -> None:
    records = [*TRAIN, record("x", "aspirin lowered stroke", "stroke and aspirin?")]
    data = make_data(EmbedderTrainConfig(pairs=("question",), negatives=1), records, ())
    assert data.train[-1].abstract == 0
    assert all(example.abstract not in example.negatives for example in data.train)


def test_too_few_abstracts_or_texts_are_refused() -> None:
    with pytest.raises(UserError, match=r"have 1 different abstracts, too few for train.* Use more records\.$"):
        make_data(EmbedderTrainConfig(), TRAIN[:1], DEV)
    with pytest.raises(UserError, match=r"too few for train\.embedder\.negatives 2\. Use more .*, or set .* lower"):
        make_data(EmbedderTrainConfig(negatives=2), TRAIN, DEV)
    with pytest.raises(UserError, match=r"No training record has any of train\.embedder\.pairs \(conclusion\)"):
        make_data(EmbedderTrainConfig(pairs=("conclusion",)), [TRAIN[1], DEV[0]], ())


def claim_data(**documents: list[str]) -> ClaimData:
    """A claim about each document, which the document's first sentence contradicts."""
    spans, contents = {}, []
    for id, sentences in documents.items():
        text, spans[id] = " ".join(sentences), []
        for sentence in sentences:
            start = text.index(sentence)
            spans[id].append((start, start + len(sentence)))
        contents.append(Document(id=id, page_content=text))
    claims = tuple(
        ClaimRecord(id, f"claim {id}", (Evidence(id, id, "contradicted", (frozenset({0}),)),)) for id in documents
    )
    return ClaimData(claims, tuple(contents), {id: tuple(offsets) for id, offsets in spans.items()})


# Ten documents of three sentences. In each document, sentence A is labelled. One of the ten documents is for dev.
PAPERS = {f"p{number}": [f"A{number}.", f"B{number}.", f"C{number}."] for number in range(10)}


def test_claims_are_paired_with_labelled_sentences_and_unlabelled_ones_are_negatives() -> None:
    data = make_evidence_data(EmbedderTrainConfig(task="evidence", negatives=2), claim_data(**PAPERS))
    (dev,) = data.dev
    assert len(data.train) == 9
    for example in (*data.train, dev):
        number = example.text.removeprefix("claim p")
        assert data.abstracts[example.abstract] == f"A{number}."
        assert {data.abstracts[index] for index in example.negatives} == {f"B{number}.", f"C{number}."}
    dev_sentences = {dev.abstract, *dev.negatives}
    assert not any(dev_sentences & {example.abstract, *example.negatives} for example in data.train)
    assert min(dev_sentences) == 27  # the 9 * 3 training sentences come first


def test_sentences_of_other_documents_fill_up_the_negatives_and_unlabelled_claims_are_left_out() -> None:
    claims = claim_data(**PAPERS, long=["A.", "B.", "C.", "D.", "E."])
    unlabelled = ClaimRecord("x", "claim x", (Evidence("x", "p1", "not enough evidence"),))
    claims = replace(claims, claims=(*claims.claims, unlabelled))
    data = make_evidence_data(EmbedderTrainConfig(task="evidence", negatives=3, teach_dev=True), claims)
    assert not data.dev
    assert [example.text for example in data.train] == [f"claim {id}" for id in (*PAPERS, "long")]
    for example in data.train:
        assert len({*example.negatives, example.abstract}) == 4
    assert {data.abstracts[index] for index in data.train[-1].negatives} <= {"B.", "C.", "D.", "E."}


def test_too_few_sentences_are_refused() -> None:
    with pytest.raises(UserError, match="have 3 different sentences, too few for train"):
        make_evidence_data(EmbedderTrainConfig(task="evidence", negatives=4), claim_data(p=["A.", "B.", "C."]))
    with pytest.raises(UserError, match="No claim has a labelled evidence sentence"):
        make_evidence_data(EmbedderTrainConfig(task="evidence"), replace(claim_data(p=["A."]), claims=()))
    all_labelled = claim_data(p=["A.", "B.", "C.", "D."])
    evidence = (Evidence("p", "p", "supported", (frozenset({0, 1, 2}),)),)
    all_labelled = replace(all_labelled, claims=(replace(all_labelled.claims[0], evidence=evidence),))
    with pytest.raises(UserError, match=r"'claim p' has 1 sentences that can be negatives, fewer than .*negatives 2"):
        make_evidence_data(EmbedderTrainConfig(task="evidence", negatives=2), all_labelled)
