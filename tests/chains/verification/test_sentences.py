import math
import random
from collections.abc import Sequence

import pytest
from langchain_core.embeddings import Embeddings
from overlap_nli import OverlapNLI

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

# OverlapNLI judges a sentence as entailment if a passage's sentence has all its words, and "not" as contradiction.
FIRST = "Mice were used. Aspirin lowered pain. Fever did not fall. Nausea was rare. It was cheap. The end came."
SECOND = "Zinc raised growth."
QUESTION = "Does aspirin lower pain?"


def make_answer(text: str, *passages: str, attribute: bool = False) -> Answer:
    texts = passages or (FIRST, SECOND)
    numbered = tuple(Passage(id=f"p{number}", text=passage) for number, passage in enumerate(texts, start=1))
    return with_sentences(Answer(question=QUESTION, text=text, label="yes", passages=numbered), attribute=attribute)


def verified(text: str, *passages: str, scored: bool = True) -> Answer:
    return SentenceVerifier(OverlapNLI(scored=scored)).verify([make_answer(text, *passages)])[0]


def verdicts(answer: Answer) -> list[str | None]:
    return [sentence.verdict for sentence in answer.sentences]


def test_each_sentence_has_a_verdict_and_the_deciding_quote() -> None:
    answer = verified("Aspirin lowered pain [1]. Fever did fall [1]. Aspirin was dear [1].")
    assert verdicts(answer) == ["supported", "contradicted", "not enough evidence"]
    quotes = [sentence.verification.sentence for sentence in answer.sentences if sentence.verification]
    assert [quote and quote.quote for quote in quotes] == ["Aspirin lowered pain.", "Fever did not fall.", None]
    for quote in quotes:
        assert quote is None or FIRST[quote.start : quote.end] == quote.quote
    assert answer.sentences[0].verification.statement == "Aspirin lowered pain."
    assert sum(answer.sentences[0].verification.scores.values()) == pytest.approx(1)


def test_sentence_is_judged_against_its_cited_passage() -> None:
    assert verdicts(verified("Zinc raised growth [1]. Zinc raised growth [2].")) == ["not enough evidence", "supported"]


def test_sentence_without_marks_is_attributed_to_the_supporting_passage() -> None:
    first, second = verified("Zinc raised growth. Zinc was blue.").sentences
    assert (first.citations, first.attributed, first.verdict) == ((2,), True, "supported")
    assert (second.citations, second.attributed, second.verdict) == ((), False, "not enough evidence")


def test_with_sentences_attributes_by_shared_words() -> None:
    first, second, third = make_answer(
        "Zinc raised the growth. Water was blue. Aspirin lowered pain [2].", attribute=True
    ).sentences
    assert (first.citations, first.attributed) == ((2,), True)
    assert (second.citations, second.attributed) == ((), False)
    assert (third.citations, third.attributed) == ((2,), False)


