import pytest
from word_nli import WordNLI

from chains.answer import Answer, Passage
from chains.nli import Judgement
from chains.verifier import Verifier
from common.errors import UserError

WORKS = "Adults were seen. Zinc works here. All went home."
FAILS = "Children were seen. Zinc fails there. Some stayed."
OTHER = "Nothing is said of it. Iron works."


def answer(label: str | None, *texts: str, output: str | None = None) -> Answer:
    passages = tuple(Passage(id=f"p{number}", text=text) for number, text in enumerate(texts))
    return Answer(question="Is there use in zinc?", text=label or "", label=label, passages=passages, output=output)


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
    ("label", "text", "sentence"), [("yes", WORKS, "Zinc works here."), ("yes", FAILS, "Zinc fails there.")]
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
