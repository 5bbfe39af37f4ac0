import math
from collections.abc import Sequence

import pytest
from entailing import Entailing
from langchain_core.embeddings import Embeddings

from chains.answer import Answer, Passage
from chains.verification.sentences import (
    SentenceVerifier,
    is_refusal,
    nearest_passage,
    prune,
    statement_of,
    windows,
    with_sentences,
)

FIRST = "Mice were used. Aspirin lowered pain. Fever did not fall. Nausea was rare. It was cheap. The end came."
SECOND = "Zinc raised growth."
QUESTION = "Does aspirin lower pain?"


def written(text: str, *passages: str, attribute: bool = False) -> Answer:
    read = tuple(Passage(id=f"p{number}", text=one) for number, one in enumerate(passages or (FIRST, SECOND), 1))
    return with_sentences(Answer(question=QUESTION, text=text, label="yes", passages=read), attribute=attribute)


def judged(text: str, *passages: str, scored: bool = True) -> Answer:
    return SentenceVerifier(Entailing(scored=scored)).verify([written(text, *passages)])[0]


def verdicts(answer: Answer) -> list[str | None]:
    return [one.verdict for one in answer.sentences]


def test_each_sentence_has_its_verdict_and_the_span_that_decided() -> None:
    answer = judged("Aspirin lowered pain [1]. Fever did fall [1]. Aspirin was dear [1].")
    assert verdicts(answer) == ["supported", "contradicted", "not enough evidence"]
    evidence = [one.verification.sentence for one in answer.sentences if one.verification]
    assert [one and one.quote for one in evidence] == ["Aspirin lowered pain.", "Fever did not fall.", None]
    for one in evidence:
        assert one is None or FIRST[one.start : one.end] == one.quote
    assert answer.sentences[0].verification is not None
    assert answer.sentences[0].verification.statement == "Aspirin lowered pain."
    assert sum(answer.sentences[0].verification.scores.values()) == pytest.approx(1)


def test_a_sentence_is_judged_against_the_passages_that_it_cites() -> None:
    assert verdicts(judged("Zinc raised growth [1]. Zinc raised growth [2].")) == ["not enough evidence", "supported"]


def test_a_sentence_without_marks_is_attributed_to_the_passage_that_supports_it() -> None:
    first, second = judged("Zinc raised growth. Zinc was blue.").sentences
    assert (first.citations, first.attributed, first.verdict) == ((2,), True, "supported")
    assert (second.citations, second.attributed, second.verdict) == ((), False, "not enough evidence")


def test_without_a_judge_the_nearest_sentence_attributes() -> None:
    first, second, third = written(
        "Zinc raised the growth. Water was blue. Aspirin lowered pain [2].", attribute=True
    ).sentences
    assert (first.citations, first.attributed) == ((2,), True)
    assert (second.citations, second.attributed) == ((), False)
    assert (third.citations, third.attributed) == ((2,), False)


class Angles(Embeddings):
    """Texts as directions; the number that a text ends with is its angle from others in degrees."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        angles = [math.radians(float(text.rstrip(".").split()[-1])) for text in texts]
        return [[math.cos(one), math.sin(one)] for one in angles]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


@pytest.mark.parametrize(("degrees", "citations"), [(44, (2,)), (46, ())])
def test_a_sentence_is_attributed_from_a_cosine_of_0_7(degrees: int, citations: tuple[int, ...]) -> None:
    passages = (Passage(id="a", text="Far is 90."), Passage(id="b", text=f"Other is 80. Near is {degrees}."))
    answer = Answer(question=QUESTION, text="Said is 0.", passages=passages)
    (sentence,) = with_sentences(answer, Angles(), attribute=True).sentences
    assert (sentence.citations, sentence.attributed) == (citations, bool(citations))
    number, nearness = nearest_passage("Said is 0.", passages, Angles())
    assert (number, nearness) == (2, pytest.approx(math.cos(math.radians(degrees))))
    assert nearest_passage("Said is 0.", ()) == (0, 0.0)


def test_two_cited_passages_are_judged_together_where_neither_supports_alone() -> None:
    passages = ("Mice were used. Aspirin lowered pain. Rats were used. They were fed. The end came.", SECOND)
    answer = judged("Aspirin lowered pain zinc raised growth [1][2].", *passages)
    assert verdicts(answer) == ["supported"]
    assert verdicts(judged("Aspirin lowered pain zinc raised growth [1].", *passages)) == ["not enough evidence"]


def test_a_bare_label_is_judged_as_the_answer_to_the_question() -> None:
    answer = written("Yes. Aspirin lowered pain [1].")
    assert statement_of(answer.sentences[0], answer) == f"{QUESTION} The answer is yes."


@pytest.mark.parametrize(
    "text",
    [
        "The passages do not answer the question.",
        "The text does not mention children.",
        "The provided context doesn't contain information about this.",
        "There is no information on dosing.",
        "The passages contain no information about dosing.",
        "I don't know.",
        "This is not mentioned in the passages.",
        "The abstracts cannot answer this.",
    ],
)
def test_a_refusal_claims_nothing(text: str) -> None:
    assert is_refusal(text)
    assert judged(text).sentences[0].verdict is None
    assert prune(judged(text)).text == text


@pytest.mark.parametrize(
    "text",
    [
        "The drug did not lower pain.",
        "The evidence shows that aspirin lowers pain.",
        "Patients with no information needs fared well.",
        "The data were not normally distributed.",
        "There is no evidence that aspirin lowers pain.",
    ],
)
def test_a_negative_finding_is_no_refusal(text: str) -> None:
    assert not is_refusal(text)


def test_pruning_takes_out_what_is_not_supported_and_says_so() -> None:
    answer = prune(judged("Aspirin lowered pain [1]. Fever did fall [1].\n\nZinc raised growth [2]."))
    assert answer.text == "Aspirin lowered pain [1].\n\nZinc raised growth [2]."
    assert [answer.text[one.start : one.end] for one in answer.sentences] == [one.text for one in answer.sentences]
    assert [one.text for one in answer.removed] == ["Fever did fall [1]."]
    assert answer.notes == ("1 of 3 sentences were removed: the passages do not support it",)
    assert prune(answer) == answer


def test_a_passage_that_cannot_be_judged_leaves_no_verdict_and_a_note() -> None:
    answer = judged("It fell [1].", "TOO LONG it fell.")
    assert verdicts(answer) == [None]
    assert answer.notes == ("a sentence was not verified against passage p1: The pair is too long.",)


def test_a_judge_that_writes_gives_verdicts_without_probabilities() -> None:
    one = judged("Aspirin lowered pain [1].", scored=False).sentences[0]
    assert one.verdict == "supported"
    assert one.verification is not None
    assert one.verification.scores == {}


def test_all_answers_are_judged_in_three_passes_at_most() -> None:
    model = Entailing()
    answers = [written("Aspirin lowered pain [1]. It was zinc [1][2]."), written("Zinc raised growth.")]
    found = SentenceVerifier(model).verify(answers)
    assert [verdicts(one) for one in found] == [["supported", "not enough evidence"], ["supported"]]
    assert len(model.passes) == 3


@pytest.mark.parametrize(
    ("text", "spans"),
    [("", []), ("One.", ["One."]), ("A b. C d. E f. G h.", ["A b. C d. E f.", "C d. E f. G h."])],
)
def test_windows_are_three_sentences_each_begun_one_later(text: str, spans: Sequence[str]) -> None:
    assert [text[start:end] for start, end in windows(text)] == spans
