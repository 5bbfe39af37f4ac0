import asyncio
from collections.abc import Sequence

import checkpoints
import pytest
from word_nli import WordNLI
from word_retriever import WordRetriever

from chains.answer import Answer, Passage
from chains.config import LLMConfig
from chains.models.local import load_llm
from chains.nli import Judgement, nli_chain
from chains.qa.base import AnswerChain, Question
from chains.qa.chain import qa_chain
from chains.qa.extractive import extractive_chain
from chains.verification.answers import VerifiedChain, Verifier, more_passages, verified_chain
from common.errors import UserError

WORKS = "Adults were seen. Zinc works here. All went home."
FAILS = "Children were seen. Zinc fails there. Some stayed."
OTHER = "Nothing is said of it. Iron works."


def answer(label: str | None, *texts: str, output: str | None = None) -> Answer:
    passages = tuple(Passage(id=f"p{number}", text=text) for number, text in enumerate(texts))
    return Answer(
        question="Is there use in zinc?", text=label or output or WORKS, label=label, passages=passages, output=output
    )


def verify(given: Answer, model: WordNLI | None = None) -> Answer:
    return Verifier(model or WordNLI()).verify([given])[0]


@pytest.mark.parametrize(
    ("label", "text", "verdict"),
    [
        ("yes", WORKS, "supported"),
        ("no", FAILS, "supported"),
        ("yes", FAILS, "contradicted"),
        ("no", WORKS, "contradicted"),
        ("yes", OTHER, "not enough evidence"),
        ("no", OTHER, "not enough evidence"),
        ("maybe", WORKS, "contradicted"),
        ("maybe", FAILS, "contradicted"),
        ("maybe", OTHER, "not enough evidence"),
    ],
)
@pytest.mark.parametrize("scored", [True, False])
def test_verdicts(label: str, text: str, verdict: str, scored: bool) -> None:
    checked = verify(answer(label, text), WordNLI(scored=scored))
    assert checked.verdict == verdict
    assert checked.verification is not None
    assert checked.verification.passage_id == "p0"
    assert checked.notes == ()
    scores = checked.verification.scores
    if not scored:
        assert scores == {}
        return
    assert set(scores) == {"supported", "contradicted", "not enough evidence"}
    assert sum(scores.values()) == pytest.approx(1)
    assert max(scores, key=scores.__getitem__) == verdict
    assert (scores["supported"] == 0) == (label == "maybe")


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [((0.4, 0.4, 0.2), "not enough evidence"), ((0.4, 0.2, 0.4), "contradicted"), ((0.3, 0.3, 0.4), "contradicted")],
)
def test_of_equally_probable_verdicts_the_one_that_says_less(scores: tuple[float, ...], verdict: str) -> None:
    class Torn(WordNLI):
        def _one(self, premise: str, hypothesis: str):
            return Judgement(label="entailment", label_scores=dict(zip(self.labels, scores, strict=True)))

    assert verify(answer("yes", WORKS), Torn()).verdict == verdict


def test_the_rest_of_the_answer_stays() -> None:
    given = answer("yes", WORKS, output="Yes, it is.").model_copy(update={"notes": ("context shortened",)})
    checked = verify(given)
    assert checked.model_copy(update={"verdict": None, "verification": None}) == given


@pytest.mark.parametrize("label", ["yes", "no", "maybe"])
def test_the_statement_affirms_the_question_whatever_the_answer(label: str) -> None:
    model = WordNLI()
    checked = verify(answer(label, WORKS), model)
    assert checked.verification is not None
    assert checked.verification.statement == "Is there use in zinc? The answer is yes."
    assert {hypothesis for _, hypothesis in model.passes[0]} == {checked.verification.statement}


def test_the_clearest_passage_decides() -> None:
    checked = verify(answer("yes", OTHER, FAILS + " FAINTLY so.", WORKS))
    assert checked.verdict == "supported"
    assert checked.verification is not None
    assert checked.verification.passage_id == "p2"
    against = verify(answer("yes", WORKS + " FAINTLY so.", FAILS))
    assert (against.verdict, against.verification and against.verification.passage_id) == ("contradicted", "p1")


