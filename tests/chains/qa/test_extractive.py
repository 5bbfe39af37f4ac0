import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from word_retriever import WordRetriever

from chains.qa.extractive import extractive_chain
from common.errors import UserError
from retrievers.embedders.minilm import MiniLMEmbedder

RETRIEVER = WordRetriever(
    texts={
        "a1": "Adults were studied. Aspirin reduced the risk of stroke (p = 0.03). Bleeding did not change.",
        "b2": "Aspirin was given to children. Zinc shortened the common cold.",
    }
)


def test_answer_is_verbatim_quotes_with_citations_best_first() -> None:
    answer = extractive_chain(RETRIEVER, passages=2, max_sentences=2).invoke("Does aspirin reduce stroke?")
    assert answer.label is None
    assert answer.text == "Aspirin reduced the risk of stroke (p = 0.03)."
    assert answer.notes == ()
    answer = extractive_chain(RETRIEVER, passages=2, max_sentences=2).invoke("Is aspirin or zinc taken for strokes?")
    assert answer.text == "Aspirin reduced the risk of stroke (p = 0.03). Zinc shortened the common cold."
    assert [citation.passage_id for citation in answer.citations] == ["a1", "b2"]
    assert answer.citations[0].score > answer.citations[1].score > 0.5 * answer.citations[0].score
    for citation in answer.citations:
        text = next(passage.text for passage in answer.passages if passage.id == citation.passage_id)
        assert text[citation.start : citation.end] == citation.quote


def test_line_on_the_review_of_a_document_is_not_quoted() -> None:
    retriever = WordRetriever(texts={"a": "Aspirin reduced the risk of stroke.\n\nStatus: reviewed 2024."})
    assert (
        extractive_chain(retriever).invoke("Does aspirin reduce stroke?").text == "Aspirin reduced the risk of stroke."
    )


def test_no_shared_word_is_noted() -> None:
    answer = extractive_chain(RETRIEVER).invoke("Warum?")
    assert (answer.text, answer.citations) == ("", ())
    assert answer.notes == ("no sentence of the passages found shares a word with the question",)


def test_weak_evidence_is_noted() -> None:
    question = "Was warfarin or heparin or dabigatran given with ibuprofen to pregnant women?"
    answer = extractive_chain(RETRIEVER).invoke(question)
    assert answer.text == "Aspirin was given to children."
    assert answer.citations[0].score < 0.3
    assert answer.notes == ("weak evidence: the best sentence scores 0.09 out of 1 for words shared with the question",)


def test_no_passage_found_is_noted() -> None:
    answer = extractive_chain(WordRetriever(texts={})).invoke("Does aspirin reduce stroke?")
    assert (answer.text, answer.notes) == ("", ("no passage was found",))


def test_notes_of_the_chain_are_added_to_every_answer() -> None:
    chain = extractive_chain(RETRIEVER, notes=["taken as it is"])
    assert chain.invoke("Does aspirin reduce stroke?").notes == ("taken as it is",)
    assert chain.invoke("Warum?").notes[1:] == ("taken as it is",)


def test_zero_sentences_and_empty_question_are_refused() -> None:
    with pytest.raises(UserError, match=r"number of sentences .* at least 1; this is 0"):
        extractive_chain(RETRIEVER, max_sentences=0)
    with pytest.raises(UserError, match="empty"):
        extractive_chain(RETRIEVER).invoke(" ")


def test_copies_of_a_passage_count_once() -> None:
    copied = "Zinc shortened the common cold in adults."
    texts = {f"copy{number}": copied for number in range(4)} | {"other": "Zinc made adults with a cold feel sick."}
    answer = extractive_chain(WordRetriever(texts=texts), passages=3).invoke("Does zinc help adults with a cold?")
    assert {passage.id for passage in answer.passages} == {"copy0", "other"}
    assert answer.text.count(copied) == 1
    (quote,) = [citation for citation in answer.citations if citation.quote == copied]
    assert quote.also_in == ("copy1", "copy2", "copy3")


def test_retraction_of_a_quoted_document_is_noted() -> None:
    def search(question: str) -> list[Document]:
        return [
            Document(id="1", page_content="Zinc cured colds.", metadata={"notice": "Retracted", "title": "Zinc"}),
            Document(id="2", page_content="Rain fell.", metadata={"notice": "Retracted", "title": "Rain"}),
        ]

    answer = extractive_chain(RunnableLambda(search)).invoke("Does zinc cure colds?")
    assert answer.notes == ("Retracted: Zinc",)


def test_passage_of_references_is_left_out() -> None:
    entry = "Berg B, Alm A. Does zinc help adults with a cold? J Cold. 2011;4:12-19."
    texts = {f"list{number}": f"{number}. {entry}" for number in range(1, 4)} | {"finding": "Zinc helped 40 adults."}
    answer = extractive_chain(WordRetriever(texts=texts), passages=2).invoke("Does zinc help adults with a cold?")
    assert [passage.id for passage in answer.passages] == ["finding"]


def test_question_after_a_long_text_is_searched_and_quoted_for() -> None:
    question = "Does zinc shorten a cold?"
    letter = "The patient lives with her sister and walks to the ward each morning. " * 40 + question
    ward = "The patient walks to the ward each morning with her sister."
    texts = {"ward": ward, "zinc": "Colds were shorter with zinc."}
    answer = extractive_chain(WordRetriever(texts=texts), embedder=MiniLMEmbedder(), passages=2).invoke(letter)
    assert answer.question == letter
    assert answer.text.startswith("Colds were shorter with zinc.")
    (note,) = (note for note in answer.notes if "too long to be searched for as a whole" in note)
    assert note.endswith(question)
    untruncated = extractive_chain(WordRetriever(texts=texts), embedder=MiniLMEmbedder()).invoke(question)
    assert not any("too long" in note for note in untruncated.notes)