class AngleEmbedder(Embeddings):
    """Embeds a text as a unit vector in the plane; its last word is the angle in degrees."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        angles = [math.radians(float(text.rstrip(".").split()[-1])) for text in texts]
        return [[math.cos(angle), math.sin(angle)] for angle in angles]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


# The cosine of 44 degrees is 0.72, and that of 46 degrees is 0.69.
@pytest.mark.parametrize(("degrees", "citations"), [(44, (2,)), (46, ())])
def test_with_sentences_attributes_from_a_cosine_of_0_7(degrees: int, citations: tuple[int, ...]) -> None:
    passages = (Passage(id="a", text="Far is 90."), Passage(id="b", text=f"Other is 80. Near is {degrees}."))
    answer = Answer(question=QUESTION, text="Statement is 0.", passages=passages)
    (sentence,) = with_sentences(answer, AngleEmbedder(), attribute=True).sentences
    assert (sentence.citations, sentence.attributed) == (citations, bool(citations))
    number, nearness = nearest_passage("Statement is 0.", passages, AngleEmbedder())
    assert (number, nearness) == (2, pytest.approx(math.cos(math.radians(degrees))))
    assert nearest_passage("Statement is 0.", ()) == (0, 0.0)


@pytest.mark.parametrize("count", [3, 5, 6, 11])
def test_first_of_passages_with_the_same_sentence_is_the_nearest(count: int) -> None:
    class NoiseEmbedder(AngleEmbedder):
        """Embeds each text as another vector, whose products have rounding errors."""

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [[random.Random(f"{text} {number}").gauss() for number in range(384)] for text in texts]

    passages = [Passage(id=str(number), text="Zinc works.") for number in range(count)]
    assert nearest_passage("Zinc helps.", passages, NoiseEmbedder())[0] == 1


def test_with_sentences_embeds_each_sentence_of_a_passage_once() -> None:
    embedded: list[str] = []

    class RecordingEmbedder(AngleEmbedder):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            embedded.extend(texts)
            return super().embed_documents(texts)

    passage = Passage(id="a", text="A is 90. B is 80.")
    answer = Answer(question=QUESTION, text="One is 0. Two is 1.", passages=(passage,))
    with_sentences(answer, RecordingEmbedder(), attribute=True)
    assert sorted(embedded) == ["A is 90.", "B is 80.", "One is 0.", "Two is 1."]


def test_two_cited_passages_are_judged_together_if_neither_supports_alone() -> None:
    passages = ("Mice were used. Aspirin lowered pain. Rats were used. They were fed. The end came.", SECOND)
    answer = verified("Aspirin lowered pain zinc raised growth [1][2].", *passages)
    assert verdicts(answer) == ["supported"]
    assert verdicts(verified("Aspirin lowered pain zinc raised growth [1].", *passages)) == ["not enough evidence"]


def test_statement_of_a_bare_label_is_the_answer_to_the_question() -> None:
    answer = make_answer("Yes. Aspirin lowered pain [1].")
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
        "Based on the context, the report does not state it.",
    ],
)
def test_refusal_has_no_verdict_and_is_not_pruned(text: str) -> None:
    assert is_refusal(text)
    assert verified(text).sentences[0].verdict is None
    assert prune(verified(text)).text == text


@pytest.mark.parametrize(
    "text",
    [
        "The drug did not lower pain.",
        "The evidence shows that aspirin lowers pain.",
        "Patients with no information needs fared well.",
        "The data were not normally distributed.",
        "There is no evidence that aspirin lowers pain.",
        "The abstract states that the trials did not report deaths.",
        "The documents show statins are not included in therapy.",
    ],
)
def test_negative_finding_is_no_refusal(text: str) -> None:
    assert not is_refusal(text)


def test_prune_removes_a_list_of_references_and_keeps_a_rule_between_sentences() -> None:
    text = "Aspirin lowered pain [1].\n\n---\n\nZinc raised growth [2]."
    assert prune(verified(text)) == verified(text)
    assert prune(verified(f"{text}\n\nReferences:\n[1] Zinc cures all.")).text == text


def test_prune_removes_unsupported_sentences_and_notes_their_number() -> None:
    answer = prune(verified("Aspirin lowered pain [1]. Fever did fall [1].\n\nZinc raised growth [2]."))
    assert answer.text == "Aspirin lowered pain [1].\n\nZinc raised growth [2]."
    assert all(answer.text[sentence.start : sentence.end] == sentence.text for sentence in answer.sentences)
    assert [sentence.text for sentence in answer.removed] == ["Fever did fall [1]."]
    assert answer.notes == ("1 of 3 sentences were removed: the passages do not support it",)
    assert prune(answer) == answer


def test_passage_that_cannot_be_judged_gives_a_note_and_no_verdict() -> None:
    answer = verified("It fell [1].", "TOO LONG it fell.")
    assert verdicts(answer) == [None]
    assert answer.notes == ("a sentence was not verified against passage p1: The pair is too long.",)


def test_judge_without_probabilities_gives_verdicts_without_scores() -> None:
    sentence = verified("Aspirin lowered pain [1].", scored=False).sentences[0]
    assert sentence.verdict == "supported"
    assert sentence.verification.scores == {}


@pytest.mark.parametrize("new", [None, "windows", "sentences"])
def test_answer_is_reused_only_if_all_judgements_are(new: str | None) -> None:
    class PartlyCached(OverlapNLI):
        def _judge(self, premise: str, hypothesis: str):
            is_new = new is not None and (new == "windows") == (premise.count(".") > 1)
            return super()._judge(premise, hypothesis).model_copy(update={"reused": not is_new})

    original = make_answer("Aspirin lowered pain [1].").model_copy(update={"reused": True})
    assert SentenceVerifier(PartlyCached()).verify([original])[0].reused == (new is None)


def test_all_answers_are_judged_in_three_passes() -> None:
    model = OverlapNLI()
    answers = [make_answer("Aspirin lowered pain [1]. It was zinc [1][2]."), make_answer("Zinc raised growth.")]
    first, second = SentenceVerifier(model).verify(answers)
    assert verdicts(first) == ["supported", "not enough evidence"]
    assert verdicts(second) == ["supported"]
    assert len(model.calls) == 3


@pytest.mark.parametrize(
    ("text", "spans"), [("", []), ("One.", ["One."]), ("A b. C d. E f. G h.", ["A b. C d. E f.", "C d. E f. G h."])]
)
def test_windows_have_three_sentences_and_start_one_sentence_later(text: str, spans: Sequence[str]) -> None:
    assert [text[start:end] for start, end in windows(text)] == spans
