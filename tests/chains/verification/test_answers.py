from collections.abc import Sequence

import pytest
from word_nli import WordNLI
from word_retriever import WordRetriever

from chains.answer import Answer, Passage
from chains.nli import Judgement, nli_chain
from chains.qa.base import AnswerChain, Question
from chains.qa.chain import qa_chain
from chains.qa.extractive import extractive_chain
from chains.verification.answers import Verifier, more_passages, verified_chain
from common.errors import UserError

# WordNLI judges a passage with "zinc works" as entailment and with "zinc fails" as contradiction;
# "FAINTLY" lowers the score to 0.6, and "TOO LONG" gives an error.
SUPPORTING = "Adults were seen. Zinc works here. All went home."
CONTRADICTING = "Children were seen. Zinc fails there. Some stayed."
UNRELATED = "Nothing is said of it. Iron works."


def make_answer(label: str | None, *texts: str, output: str | None = None) -> Answer:
    passages = tuple(Passage(id=f"p{number}", text=text) for number, text in enumerate(texts))
    text = label or output or SUPPORTING
    return Answer(question="Is there use in zinc?", text=text, label=label, passages=passages, output=output)


def verify(original: Answer, model: WordNLI | None = None) -> Answer:
    return Verifier(model or WordNLI()).verify([original])[0]


@pytest.mark.parametrize(
    ("label", "text", "verdict"),
    [
        ("yes", SUPPORTING, "supported"),
        ("no", CONTRADICTING, "supported"),
        ("yes", CONTRADICTING, "contradicted"),
        ("no", SUPPORTING, "contradicted"),
        ("yes", UNRELATED, "not enough evidence"),
        ("no", UNRELATED, "not enough evidence"),
        ("maybe", SUPPORTING, "contradicted"),
        ("maybe", CONTRADICTING, "contradicted"),
        ("maybe", UNRELATED, "not enough evidence"),
    ],
)
@pytest.mark.parametrize("scored", [True, False])
def test_verdict_depends_on_label_and_passage(label: str, text: str, verdict: str, scored: bool) -> None:
    verified = verify(make_answer(label, text), WordNLI(scored=scored))
    assert verified.verdict == verdict
    assert verified.verification.passage_id == "p0"
    assert verified.notes == ()
    scores = verified.verification.scores
    if not scored:
        assert scores == {}
        return
    assert set(scores) == {"supported", "contradicted", "not enough evidence"}
    assert sum(scores.values()) == pytest.approx(1)
    assert max(scores, key=scores.__getitem__) == verdict
    assert (scores["supported"] == 0) == (label == "maybe")


@pytest.mark.parametrize(  # scores of entailment, neutral and contradiction
    ("scores", "verdict"),
    [((0.4, 0.4, 0.2), "not enough evidence"), ((0.4, 0.2, 0.4), "contradicted"), ((0.3, 0.3, 0.4), "contradicted")],
)
def test_tie_gives_the_more_cautious_verdict(scores: tuple[float, ...], verdict: str) -> None:
    class FixedScores(WordNLI):
        def _judge(self, premise: str, hypothesis: str):
            return Judgement(label="entailment", label_scores=dict(zip(self.labels, scores, strict=True)))

    assert verify(make_answer("yes", SUPPORTING), FixedScores()).verdict == verdict


def test_verification_changes_only_verdict_and_verification() -> None:
    original = make_answer("yes", SUPPORTING, output="Yes, it is.").model_copy(update={"notes": ("context shortened",)})
    verified = verify(original)
    assert verified.model_copy(update={"verdict": None, "verification": None}) == original


@pytest.mark.parametrize("label", ["yes", "no", "maybe"])
def test_statement_says_yes_whatever_the_label(label: str) -> None:
    model = WordNLI()
    verified = verify(make_answer(label, SUPPORTING), model)
    assert verified.verification.statement == "Is there use in zinc? The answer is yes."
    assert {hypothesis for _, hypothesis in model.calls[0]} == {verified.verification.statement}


def test_clearest_passage_decides() -> None:
    verified = verify(make_answer("yes", UNRELATED, CONTRADICTING + " FAINTLY so.", SUPPORTING))
    assert verified.verdict == "supported"
    assert verified.verification.passage_id == "p2"
    contradicted = verify(make_answer("yes", SUPPORTING + " FAINTLY so.", CONTRADICTING))
    assert contradicted.verdict == "contradicted"
    assert contradicted.verification.passage_id == "p1"


