import pytest
from obeying import ObeyingLLM

from chains.agent.answering import answer_from, is_acceptable, withhold
from chains.answer import Answer, Passage
from chains.qa.chain import qa_chain

PASSAGES = (Passage(id="a", text="Aspirin works.", score=0.5), Passage(id="b", text="Zinc fails."))


def test_answer_from_keeps_the_metadata_of_the_evidence() -> None:
    passage = PASSAGES[0].model_copy(update={"metadata": {"source": "a.pdf", "page": 3}})
    answer = answer_from(lambda retriever: qa_chain(ObeyingLLM(), retriever), "Is it so?", (passage,), None)
    assert answer.passages == (passage,)


def test_answer_from_reads_all_evidence_and_verifies_the_answer() -> None:
    answer = answer_from(
        lambda retriever: qa_chain(ObeyingLLM(), retriever, passages=2),
        "Is it so of aspirin?",
        PASSAGES,
        lambda answer: answer.model_copy(update={"verdict": "supported"}),
    )
    assert (answer.label, answer.verdict, answer.passages) == ("yes", "supported", PASSAGES)


@pytest.mark.parametrize(
    ("label", "verdict", "accepted"),
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
def test_acceptance_depends_on_label_and_verdict(label: str | None, verdict: object, accepted: bool) -> None:
    answer = Answer.model_validate({"question": "q", "text": "t", "label": label, "verdict": verdict})
    assert is_acceptable(answer, 0.5, question_settled=False) is accepted


def test_acceptance_compares_the_product_of_both_probabilities_with_confidence() -> None:
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
    # 0.7 for "yes" times 0.8 for "supported" is 0.56.
    assert is_acceptable(answer, 0.55, question_settled=True)
    assert not is_acceptable(answer, 0.57, question_settled=True)
    unverified = answer.model_copy(update={"verdict": None, "verification": None})
    assert is_acceptable(unverified, 0.69, question_settled=True)
    assert not is_acceptable(unverified, 0.71, question_settled=True)
    # 0.9 for "maybe" times 0.1 for "not enough evidence" is 0.09.
    changes = {"label": "maybe", "label_scores": {"maybe": 0.9}, "verdict": "not enough evidence"}
    maybe = answer.model_copy(update=changes)
    assert not is_acceptable(maybe, 0.1, question_settled=False)
    assert is_acceptable(maybe, 0.08, question_settled=False)
    assert not is_acceptable(maybe, 0.08, question_settled=True)


def test_abstention_states_reason_searches_and_passages() -> None:
    abstention = withhold("q", "nothing was found", [], ["q", "other", "q"])
    assert abstention.text == "No answer is given: nothing was found. Searched for: q; other. Found: nothing."
    assert abstention.withheld is None
    answer = Answer(question="q", text="yes", label="yes", label_scores={"yes": 1.0}, verdict="contradicted")
    abstention = withhold("q", "it is not so", PASSAGES, ["q"], answer)
    assert (abstention.label, abstention.label_scores, abstention.verdict) == (None, {}, "contradicted")
    assert abstention.withheld.label == "yes"
    assert abstention.text.endswith("Found: a, b.")