@pytest.mark.parametrize(
    ("label", "text", "sentence"),
    [
        ("yes", WORKS, "Zinc works here."),
        ("yes", FAILS, "Zinc fails there."),
        ("yes", f"# Zinc works\n\n{WORKS}", "Zinc works here."),  # a heading is no evidence
    ],
)
def test_the_deciding_sentence_is_a_verbatim_quote(label: str, text: str, sentence: str) -> None:
    checked = verify(answer(label, OTHER, text))
    assert checked.verification is not None
    quote = checked.verification.sentence
    assert quote is not None
    assert (quote.quote, quote.passage_id) == (sentence, "p1")
    assert text[quote.start : quote.end] == sentence
    assert quote.score == pytest.approx(0.9)


def test_no_sentence_decides_that_evidence_is_wanting() -> None:
    model = WordNLI()
    checked = verify(answer("yes", OTHER), model)
    assert checked.verification is not None
    assert checked.verification.sentence is None
    assert model.passes[1] == []


def test_without_a_passage_there_is_no_evidence() -> None:
    checked = verify(answer("yes"))
    assert checked.verdict == "not enough evidence"
    assert checked.verification is not None
    assert (checked.verification.passage_id, checked.verification.scores) == (None, {})
    assert checked.notes == ("there was no passage to verify the answer against",)


@pytest.mark.parametrize("output", [None, "It depends."])
def test_an_answer_without_a_label_gets_no_verdict(output: str | None) -> None:
    checked = verify(answer(None, WORKS, output=output))
    assert (checked.verdict, checked.verification) == (None, None)
    assert checked.notes == ("not verified: the answer does not say yes, no or maybe",)


def test_an_answer_that_is_yet_to_be_written_is_left_as_it_is() -> None:
    unwritten = answer(None, WORKS).model_copy(update={"text": ""})
    assert verify(unwritten) == unwritten


def test_a_passage_that_cannot_be_judged_is_left_out_and_said() -> None:
    checked = verify(answer("yes", "TOO LONG", WORKS))
    assert checked.verdict == "supported"
    assert checked.notes == ("not verified against passage p0: The pair is too long.",)
    unread = verify(answer("yes", "TOO LONG"))
    assert (unread.verdict, unread.verification) == (None, None)
    assert unread.notes == ("not verified against passage p0: The pair is too long.",)


def test_a_sentence_that_cannot_be_judged_is_no_quote() -> None:
    class Whole(WordNLI):
        def _one(self, premise: str, hypothesis: str):
            return super()._one(premise if premise == WORKS else "TOO LONG", hypothesis)

    checked = verify(answer("yes", WORKS), Whole())
    assert checked.verdict == "supported"
    assert checked.verification is not None
    assert checked.verification.sentence is None


def test_many_answers_are_judged_in_two_passes_and_keep_their_order() -> None:
    model = WordNLI()
    given = [
        answer("yes", WORKS),
        answer(None, WORKS),
        answer("no", WORKS, OTHER),
        answer("yes"),
        answer("maybe", OTHER),
    ]
    checked = Verifier(model).verify(given)
    assert [found.verdict for found in checked] == [
        "supported",
        None,
        "contradicted",
        "not enough evidence",
        "not enough evidence",
    ]
    assert [len(pairs) for pairs in model.passes] == [4, 6]
    assert checked == [verify(one) for one in given]
    assert Verifier(model).verify([]) == []


def test_notes_of_the_judgement_are_the_answers() -> None:
    class InParts(WordNLI):
        def _one(self, premise: str, hypothesis: str):
            judgement = super()._one(premise, hypothesis)
            return judgement.model_copy(update={"notes": ("premise judged in 2 parts",)})

    assert verify(answer("yes", WORKS), InParts()).notes == ("verification: premise judged in 2 parts",)


@pytest.mark.parametrize("labels", [("yes", "no", "maybe"), ("entailment", "contradiction")])
def test_a_model_with_other_labels_is_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=rf"this one has {', '.join(labels)}\. .*pairs\.labels"):
        Verifier(WordNLI(labels))


TEXTS = {
    "a1": "Adults were seen. Zinc works here.",
    "b2": "Children were seen. Iron fails there.",
    "c3": "Nothing is said of copper. It is dear.",
    "d4": "Copper works after all.",
}


