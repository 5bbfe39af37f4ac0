"""Extractive answers: evidence sentences, without a language model."""

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever

from chains.answer import Answer, Citation, Passage, Sentence
from chains.citations import FrequencyLookup, Relevance, notices, select
from chains.marks import passage_numbers
from chains.qa.base import AnswerChain, Question, check_retriever, retrieve, search_text, truncation_notes
from common.errors import UserError
from retrievers.base import Retriever, check_count
from retrievers.embedders.token_limits import shorten


def extractive_chain(
    retriever: BaseRetriever,
    *,
    embedder: Embeddings | None = None,
    passages: int = 5,
    max_sentences: int = 3,
    notes: Sequence[str] = (),
    frequencies: FrequencyLookup | None = None,
    relevance: Relevance | None = None,
) -> "ExtractiveChain":
    """A chain that answers with the most relevant sentences of the retrieved passages.

    The Answer's text is the quotes, each cited with its score (``citations.cite``); its label is None. A sentence whose
    score is less than half of the best one's is not quoted. Notes report weak evidence (``citations.Selection``), a
    question that was shortened for the embedder, and quoted documents that were retracted or have an expression of
    concern.

    Args:
        retriever: source of the passages.
        embedder: compares the question and the sentences by meaning; without an embedder, only words count.
        passages: number of retrieved passages.
        max_sentences: maximum number of quotes.
        notes: added to every answer.
        frequencies: document frequencies, which weigh the words; by default those of the retriever, if it has any.
        relevance: scores sentences with a cross-encoder, such as ``Reranker.relevance``; None for no cross-encoder.

    Raises:
        UserError: ``passages`` or ``max_sentences`` is not a whole number of at least 1, or the retriever is not a
            LangChain retriever.
    """
    check_retriever(retriever)
    check_count(passages, "passages")
    check_count(max_sentences, "sentences")
    if frequencies is None and isinstance(retriever, Retriever):
        frequencies = retriever.frequencies
    return ExtractiveChain(retriever, embedder, passages, max_sentences, tuple(notes), frequencies, relevance)


@dataclass(eq=False)
class ExtractiveChain(AnswerChain):
    """A chain made by ``extractive_chain``."""

    retriever: BaseRetriever
    embedder: Embeddings | None
    passages: int
    max_sentences: int
    notes: tuple[str, ...]
    frequencies: FrequencyLookup | None
    relevance: Relevance | None = None

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """Retrieve for all questions in one pass, then quote."""
        found = retrieve(self.retriever, questions, self.passages)
        return [self._quote(question.text, passages) for question, passages in zip(questions, found, strict=True)]

    def _quote(self, question: str, passages: Sequence[Passage]) -> Answer:
        searched = search_text(self.retriever, question)
        if self.embedder is not None:
            searched = shorten(self.embedder, searched)
        selection = select(searched, passages, self.embedder, self.frequencies, self.relevance)
        citations = selection.strongest(self.max_sentences)
        notes = []
        if not passages:
            notes = ["no passage was found"]
        elif not citations:
            notes = ["no sentence of the passages found shares a word with the question"]
        elif selection.is_weak:
            by_words = self.embedder is None
            best, basis = ("sentence", "words shared with") if by_words else ("passage", "relevance to")
            notes = [f"weak evidence: the best {best} scores {selection.nearest:.2f} out of 1 for {basis} the question"]
        cited_ids = {citation.passage_id for citation in citations}
        cited = [passage for passage in passages if passage.id in cited_ids]
        text, sentences = _quoted(citations, passages)
        return Answer(
            question=question,
            text=text,
            sentences=sentences,
            citations=tuple(citations),
            passages=tuple(passages),
            notes=(*notes, *truncation_notes(question, searched), *notices(cited), *self.notes),
        )


def _quoted(citations: Sequence[Citation], passages: Sequence[Passage]) -> tuple[str, tuple[Sentence, ...]]:
    """The quotes as one text, and each quote as a sentence that cites its passage."""
    numbers = passage_numbers(passages)
    text, sentences = "", []
    for one in citations:
        quote = f"{one.readable}." if one.headings else one.readable
        start = len(text) + 1 if text else 0
        text = f"{text} {quote}" if text else quote
        sentences.append(Sentence(text=quote, start=start, end=len(text), citations=(numbers[one.passage_id],)))
    return text, tuple(sentences)
