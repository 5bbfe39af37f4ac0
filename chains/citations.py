"""Sentences of passages that bear on a question, quoted verbatim, ranked by meaning and by words."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from chains.answer import Citation, Passage
from chains.models.findings import finding_log_odds
from corpus.evidence import Kind, Sentence, sentences, table_cells
from corpus.words import terms

if TYPE_CHECKING:
    from retrievers.base import Frequencies

# Nearness and the finding factor are explained in ``cite``.
EMBEDDER_WEIGHT = 4 / 7  # weight of the cosine in nearness; the share of the question's words has the rest
SENTENCE_WEIGHT = 0.3  # weight of the sentence itself in its nearness; its passage has the rest
CROSS_ENCODER_WEIGHT = 0.5  # weight of a cross-encoder's score in nearness; nearness without it has the rest
RERANKED_SENTENCES = 24  # number of sentences that a cross-encoder reads
AIM_LOG_ODDS = -1.75  # a sentence whose log-odds of a finding are lower states an aim or a method
LOG_ODDS_OFFSET = 1.0  # added to the log-odds of a finding, so that only clear aims and methods have a low factor
FINDING_SLOPE = 2.0  # slope of the logistic function from these log-odds to the finding factor
MIN_FINDING_FACTOR = 0.2  # finding factor of a sentence that is certainly no finding
NO_EVIDENCE_FACTOR = 0.05  # factor of a heading or a question
ANSWER_KIND_FACTOR = 0.25  # multiplies the weight of "drug" in "which drug"
MIN_RELATIVE_SCORE = 0.5  # minimum score of a quote, as a share of the best sentence's score
WEAK_NEARNESS = 0.5  # evidence is weak if no passage reaches this nearness
WEAK_WORD_SHARE = 0.3  # without an embedder: evidence is weak if no sentence has this share of the question's words

_YES_NO_QUESTION = re.compile(  # the beginning of a yes/no question
    r"\W*(?:is|are|was|were|do|does|did|can|could|may|might|must|shall|should|will|would|has|have|had)\b", re.IGNORECASE
)
_GERMAN_VERB = (  # after "was" at the beginning of a question: "was" is then German for "what", not the English verb
    r"(?:ist|sind|war|waren|wird|werden|wurde|hat|haben|kann|können|könnte|muss|müssen|soll|sollen|sollte|darf|dürfen"
    r"|tut|tun|hilft|helfen|macht|machen|bedeute[nt]|bewirk(?:t|en)|verursach(?:t|en)|verhinder[nt]|senk(?:t|en)"
    r"|erhöh(?:t|en)|beeinfluss(?:t|en)|passiert|geschieht|empfiehlt|empfehlen|sag(?:t|en)|spricht|gehört|gibt|gilt)"
)
_FACT_QUESTION = re.compile(  # the beginning of a question for a fact
    r"\W*(?:(?:at|by|for|from|in|of|on|to|with|after|within|until)\s)?(?:how|what|which|who|whom|whose|when|where|why"
    rf"|wie|was(?=\s{_GERMAN_VERB}\b)|welche[mnrs]?|wer|wen|wem|wann|wo|warum"
    r"|combien|comment|quels?|quelles?|qui|quand|pourquoi|qué|cuándo"
    r"|cuánt[oa]s?|cómo|quién|cuál(?:es)?)\b",
    re.IGNORECASE,
)
_ANSWER_KIND = re.compile(  # in "which drug causes", the word "drug": the kind of thing that an answer names
    r"(?i:\W*(?:(?:at|by|for|from|in|of|on|to|with|after|within|until)\s)?(?:which|what)\s(?P<english>\w+)\s"
    r"(?:is|are|was|were|do|does|did|can|could|may|might|must|should|will|would|has|have|had"
    r"|(?:caus|reduc|increas|decreas|improv|reliev|rais|induc|produc|cur)(?:es?|ed)"
    r"|(?:prevent|treat|lower|help|protect|predict|confirm|exclude?|affect|interact|show|need|lead|work)(?:s|ed)?)\b)"
    r"|\W*(?:\w+\s)?[Ww]elche[mnrs]?\s(?P<german>[A-ZÄÖÜ]\w+)\s(?=[a-zäöü])"
)

FrequencyLookup = Callable[[Set[str]], "Frequencies | None"]
"""Document frequencies of terms in a corpus; see ``Retriever.frequencies``."""
Relevance = Callable[[str, Sequence[str]], Sequence[float]]
"""How likely each text is to answer a question, from 0 to 1; see ``Reranker.relevance``."""


def cite(
    question: str,
    passages: Sequence[Passage],
    embedder: Embeddings | None = None,
    frequencies: FrequencyLookup | None = None,
    relevance: Relevance | None = None,
) -> list[Citation]:
    """Sentences of all passages that bear on the question, best first.

    A sentence's score, at most 1, is its nearness to the question times its finding factor.

    Nearness is the weighted mean of two measures: the cosine of the embedder's vectors, and the share of the question's
    words that are in the sentence or the heading above it. Rare words weigh more: a word's weight is its inverse
    document frequency divided by the sum for all words of the question, averaged over two collections: the sentences of
    the passages, and the corpus. The formula is BM25's, ln(1 + (N - n + 0.5) / (n + 0.5)) (Robertson and Zaragoza
    2009). In "which drug", the word "drug" counts a quarter, because an answer names the drug instead. A finding seldom
    repeats the whole question, so the sentence itself counts only 0.3. Its passage counts 0.7, with the greatest cosine
    of the passage's sentences and the share of the question's words in the passage's sentences and title.

    The finding factor, from 0.2 to 1, is low for a study's aims and methods (``findings.finding_log_odds``). It applies
    to passages with a sentence that states an aim or a method, and to all passages if more than a third have such a
    sentence. It does not apply if the question asks for a fact (how many, which, when) or is a statement.
    ``benchmarks/citations.py`` measures these choices. Equal scores keep the passages' order.

    References, tables of contents and navigation are never quoted; headings and questions have the factor 0.05
    (``corpus.evidence``). A sentence that refers back to the previous one is quoted with it, and a row of a table with
    its column headings. A sentence that occurs in several passages is quoted once, with the names of the other
    passages.

    Args:
        question: the question, in any script.
        passages: the passages, best first; ``section`` and ``title`` of their metadata help to recognise headings.
        embedder: compares by meaning; without an embedder, only words count, and sentences without a word of the
            question are left out.
        frequencies: document frequencies of terms in the corpus; without them, only the passages' sentences weigh the
            words.
        relevance: scores of a cross-encoder, which reads the question with each of the 24 best sentences. The score is
            half of a sentence's nearness; it is 0 for a sentence that the cross-encoder does not read.
    """
    return select(question, passages, embedder, frequencies, relevance).citations


@dataclass(frozen=True, slots=True)
class Selection:
    """Citations, best first, and the nearness of the passages to the question.

    ``nearest`` is, with an embedder, the greatest nearness of a passage (see ``cite``); without one, the greatest share
    of the question's words in a sentence, its heading and its document's title. ``is_weak``: whether ``nearest`` is
    below the threshold for weak evidence.
    """

    citations: list[Citation]
    nearest: float
    is_weak: bool

    def strongest(self, count: int) -> list[Citation]:
        """At most ``count`` citations with at least half of the best score."""
        return [one for one in self.citations if one.score >= MIN_RELATIVE_SCORE * self.citations[0].score][:count]


def select(
    question: str,
    passages: Sequence[Passage],
    embedder: Embeddings | None = None,
    frequencies: FrequencyLookup | None = None,
    relevance: Relevance | None = None,
) -> Selection:
    """The citations of ``cite`` and how near the passages are; the arguments are the same."""
    pool = _candidates(question, passages, frequencies)
    if not pool.sentences:
        return Selection([], 0.0, is_weak=True)
    sentence_nearness = [pool.share(one.terms) for one in pool.sentences]
    passage_nearness = [pool.share(matched) for matched in pool.passage_terms]
    if embedder is None:
        nearest = max(pool.share(one.terms | pool.title_terms[one.passage]) for one in pool.sentences)
    else:
        cosines = similarities(embedder, question, [one.in_context for one in pool.sentences])
        passage_cosines = [-1.0] * len(passages)
        for one, cosine in zip(pool.sentences, cosines, strict=True):
            passage_cosines[one.passage] = max(passage_cosines[one.passage], cosine)
        sentence_nearness = list(map(_weighted_mean, cosines, sentence_nearness))
        passage_nearness = list(map(_weighted_mean, passage_cosines, passage_nearness))
        nearest = max(passage_nearness)
    nearness = [
        SENTENCE_WEIGHT * near + (1 - SENTENCE_WEIGHT) * passage_nearness[one.passage]
        if embedder is not None or one.terms
        else 0.0
        for one, near in zip(pool.sentences, sentence_nearness, strict=True)
    ]
    factors = _factors(pool, len(passages), asks_for_finding=_asks_for_finding(question))
    scores = [near * factor for near, factor in zip(nearness, factors, strict=True)]
    # Scores are rounded for sorting, so that equal scores keep the passages' order despite rounding errors.
    if relevance is not None:
        best = sorted(range(len(scores)), key=lambda index: -round(scores[index], 6))[:RERANKED_SENTENCES]
        reranked = relevance(question, [pool.sentences[index].in_context for index in best])
        relevance_of = dict(zip(best, reranked, strict=True))
        scores = [
            ((1 - CROSS_ENCODER_WEIGHT) * nearness[index] + CROSS_ENCODER_WEIGHT * relevance_of.get(index, 0.0))
            * factor
            for index, factor in enumerate(factors)
        ]
    ranked = sorted(zip(pool.sentences, scores, strict=True), key=lambda pair: -round(pair[1], 6))
    citations = _distinct([(one, score) for one, score in ranked if score > 0], passages)
    return Selection(citations, nearest, is_weak=nearest < (WEAK_WORD_SHARE if embedder is None else WEAK_NEARNESS))


def coverage(question: str, texts: Sequence[str]) -> list[float]:
    """The share of a question's words that each text has, from 0 to 1, weighted by their rarity among the texts."""
    question_terms = frozenset(terms(question))
    text_terms = [question_terms & set(terms(text)) for text in texts]
    share = _weighted_share(question_terms, text_terms)
    return [share(matched) for matched in text_terms]