class Fixed(AnswerChain):
    """Answers with the label that stands for a question's last word, from the passages named."""

    def __init__(self, labels: dict[str, str | None], *ids: str) -> None:
        self.asked: list[list[str]] = []
        self._labels = labels
        self._passages = tuple(Passage(id=name, text=TEXTS[name]) for name in ids)

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        self.asked.append([question.text for question in questions])
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


ZINC, IRON, COPPER, TIN = (f"Is there use in {word}?" for word in ("zinc", "iron", "copper", "tin"))


def test_report_gives_every_answer_with_its_verdict() -> None:
    inner = Fixed({"zinc": "yes", "iron": "yes", "copper": "yes"}, "a1", "b2")
    chain = verified_chain(inner, WordNLI(), verify="report")
    answers = chain.batch([ZINC, IRON, COPPER])
    assert [answer.verdict for answer in answers] == ["supported", "contradicted", "not enough evidence"]
    assert [answer.label for answer in answers] == ["yes", "yes", "yes"]
    assert all(answer.withheld is None for answer in answers)
    assert inner.asked == [[ZINC, IRON, COPPER]]
    assert chain.invoke({"question": ZINC}) == answers[0] == next(chain.stream(ZINC))
    assert asyncio.run(chain.abatch([ZINC, IRON])) == answers[:2]


def test_off_is_the_chain_itself() -> None:
    inner = Fixed({})
    assert verified_chain(inner, WordNLI(), verify="off") is inner


@pytest.mark.parametrize("policy", ["report", "abstain", "retry"])
def test_a_question_that_cannot_be_answered_is_passed_on(policy) -> None:
    inner = Fixed({"zinc": "yes"}, "a1")
    chain = verified_chain(inner, WordNLI(), verify=policy, wider=[inner])
    first, bad, last = chain.batch([ZINC, TIN, ZINC], return_exceptions=True)
    assert first.verdict == last.verdict == "supported"
    assert str(bad) == "tin is unknown."
    with pytest.raises(UserError, match="tin is unknown"):
        chain.invoke(TIN)


def test_abstain_withholds_what_is_not_supported() -> None:
    inner = Fixed({"zinc": "yes", "iron": "yes", "copper": "no"}, "a1", "b2")
    zinc, iron, copper = verified_chain(inner, WordNLI(), verify="abstain").batch([ZINC, IRON, COPPER])
    assert (zinc.label, zinc.text, zinc.withheld) == ("yes", "yes", None)
    for answer, label, verdict in ((iron, "yes", "contradicted"), (copper, "no", "not enough evidence")):
        assert (answer.label, answer.label_scores, answer.output, answer.verdict) == (None, {}, None, verdict)
        assert answer.withheld is not None
        assert (answer.withheld.label, answer.withheld.text) == (label, label)
        assert answer.withheld.label_scores == {label: 1.0}
        assert [passage.id for passage in answer.passages] == ["a1", "b2"]
        assert answer.verification is not None
    assert iron.text == (
        "No answer is given: what the model answered is contradicted by the text that it read. Searched: a1, b2."
    )
    assert "not supported" in copper.text


def test_abstain_withholds_what_could_not_be_verified() -> None:
    unread, unparsed = verified_chain(Fixed({"zinc": None, "iron": "yes"}), WordNLI(), verify="abstain").batch(
        [IRON, ZINC]
    )
    assert unread.text.endswith("Searched: nothing.")
    assert "could not be verified" in unparsed.text
    assert unparsed.output is None
    assert unparsed.withheld is not None
    assert (unparsed.withheld.text, unparsed.withheld.output) == ("It depends.", "It depends.")


def test_retry_keeps_the_first_supported_answer() -> None:
    first = Fixed({"zinc": "yes", "iron": "yes", "copper": "no"}, "a1")
    second = Fixed({"iron": "no", "copper": "no"}, "a1", "b2")
    third = Fixed({"copper": "yes"}, "a1", "b2", "c3", "d4")
    chain = verified_chain(first, WordNLI(), verify="retry", wider=[second, third])
    zinc, iron, copper = chain.batch([ZINC, IRON, COPPER])
    assert [len(zinc.passages), len(iron.passages), len(copper.passages)] == [1, 2, 4]
    assert [zinc.label, iron.label, copper.label] == ["yes", "no", "yes"]
    assert {zinc.verdict, iron.verdict, copper.verdict} == {"supported"}
    assert zinc.notes == ()
    assert iron.notes == (
        'asked again with 2 passages: the first answer, "yes" from 1 passage, had not enough evidence',
    )
    assert copper.notes == (
        'asked again with 4 passages: the first answer, "no" from 1 passage, had not enough evidence',
    )
    assert (second.asked, third.asked) == ([[IRON, COPPER]], [[COPPER]])