@pytest.mark.parametrize(
    ("label", "text", "sentence"),
    [
        ("yes", SUPPORTING, "Zinc works here."),
        ("yes", CONTRADICTING, "Zinc fails there."),
        ("yes", f"# Zinc works\n\n{SUPPORTING}", "Zinc works here."),  # a heading is no evidence
    ],
)
def test_deciding_sentence_is_a_verbatim_quote(label: str, text: str, sentence: str) -> None:
    verified = verify(make_answer(label, UNRELATED, text))
    quote = verified.verification.sentence
    assert (quote.quote, quote.passage_id) == (sentence, "p1")
    assert text[quote.start : quote.end] == sentence
    assert quote.score == pytest.approx(0.9)


def test_not_enough_evidence_has_no_deciding_sentence() -> None:
    model = WordNLI()
    verified = verify(make_answer("yes", UNRELATED), model)
    assert verified.verification.sentence is None
    assert model.calls[1] == []


def test_answer_without_passages_has_not_enough_evidence() -> None:
    verified = verify(make_answer("yes"))
    assert verified.verdict == "not enough evidence"
    assert (verified.verification.passage_id, verified.verification.scores) == (None, {})
    assert verified.notes == ("there was no passage to verify the answer against",)


@pytest.mark.parametrize("output", [None, "It depends."])
def test_answer_without_label_has_no_verdict(output: str | None) -> None:
    verified = verify(make_answer(None, SUPPORTING, output=output))
    assert (verified.verdict, verified.verification) == (None, None)
    assert verified.notes == ("not verified: the answer does not say yes, no or maybe",)


def test_answer_without_text_is_unchanged() -> None:
    unwritten = make_answer(None, SUPPORTING).model_copy(update={"text": ""})
    assert verify(unwritten) == unwritten


def test_passage_that_cannot_be_judged_is_noted() -> None:
    verified = verify(make_answer("yes", "TOO LONG", SUPPORTING))
    assert verified.verdict == "supported"
    assert verified.notes == ("not verified against passage p0: The pair is too long.",)
    unjudged = verify(make_answer("yes", "TOO LONG"))
    assert (unjudged.verdict, unjudged.verification) == (None, None)
    assert unjudged.notes == ("not verified against passage p0: The pair is too long.",)


def test_sentences_that_cannot_be_judged_are_not_quoted() -> None:
    class WholePassageOnly(WordNLI):
        def _judge(self, premise: str, hypothesis: str):
            return super()._judge(premise if premise == SUPPORTING else "TOO LONG", hypothesis)

    verified = verify(make_answer("yes", SUPPORTING), WholePassageOnly())
    assert verified.verdict == "supported"
    assert verified.verification.sentence is None


def test_several_answers_are_judged_in_two_passes_and_stay_in_order() -> None:
    model = WordNLI()
    original = [
        make_answer("yes", SUPPORTING),
        make_answer(None, SUPPORTING),
        make_answer("no", SUPPORTING, UNRELATED),
        make_answer("yes"),
        make_answer("maybe", UNRELATED),
    ]
    verified = Verifier(model).verify(original)
    unknown = "not enough evidence"
    assert [answer.verdict for answer in verified] == ["supported", None, "contradicted", unknown, unknown]
    # The first pass has the four passages of answers with a label, the second the six sentences of two of them.
    assert [len(pairs) for pairs in model.calls] == [4, 6]
    assert verified == [verify(one) for one in original]
    assert Verifier(model).verify([]) == []


def test_notes_of_the_judgement_are_added_to_the_answer() -> None:
    class InParts(WordNLI):
        def _judge(self, premise: str, hypothesis: str):
            judgement = super()._judge(premise, hypothesis)
            return judgement.model_copy(update={"notes": ("premise judged in 2 parts",)})

    assert verify(make_answer("yes", SUPPORTING), InParts()).notes == ("verification: premise judged in 2 parts",)


@pytest.mark.parametrize("labels", [("yes", "no", "maybe"), ("entailment", "contradiction")])
def test_verifier_refuses_a_model_with_other_labels(labels: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=rf"this one has {', '.join(labels)}\. .*pairs\.labels"):
        Verifier(WordNLI(labels))


TEXTS = {
    "a1": "Adults were seen. Zinc works here.",
    "b2": "Children were seen. Iron fails there.",
    "c3": "Nothing is said of copper. It is dear.",
    "d4": "Copper works after all.",
}


class ScriptedChain(AnswerChain):
    """Answers with the label of a question's last word, from fixed passages; records the questions of each call."""

    def __init__(self, labels: dict[str, str | None], *ids: str) -> None:
        self.questions: list[list[str]] = []
        self._labels = labels
        self._passages = tuple(Passage(id=name, text=TEXTS[name]) for name in ids)

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        self.questions.append([question.text for question in questions])
        return [self._one(question.text) for question in questions]

    def _one(self, question: str) -> Answer | UserError:
        word = question.rstrip("?").split()[-1]
        if word not in self._labels:
            return UserError(f"{word} is unknown.")
        label = self._labels[word]
        return Answer(
            question=question,
            text=label or "It depends.",
            label=label,
            label_scores={label: 1.0} if label else {},
            output=None if label else "It depends.",
            prompt="the prompt",
            passages=self._passages,
        )