def similarities(embedder: Embeddings, question: str, texts: Sequence[str]) -> list[float]:
    """Cosine of the question and each text, in one batch."""
    import numpy as np

    if not texts:
        return []
    distinct = list(dict.fromkeys(texts))  # in two rows of the product, equal texts would differ by rounding errors
    vectors = np.asarray([embedder.embed_query(question), *embedder.embed_documents(distinct)], dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    lengths[lengths == 0] = 1.0
    vectors /= lengths[:, None]
    cosines = dict(zip(distinct, (vectors[1:] @ vectors[0]).tolist(), strict=True))
    return [cosines[text] for text in texts]


class CachedEmbedder(Embeddings):
    """An embedder that embeds each text once, even if several statements are compared with the same passages."""

    def __init__(self, embedder: Embeddings) -> None:
        self._embedder = embedder
        self._vectors: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """The vectors of texts; new texts are embedded in one batch."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._vectors]:
            self._vectors |= zip(new, self._embedder.embed_documents(new), strict=True)
        return [self._vectors[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """The vector of one question."""
        return self._embedder.embed_query(text)


def best_per_passage(citations: Sequence[Citation]) -> tuple[Citation, ...]:
    """The first citation of each passage, in order."""
    best: dict[str, Citation] = {}
    for citation in citations:
        best.setdefault(citation.passage_id, citation)
    return tuple(best.values())


def notices(passages: Sequence[Passage]) -> list[str]:
    """A note for each passage whose document was retracted or is under an expression of concern."""
    notes: list[str] = []
    for passage in passages:
        if notice := " ".join(str(passage.metadata.get("notice") or "").split()):
            name = passage.origin or passage.id  # PubMed's title of a retracted article begins with the notice
            notes.append(name if name.casefold().startswith(notice.casefold()) else f"{notice}: {name}")
    return list(dict.fromkeys(notes))


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A sentence of a passage that may be quoted, with the sentence to which it refers back.

    Attributes:
        passage: index of the passage.
        text: the quote.
        normalized: the sentences of the quote, in lower case and with single spaces.
        terms: the question's terms in the quote and in the heading above it.
    """

    passage: int
    sentence: Sentence
    text: str
    normalized: tuple[str, ...]
    terms: Set[str]

    @property
    def in_context(self) -> str:
        """The text with the heading and the table header above it."""
        above = (self.sentence.heading, self.sentence.header) if self.sentence.is_evidence else ()
        return "\n".join([*filter(None, above), self.text])


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The sentences that may be quoted, and the question's terms in them.

    Attributes:
        title_terms: by passage, the question's terms in the title.
        passage_terms: by passage, the question's terms in the title and the sentences.
        share: see ``_weighted_share``.
    """

    sentences: list[_Candidate]
    title_terms: Sequence[Set[str]]
    passage_terms: Sequence[Set[str]]
    share: Callable[[Set[str]], float]


def _candidates(question: str, passages: Sequence[Passage], frequencies: FrequencyLookup | None) -> _Candidates:
    question_terms = frozenset(terms(question))
    candidates: list[_Candidate] = []
    text_terms: list[Set[str]] = []
    for index, passage in enumerate(passages):
        for sentence in sentences(passage.text, *passage.section_and_title):
            if sentence.kind in (Kind.REFERENCE, Kind.NAVIGATION):
                continue
            text = passage.text[sentence.context_start : sentence.end]
            text_terms.append(question_terms & set(terms(text)))
            above = terms(f"{sentence.heading}\n{sentence.header}") if sentence.is_evidence else []
            previous = candidates[-1].normalized if sentence.context_start < sentence.start else ()
            normalized = (*previous, _normalized(passage.text[sentence.start : sentence.end]))
            matched = text_terms[-1] | (question_terms & set(above))
            candidates.append(_Candidate(index, sentence, text, normalized, matched))
    title_terms = [question_terms & set(terms(passage.section_and_title[1])) for passage in passages]
    passage_terms = [set(matched) for matched in title_terms]
    for candidate in candidates:
        passage_terms[candidate.passage] |= candidate.terms
    in_corpus = frequencies and frequencies(question_terms)
    share = _weighted_share(question_terms, text_terms, in_corpus, _answer_kind(question))
    return _Candidates(candidates, title_terms, passage_terms, share)


def _weighted_mean(cosine: float, share: float) -> float:
    return EMBEDDER_WEIGHT * cosine + (1 - EMBEDDER_WEIGHT) * share


def _weighted_share(
    question_terms: Set[str],
    text_terms: Sequence[Set[str]],
    in_corpus: "Frequencies | None" = None,
    answer_kind: Set[str] = frozenset(),
) -> Callable[[Set[str]], float]:
    """A function from a subset of the question's terms to its share of their total weight, from 0 to 1.

    ``text_terms`` are the question's terms in each text; the terms in ``answer_kind`` weigh less.
    """
    weights = _weights(question_terms, Counter(term for matched in text_terms for term in matched), len(text_terms))
    if in_corpus is not None and in_corpus.documents:
        corpus_weights = _weights(question_terms, in_corpus.containing, in_corpus.documents)
        weights = {term: (weight + corpus_weights[term]) / 2 for term, weight in weights.items()}
    weights = {term: weight * ANSWER_KIND_FACTOR if term in answer_kind else weight for term, weight in weights.items()}
    total = math.fsum(weights.values())  # fsum, so that the share of all terms is exactly 1
    return lambda subset: math.fsum(weights[term] for term in subset) / total if subset else 0.0


def _answer_kind(question: str) -> Set[str]:
    """The terms of "drug" in "which drug causes headaches"; empty for other questions."""
    match = _ANSWER_KIND.match(question)
    return frozenset(terms(match["english"] or match["german"])) if match else frozenset()


def _weights(question_terms: Set[str], containing: Mapping[str, int], texts: int) -> dict[str, float]:
    """The inverse document frequency of each term, divided by the sum for all terms.

    ``containing`` is the number of texts with each term, out of ``texts``.
    """
    rarity = {
        term: math.log(1 + (texts - containing[term] + 0.5) / (containing[term] + 0.5)) for term in question_terms
    }
    total = math.fsum(rarity.values())
    return {term: value / total for term, value in rarity.items()}


def asks_for_fact(question: str) -> bool:
    """Whether a question begins with how many, which, when or the like, in English, German, French or Spanish."""
    return _FACT_QUESTION.match(question) is not None


def _asks_for_finding(question: str) -> bool:
    """Whether a question is a yes/no question, which a finding answers."""
    if asks_for_fact(question):
        return False
    return _YES_NO_QUESTION.match(question) is not None or question.rstrip().endswith(("?", "？", "؟"))


def _factors(pool: _Candidates, passages: int, *, asks_for_finding: bool) -> list[float]:
    """Each sentence's factor: low for headings, questions and, with ``asks_for_finding``, for aims and methods."""
    log_odds = [finding_log_odds(one.text) if one.sentence.is_evidence else None for one in pool.sentences]
    affected = {  # indices of the passages to which the finding factor applies
        one.passage
        for one, odds in zip(pool.sentences, log_odds, strict=True)
        if asks_for_finding and odds is not None and odds < AIM_LOG_ODDS
    }
    if 3 * len(affected) > passages:
        affected = set(range(passages))

    def factor(passage: int, odds: float | None) -> float:
        if odds is None:
            return NO_EVIDENCE_FACTOR
        if passage not in affected:
            return 1.0
        return MIN_FINDING_FACTOR + (1 - MIN_FINDING_FACTOR) / (1 + math.exp(-FINDING_SLOPE * (odds + LOG_ODDS_OFFSET)))

    return [factor(one.passage, odds) for one, odds in zip(pool.sentences, log_odds, strict=True)]


def _distinct(ranked: Sequence[tuple[_Candidate, float]], passages: Sequence[Passage]) -> list[Citation]:
    """Citations in order of their scores; each sentence is in one citation only.

    A sentence that refers back to a cited sentence extends that citation if it adds a word of the question; otherwise
    it is left out.
    """
    passages_with: dict[tuple[str, ...], list[int]] = {}
    for candidate, _ in ranked:
        passages_with.setdefault(candidate.normalized, []).append(candidate.passage)
    citation_of: dict[str, int] = {}  # by sentence: the index of the citation that contains it
    citations: list[Citation] = []
    cited_terms: list[Set[str]] = []  # by citation: the question's terms in it
    for candidate, score in ranked:
        passage, sentence = passages[candidate.passage], candidate.sentence
        index = next((citation_of[part] for part in candidate.normalized if part in citation_of), len(citations))
        existing = citations[index] if index < len(citations) else None
        if existing is not None and (
            existing.passage_id != passage.id
            or existing.start != sentence.context_start
            or not candidate.terms - cited_terms[index]
        ):
            continue
        others = [passages[other] for other in passages_with[candidate.normalized] if other != candidate.passage]
        also_in = [*passage.metadata.get("also_in", ()), *(other.origin or other.id for other in others)]
        citations[index : index + 1] = [  # replaces the existing citation, or is appended
            Citation(
                passage_id=passage.id,
                quote=candidate.text,
                start=sentence.context_start,
                end=sentence.end,
                score=min(1.0, score if existing is None else existing.score),
                headings=tuple(table_cells(sentence.header)) if sentence.header else (),
                also_in=tuple(dict.fromkeys(also_in)),
            )
        ]
        cited_terms[index : index + 1] = [candidate.terms]
        citation_of |= dict.fromkeys(candidate.normalized, index)
    return citations


def _normalized(text: str) -> str:
    return " ".join(text.casefold().split())
