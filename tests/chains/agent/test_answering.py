import pytest
from obeying import ObeyingLLM

from chains.agent.answering import answer_from, holds, withhold
from chains.answer import Answer, Passage
from chains.qa.chain import qa_chain

PASSAGES = (Passage(id="a", text="Aspirin works.", score=0.5), Passage(id="b", text="Zinc fails."))


def test_where_the_evidence_stands_is_told_with_the_answer() -> None:
    page = {"source": "a.pdf", "page": 3}
    passage = PASSAGES[0].model_copy(update={"metadata": page})
    answer = answer_from(lambda retriever: qa_chain(ObeyingLLM(), retriever), "Is it so?", (passage,), None)
    assert answer.passages == (passage,)
    assert "a.pdf" in (answer.passages[0].origin or "")


def test_the_answer_reads_the_evidence_and_is_judged() -> None:
    answer = answer_from(
        lambda retriever: qa_chain(ObeyingLLM(), retriever, passages=2),
        "Is it so of aspirin?",
        PASSAGES,
        lambda answer: answer.model_copy(update={"verdict": "supported"}),
    )
    assert (answer.label, answer.verdict, answer.passages) == ("yes", "supported", PASSAGES)


@pytest.mark.parametrize(
    ("label", "verdict", "may_be_given"),
    [
        ("yes", None, True),
        ("yes", "supported", True),
        ("yes", "not enough evidence", False),
        ("no", "contradicted", False),
        ("maybe", "not enough evidence", True),
        ("maybe", "contradicted", False),
        (None, None, False),
    ],
)
def test_which_answers_hold(label: str | None, verdict: object, may_be_given: bool) -> None:
    answer = Answer.model_validate({"question": "q", "text": "t", "label": label, "verdict": verdict})
    assert holds(answer, 0.5, settled=False) is may_be_given


def test_the_answer_and_its_verdict_must_be_sure_enough_together() -> None:
    scores = {"supported": 0.8, "contradicted": 0.1, "not enough evidence": 0.1}
    answer = Answer.model_validate(
        {
            "question": "q",
            "text": "t",
            "label": "yes",
            "label_scores": {"yes": 0.7, "no": 0.2, "maybe": 0.1},
            "verdict": "supported",
            "verification": {"statement": "s", "scores": scores},
        }
    )
    assert holds(answer, 0.55, settled=True)
    assert not holds(answer, 0.57, settled=True)
    assert holds(answer.model_copy(update={"verdict": None, "verification": None}), 0.69, settled=True)
    assert not holds(answer.model_copy(update={"verdict": None, "verification": None}), 0.71, settled=True)
    maybe = {"label": "maybe", "label_scores": {"maybe": 0.9}, "verdict": "not enough evidence"}
    assert not holds(answer.model_copy(update=maybe), 0.5, settled=False)  # 0.9 times 0.1
    assert holds(answer.model_copy(update=maybe), 0.08, settled=False)
    assert not holds(answer.model_copy(update=maybe), 0.08, settled=True)


def test_what_is_withheld_says_what_was_searched_and_found() -> None:
    empty = withhold("q", "nothing was found", [], ["q", "other", "q"])
    assert empty.text == "No answer is given: nothing was found. Searched for: q; other. Found: nothing."
    assert empty.withheld is None
    answer = Answer(question="q", text="yes", label="yes", label_scores={"yes": 1.0}, verdict="contradicted")
    kept = withhold("q", "it is not so", PASSAGES, ["q"], answer)
    assert (kept.label, kept.label_scores, kept.verdict) == (None, {}, "contradicted")
    assert kept.withheld is not None
    assert kept.withheld.label == "yes"
    assert kept.text.endswith("Found: a, b.")