ASK_ZINC, ASK_IRON, ASK_COPPER, ASK_TIN = (f"Is there use in {word}?" for word in ("zinc", "iron", "copper", "tin"))


def test_policy_report_returns_every_answer_with_its_verdict() -> None:
    base_chain = ScriptedChain({"zinc": "yes", "iron": "yes", "copper": "yes"}, "a1", "b2")
    chain = verified_chain(base_chain, WordNLI(), verify="report")
    answers = chain.batch([ASK_ZINC, ASK_IRON, ASK_COPPER])
    assert [answer.verdict for answer in answers] == ["supported", "contradicted", "not enough evidence"]
    assert [answer.label for answer in answers] == ["yes", "yes", "yes"]
    assert all(answer.withheld is None for answer in answers)
    assert base_chain.questions == [[ASK_ZINC, ASK_IRON, ASK_COPPER]]
    assert chain.invoke({"question": ASK_ZINC}) == answers[0]


def test_policy_off_returns_the_chain_itself() -> None:
    base_chain = ScriptedChain({})
    assert verified_chain(base_chain, WordNLI(), verify="off") is base_chain


@pytest.mark.parametrize("policy", ["report", "abstain", "retry"])
def test_error_of_the_chain_is_returned_for_its_question(policy) -> None:
    base_chain = ScriptedChain({"zinc": "yes"}, "a1")
    chain = verified_chain(base_chain, WordNLI(), verify=policy, wider=[base_chain])
    first, error, last = chain.batch([ASK_ZINC, ASK_TIN, ASK_ZINC], return_exceptions=True)
    assert first.verdict == last.verdict == "supported"
    assert str(error) == "tin is unknown."
    with pytest.raises(UserError, match="tin is unknown"):
        chain.invoke(ASK_TIN)


def test_policy_abstain_withholds_unsupported_answers() -> None:
    base_chain = ScriptedChain({"zinc": "yes", "iron": "yes", "copper": "no"}, "a1", "b2")
    zinc, iron, copper = verified_chain(base_chain, WordNLI(), verify="abstain").batch([ASK_ZINC, ASK_IRON, ASK_COPPER])
    assert (zinc.label, zinc.text, zinc.withheld) == ("yes", "yes", None)
    for answer, label, verdict in ((iron, "yes", "contradicted"), (copper, "no", "not enough evidence")):
        assert (answer.label, answer.label_scores, answer.output, answer.verdict) == (None, {}, None, verdict)
        assert (answer.withheld.label, answer.withheld.text) == (label, label)
        assert answer.withheld.label_scores == {label: 1.0}
        assert [passage.id for passage in answer.passages] == ["a1", "b2"]
        assert answer.verification is not None
    assert iron.text == (
        "No answer is given: what the model answered is contradicted by the text that it read. Searched: a1, b2."
    )
    assert "not supported" in copper.text


def test_policy_abstain_withholds_answers_without_passages_or_without_label() -> None:
    chain = verified_chain(ScriptedChain({"zinc": None, "iron": "yes"}), WordNLI(), verify="abstain")
    without_passages, without_label = chain.batch([ASK_IRON, ASK_ZINC])
    assert without_passages.text.endswith("Searched: nothing.")
    assert "could not be verified" in without_label.text
    assert without_label.output is None
    assert (without_label.withheld.text, without_label.withheld.output) == ("It depends.", "It depends.")


def test_policy_retry_returns_the_first_supported_answer() -> None:
    first = ScriptedChain({"zinc": "yes", "iron": "yes", "copper": "no"}, "a1")
    second = ScriptedChain({"iron": "no", "copper": "no"}, "a1", "b2")
    third = ScriptedChain({"copper": "yes"}, "a1", "b2", "c3", "d4")
    chain = verified_chain(first, WordNLI(), verify="retry", wider=[second, third])
    zinc, iron, copper = chain.batch([ASK_ZINC, ASK_IRON, ASK_COPPER])
    assert [len(zinc.passages), len(iron.passages), len(copper.passages)] == [1, 2, 4]
    assert [zinc.label, iron.label, copper.label] == ["yes", "no", "yes"]
    assert {zinc.verdict, iron.verdict, copper.verdict} == {"supported"}
    assert zinc.notes == ()
    [iron_note], [copper_note] = iron.notes, copper.notes
    assert iron_note == 'asked again with 2 passages: the first answer, "yes" from 1 passage, had not enough evidence'
    assert copper_note == 'asked again with 4 passages: the first answer, "no" from 1 passage, had not enough evidence'
    assert (second.questions, third.questions) == ([[ASK_IRON, ASK_COPPER]], [[ASK_COPPER]])