def test_retry_without_success_gives_the_first_answer() -> None:
    first = Fixed({"copper": "no", "iron": None, "zinc": "no"}, "a1")
    wider = Fixed({"copper": "maybe", "iron": None}, "a1", "b2")
    copper, iron, zinc = verified_chain(first, WordNLI(), verify="retry", wider=[wider]).batch([COPPER, IRON, ZINC])
    assert (copper.label, copper.verdict, len(copper.passages)) == ("no", "not enough evidence", 1)
    assert copper.notes == ("asked again with up to 2 passages: no answer was supported",)
    assert iron.notes[-1] == copper.notes[0]
    assert (zinc.label, zinc.verdict) == ("no", "contradicted")
    assert zinc.notes == ("no more passages were found: no answer was supported",)


def test_retry_says_when_there_is_no_more_to_read() -> None:
    chain = verified_chain(
        Fixed({"copper": "no"}, "a1"), WordNLI(), verify="retry", wider=[Fixed({"copper": "no"}, "a1")]
    )
    assert chain.invoke(COPPER).notes == ("no more passages were found: no answer was supported",)


@pytest.mark.parametrize("policy", ["report", "abstain", "retry"])
def test_quotes_are_handed_on(policy) -> None:
    inner = extractive_chain(WordRetriever(texts=TEXTS), passages=2)
    chain = verified_chain(inner, WordNLI(), verify=policy, wider=[Fixed({"zinc": "yes"}, "a1")])
    plain, checked = inner.invoke(ZINC), chain.invoke(ZINC)
    assert checked.text == plain.text == "Zinc works here."
    assert checked.verdict is None
    assert checked.notes == ("not verified: the answer does not say yes, no or maybe",)


def test_wrong_building_is_refused() -> None:
    with pytest.raises(UserError, match=r"pairs\.labels"):
        verified_chain(Fixed({}), WordNLI(("yes", "no")), verify="report")
    with pytest.raises(UserError, match=r"chain\.verify is retry"):
        verified_chain(Fixed({}), WordNLI(), verify="retry")


@pytest.mark.parametrize(
    ("passages", "most", "counts"), [(1, 10, [2, 4, 8, 10]), (3, 6, [6]), (5, 5, []), (5, 3, []), (2, 3, [3])]
)
def test_passages_are_doubled_up_to_what_the_retriever_gives(passages: int, most: int, counts: list[int]) -> None:
    assert more_passages(passages, most) == counts


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return load_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path_factory.mktemp("chat"))), dtype="float32"))


@pytest.mark.parametrize("decide", ["score", "generate"])
@pytest.mark.parametrize("policy", ["report", "abstain", "retry"])
def test_real_chains_on_one_model(llm, policy, decide) -> None:
    retriever = WordRetriever(texts=TEXTS)
    chain = verified_chain(
        qa_chain(llm, retriever),
        nli_chain(llm, decide=decide),
        verify=policy,
        wider=[qa_chain(llm, retriever, passages=count) for count in more_passages(1, 3)],
    )
    assert isinstance(chain, VerifiedChain)
    answers = chain.batch([ZINC, IRON, "Is there use in copper, if it is dear?"])
    for answer in answers:
        assert answer.verdict is not None
        assert answer.verification is not None
        assert bool(answer.verification.scores) == (decide == "score")
        assert (answer.withheld is not None) == (policy == "abstain" and answer.verdict != "supported")
        quote = answer.verification.sentence
        assert (quote is None) == (answer.verdict == "not enough evidence")
        if quote:
            assert TEXTS[quote.passage_id][quote.start : quote.end] == quote.quote


def test_a_passage_longer_than_the_window_is_verified_in_parts(llm) -> None:
    text = " ".join(f"Adult number {n} was seen and went home again." for n in range(200))
    chain = verified_chain(qa_chain(llm, context="gold"), nli_chain(llm), verify="report")
    answer = chain.invoke({"question": ZINC, "context": text})
    assert answer.verdict is not None
    assert any("verification: premise judged in" in note for note in answer.notes)