def test_policy_retry_returns_the_first_answer_if_none_is_supported() -> None:
    first = ScriptedChain({"copper": "no", "iron": None, "zinc": "no"}, "a1")
    # For zinc, the wider chain returns an error, so that only the passages of the first try were read.
    wider = ScriptedChain({"copper": "maybe", "iron": None}, "a1", "b2")
    chain = verified_chain(first, WordNLI(), verify="retry", wider=[wider])
    copper, iron, zinc = chain.batch([ASK_COPPER, ASK_IRON, ASK_ZINC])
    assert (copper.label, copper.verdict, len(copper.passages)) == ("no", "not enough evidence", 1)
    assert copper.notes == ("asked again with up to 2 passages: no answer was supported",)
    assert iron.notes[-1] == copper.notes[0]
    assert (zinc.label, zinc.verdict) == ("no", "contradicted")
    assert zinc.notes == ("no more passages were found: no answer was supported",)


def test_policy_retry_notes_that_no_more_passages_were_found() -> None:
    base_chain = ScriptedChain({"copper": "no"}, "a1")
    chain = verified_chain(base_chain, WordNLI(), verify="retry", wider=[base_chain])
    assert chain.invoke(ASK_COPPER).notes == ("no more passages were found: no answer was supported",)


@pytest.mark.parametrize("policy", ["report", "abstain", "retry"])
def test_extractive_answers_are_unchanged_by_every_policy(policy) -> None:
    base_chain = extractive_chain(WordRetriever(texts=TEXTS), passages=2)
    chain = verified_chain(base_chain, WordNLI(), verify=policy, wider=[ScriptedChain({"zinc": "yes"}, "a1")])
    unverified, verified = base_chain.invoke(ASK_ZINC), chain.invoke(ASK_ZINC)
    assert verified.text == unverified.text == "Zinc works here."
    assert verified.verdict is None
    assert verified.notes == ("not verified: the answer does not say yes, no or maybe",)


def test_verified_chain_refuses_wrong_arguments() -> None:
    with pytest.raises(UserError, match=r"pairs\.labels"):
        verified_chain(ScriptedChain({}), WordNLI(("yes", "no")), verify="report")
    with pytest.raises(UserError, match=r"chain\.verify is retry"):
        verified_chain(ScriptedChain({}), WordNLI(), verify="retry")


# Passages of the first try, the limit, and the passages of each further try.
@pytest.mark.parametrize(
    ("passages", "limit", "counts"), [(1, 10, [2, 4, 8, 10]), (3, 6, [6]), (5, 5, []), (5, 3, []), (2, 3, [3])]
)
def test_more_passages_doubles_up_to_the_limit(passages: int, limit: int, counts: list[int]) -> None:
    assert more_passages(passages, limit) == counts


@pytest.mark.parametrize("decide", ["score", "generate"])
@pytest.mark.parametrize("policy", ["report", "abstain", "retry"])
def test_policies_over_one_language_model_as_answerer_and_judge(llm, policy, decide) -> None:
    retriever = WordRetriever(texts=TEXTS)
    chain = verified_chain(
        qa_chain(llm, retriever),
        nli_chain(llm, decide=decide),
        verify=policy,
        wider=[qa_chain(llm, retriever, passages=count) for count in more_passages(1, 3)],
    )
    answers = chain.batch([ASK_ZINC, ASK_IRON, "Is there use in copper, if it is dear?"])
    for answer in answers:
        assert answer.verdict is not None
        assert bool(answer.verification.scores) == (decide == "score")
        assert (answer.withheld is not None) == (policy == "abstain" and answer.verdict != "supported")
        quote = answer.verification.sentence
        assert (quote is None) == (answer.verdict == "not enough evidence")
        if quote:
            assert TEXTS[quote.passage_id][quote.start : quote.end] == quote.quote


def test_passage_longer_than_the_window_is_verified_in_parts(llm) -> None:
    text = " ".join(f"Adult number {n} was seen and went home again." for n in range(200))
    chain = verified_chain(qa_chain(llm, context="gold"), nli_chain(llm), verify="report")
    answer = chain.invoke({"question": ASK_ZINC, "context": text})
    assert answer.verdict is not None
    assert any("verification: premise judged in" in note for note in answer.notes)
