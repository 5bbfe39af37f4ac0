"""Sentences of passages that bear on a question, quoted verbatim, ranked by meaning and by words."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chains.answer import Citation, Passage
from chains.models.findings import finding_log_odds
from corpus.evidence import Kind, Sentence, sentences, table_cells
from corpus.words import terms

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from retrievers.base import Frequencies

MEANING = 4 / 7  # weight of the embedder's similarity; the rest is the weight of the shared words
OWN = 0.3  # weight of a sentence's own nearness; the rest is the weight of its passage's
AIM = -1.75  # log-odds of a finding; a passage with no sentence below it states no aims and no methods
DOUBT = 1.0  # added to the log-odds of a finding, so that only clear aims and methods lose much
STEEP = 2.0  # slope of the factor over the log-odds
LEAST = 0.2  # factor of a sentence that is certainly no finding
NOTHING = 0.05  # factor of a heading or a question
ASKED_FOR = 0.25  # factor of the word that names the kind of what is asked for
READ = 24  # number of sentences that a cross-encoder reads
CROSS = 0.5  # weight of a cross-encoder's score; the rest is the weight of nearness
WEAK = 0.5  # nearness of the best passage below which evidence is weak
WEAK_WORDS = 0.3  # the same without an embedder: share of the question's words

_POLAR = re.compile(  # begins a question that is answered with yes or no
    r"\W*(?:is|are|was|were|do|does|did|can|could|may|might|must|shall|should|will|would|has|have|had)\b", re.IGNORECASE
)
_FACTUAL = re.compile(  # begins a question for a fact, which may be an aim or a method
    r"\W*(?:(?:at|by|for|from|in|of|on|to|with|after|within|until)\s)?(?:how|what|which|who|whom|whose|when|where|why"
    r"|wie|was|welche[mnrs]?|wer|wen|wem|wann|wo|warum|combien|comment|quels?|quelles?|qui|quand|pourquoi|qué|cuándo"
    r"|cuánt[oa]s?|cómo|quién|cuál(?:es)?)\b",
    re.IGNORECASE,
)
_KIND = re.compile(  # "which drug causes": the word behind it names the kind of what is asked for
    r"(?i:\W*(?:(?:at|by|for|from|in|of|on|to|with|after|within|until)\s)?(?:which|what)\s(?P<english>\w+)\s"
    r"(?:is|are|was|were|do|does|did|can|could|may|might|must|should|will|would|has|have|had"
    r"|(?:caus|reduc|increas|decreas|improv|reliev|rais|induc|produc|cur)(?:es?|ed)"
    r"|(?:prevent|treat|lower|help|protect|predict|confirm|exclude?|affect|interact|show|need|lead|work)(?:s|ed)?)\b)"
    r"|\W*(?:\w+\s)?[Ww]elche[mnrs]?\s(?P<german>[A-ZÄÖÜ]\w+)\s(?=[a-zäöü])"
)

Lookup = Callable[[Set[str]], "Frequencies | None"]
"""Document frequencies of terms in a corpus; see ``Retriever.frequencies``."""
Relevance = Callable[[str, Sequence[str]], Sequence[float]]
"""How likely each text is to answer a question, from 0 to 1; see ``Reranker.relevance``."""


def cite(
    question: str,
    passages: Sequence[Passage],
    embedder: "Embeddings | None" = None,
    frequencies: Lookup | None = None,
    relevance: Relevance | None = None,
) -> list[Citation]:
    """Sentences of all passages that bear on the question, best first.

    A sentence's score, of at most 1, is its nearness to the question times a factor for findings. Nearness is the
    weighted mean of two measures: the cosine of the embedder's vectors, and the share of the question's words that the
    sentence has with the heading above it. A word weighs the more the fewer sentences of the passages, and documents of
    the corpus, have it: it counts the mean of its two shares of the words' inverse document frequencies, which are
    BM25's, ln(1 + (N - n + 0.5) / (n + 0.5)) (Robertson and Zaragoza 2009). The noun of "which drug" counts a quarter,
    because an answer names the drug instead. A finding seldom repeats all that was asked, so 0.7 of a sentence's
    nearness is its passage's: the greatest cosine of its sentences, and the share of words that they have together with
    the document's title.

    The factor for findings lies between 0.2 and 1 and lowers a study's aims and methods
    (``findings.finding_log_odds``). It is 1 in a passage that states neither, unless more than a third of the passages
    do, and everywhere if the question asks for a fact (how many, which, when) or is a statement.
    ``benchmarks/citations.py`` measures these choices. Equal scores keep the passages' order.

    References, tables of contents and navigation are never quoted, headings and questions only where nothing else is
    (``corpus.evidence``). A sentence that refers back to the one before it is quoted with that one. A row of a table
    comes with its column headings. A sentence that stands in several passages is quoted once, with the names of the
    others.

    Args:
        question: in any script.
        passages: what the answer rests on, best first; ``section`` and ``title`` of their metadata name headings.
        embedder: compares by meaning; without one, words alone decide and sentences without a word of the question
            are left out.
        frequencies: of terms in the whole corpus; without them the passages' sentences alone weigh the words.
        relevance: of a cross-encoder, which reads the question with each of the 24 best sentences. Its score is then
            half of a sentence's nearness; that of a sentence that it does not read counts as 0.
    """
    return select(question, passages, embedder, frequencies, relevance).citations


@dataclass(frozen=True, slots=True)
class Selection:
    """Citations, best first, and how near the passages are to the question.

    ``nearest`` is, with an embedder, the greatest nearness of a passage (see ``cite``); without one, the greatest share
    of the question's words that a sentence has with its heading and its document's title. ``is_weak`` says that it is
    below the threshold of its kind.
    """

    citations: list[Citation]
    nearest: float
    is_weak: bool


def select(
    question: str,
    passages: Sequence[Passage],
    embedder: "Embeddings | None" = None,
    frequencies: Lookup | None = None,
    relevance: Relevance | None = None,
) -> Selection:
    """``cite`` with a judgement of the evidence; the arguments are the same."""
    read = _read(question, passages, frequencies)
    if not read.sentences:
        return Selection([], 0.0, is_weak=True)
    words = [read.share(one.terms) for one in read.sentences]
    together = [read.share(whole) for whole in read.wholes]
    if embedder is None:
        own, whole = words, together
        most = max(read.share(one.terms | read.titles[one.passage]) for one in read.sentences)
    else:
        meant = similarities(embedder, question, [one.in_context for one in read.sentences])
        nearest_of = [-1.0] * len(passages)
        for one, cosine in zip(read.sentences, meant, strict=True):
            nearest_of[one.passage] = max(nearest_of[one.passage], cosine)
        own = [_mixed(*pair) for pair in zip(meant, words, strict=True)]
        whole = [_mixed(*pair) for pair in zip(nearest_of, together, strict=True)]
        most = max(whole)
    near = [
        OWN * value + (1 - OWN) * whole[one.passage] if embedder is not None or one.terms else 0.0
        for one, value in zip(read.sentences, own, strict=True)
    ]
    likely = _likely(read, len(passages), by_findings=_asks_finding(question))
    scores = [value * factor for value, factor in zip(near, likely, strict=True)]
    if relevance is not None:
        first = sorted(range(len(scores)), key=lambda number: -round(scores[number], 6))[:READ]
        found = relevance(question, [read.sentences[number].in_context for number in first])
        relevant = dict(zip(first, found, strict=True))
        scores = [
            ((1 - CROSS) * near[number] + CROSS * relevant.get(number, 0.0)) * factor
            for number, factor in enumerate(likely)
        ]
    ranked = sorted(zip(read.sentences, scores, strict=True), key=lambda pair: -round(pair[1], 6))
    citations = _distinct([pair for pair in ranked if pair[1] > 0], passages)
    return Selection(citations, most, is_weak=most < (WEAK_WORDS if embedder is None else WEAK))


def coverage(question: str, texts: Sequence[str]) -> list[float]:
    """The share of a question's words that each text has, from 0 to 1, weighted by their rarity among the texts."""
    asked = frozenset(terms(question))
    found = [asked & set(terms(text)) for text in texts]
    share = _share(asked, found)
    return [share(one) for one in found]


def similarities(embedder: "Embeddings", question: str, texts: Sequence[str]) -> list[float]:
    """Cosine of the question and each text, in one batch."""
    import numpy as np

    if not texts:
        return []
    distinct = list(dict.fromkeys(texts))
    vectors = np.asarray([embedder.embed_query(question), *embedder.embed_documents(distinct)], dtype=np.float64)
    lengths = np.linalg.norm(vectors, axis=1)
    lengths[lengths == 0] = 1.0
    vectors /= lengths[:, None]
    found = dict(zip(distinct, (vectors[1:] @ vectors[0]).tolist(), strict=True))
    return [found[text] for text in texts]


def best_of_each(citations: Sequence[Citation]) -> tuple[Citation, ...]:
    """The first citation of each passage, in their order."""
    best: dict[str, Citation] = {}
    for citation in citations:
        best.setdefault(citation.passage_id, citation)
    return tuple(best.values())


def notices(passages: Sequence[Passage]) -> list[str]:
    """A note for each passage whose document was retracted or is under an expression of concern."""
    notes: list[str] = []
    for one in passages:
        if notice := " ".join(str(one.metadata.get("notice") or "").split()):
            name = one.origin or one.id
            notes.append(name if name.casefold().startswith(notice.casefold()) else f"{notice}: {name}")
    return list(dict.fromkeys(notes))


@dataclass(frozen=True, slots=True)
class _Found:
    """A sentence of a passage, with what it refers back to.

    ``parts`` are its sentences, each in one line of small letters; ``terms`` are the question's words in it and in the
    heading above.
    """

    passage: int
    sentence: Sentence
    text: str
    parts: tuple[str, ...]
    terms: Set[str]

    @property
    def in_context(self) -> str:
        """The text below its heading and its table's header."""
        above = (self.sentence.heading, self.sentence.header) if self.sentence.is_evidence else ()
        return "\n".join([*filter(None, above), self.text])


@dataclass(frozen=True, slots=True)
class _Read:
    """The quotable sentences, and by passage the question's words in its title, and in all of it.

    ``share`` gives the weight of some of the question's words, of all.
    """

    sentences: list[_Found]
    titles: Sequence[Set[str]]
    wholes: Sequence[Set[str]]
    share: Callable[[Set[str]], float]


def _read(question: str, passages: Sequence[Passage], frequencies: Lookup | None) -> _Read:
    asked = frozenset(terms(question))
    found: list[_Found] = []
    own: list[Set[str]] = []
    for number, passage in enumerate(passages):
        section, title = (str(passage.metadata.get(name) or "") for name in ("section", "title"))
        for one in sentences(passage.text, section, title):
            if one.kind in (Kind.REFERENCE, Kind.NAVIGATION):
                continue
            text = passage.text[one.context_start : one.end]
            own.append(asked & set(terms(text)))
            beside = terms(f"{one.heading}\n{one.header}") if one.is_evidence else []
            before = found[-1].parts if one.context_start < one.start else ()
            parts = (*before, _plain(passage.text[one.start : one.end]))
            found.append(_Found(number, one, text, parts, own[-1] | (asked & set(beside))))
    titles = [asked & set(terms(str(passage.metadata.get("title") or ""))) for passage in passages]
    wholes = [set(title) for title in titles]
    for sentence in found:
        wholes[sentence.passage] |= sentence.terms
    return _Read(found, titles, wholes, _share(asked, own, frequencies and frequencies(asked), _kind(question)))


def _mixed(cosine: float, share: float) -> float:
    return MEANING * cosine + (1 - MEANING) * share


def _share(
    asked: Set[str],
    found: Sequence[Set[str]],
    corpus: "Frequencies | None" = None,
    kind: Set[str] = frozenset(),
) -> Callable[[Set[str]], float]:
    """The weight of some of the words that are asked for, of all; ``found`` are those of them that each text has.

    Those of ``kind`` weigh less.
    """
    weight = _weights(asked, Counter(term for terms in found for term in terms), len(found))
    if corpus is not None and corpus.documents:
        other = _weights(asked, corpus.containing, corpus.documents)
        weight = {term: (own + other[term]) / 2 for term, own in weight.items()}
    weight = {term: value * ASKED_FOR if term in kind else value for term, value in weight.items()}
    total = math.fsum(weight.values())  # so that all words together have 1, without a rounding error
    return lambda terms: math.fsum(weight[term] for term in terms) / total if terms else 0.0


def _kind(question: str) -> Set[str]:
    """The word of a question that a sentence which answers it replaces: "drug" in "which drug causes headaches"."""
    found = _KIND.match(question)
    return frozenset(terms(found["english"] or found["german"])) if found else frozenset()


def _weights(asked: Set[str], containing: Mapping[str, int], count: int) -> dict[str, float]:
    """The rarity of each word, of 1 for all together."""
    rarity = {term: _rarity(containing[term], count) for term in asked}
    total = math.fsum(rarity.values())
    return {term: value / total for term, value in rarity.items()}


def _rarity(containing: int, count: int) -> float:
    return math.log(1 + (count - containing + 0.5) / (containing + 0.5))


def asks_for_fact(question: str) -> bool:
    """Whether a question begins as one that yes and no do not answer: how many, which, when; not in every language."""
    return _FACTUAL.match(question) is not None


def _asks_finding(question: str) -> bool:
    """Whether a question is one of yes or no, which a finding answers."""
    if _POLAR.match(question):
        return True
    return question.rstrip().endswith(("?", "？", "؟")) and not asks_for_fact(question)


def _likely(read: _Read, passages: int, *, by_findings: bool) -> list[float]:
    """A factor for each sentence: low for headings and questions and, where findings count, for aims and methods."""
    odds = [finding_log_odds(one.text) if one.sentence.is_evidence else None for one in read.sentences]
    studies: set[int] = set()
    if by_findings:
        studies = {one.passage for one, log in zip(read.sentences, odds, strict=True) if log is not None and log < AIM}
        if 3 * len(studies) > passages:
            studies = set(range(passages))

    def factor(passage: int, log: float | None) -> float:
        if log is None:
            return NOTHING
        return LEAST + (1 - LEAST) / (1 + math.exp(-STEEP * (log + DOUBT))) if passage in studies else 1.0

    return [factor(one.passage, log) for one, log in zip(read.sentences, odds, strict=True)]


def _distinct(ranked: Sequence[tuple[_Found, float]], passages: Sequence[Passage]) -> list[Citation]:
    """Citations in their order, each sentence in one of them.

    A sentence that refers back to one that is quoted already lengthens that quote if it adds a word of the question.
    """
    places: dict[tuple[str, ...], list[int]] = {}
    for one, _ in ranked:
        places.setdefault(one.parts, []).append(one.passage)
    quoted: dict[str, int] = {}  # by sentence: the citation that has it
    citations: list[Citation] = []
    has: list[Set[str]] = []  # by citation: the question's words in it
    for one, score in ranked:
        passage, sentence = passages[one.passage], one.sentence
        at = next((quoted[part] for part in one.parts if part in quoted), len(citations))
        before = citations[at] if at < len(citations) else None
        if before is not None and (
            before.passage_id != passage.id or before.start != sentence.context_start or not one.terms - has[at]
        ):
            continue
        names = [*passage.metadata.get("also_in", ())]
        names += [passages[other].origin or passages[other].id for other in places[one.parts] if other != one.passage]
        citations[at : at + 1] = [
            Citation(
                passage_id=passage.id,
                quote=one.text,
                start=sentence.context_start,
                end=sentence.end,
                score=min(1.0, score if before is None else before.score),
                headings=tuple(table_cells(sentence.header)) if sentence.header else (),
                also_in=tuple(dict.fromkeys(names)),
            )
        ]
        has[at : at + 1] = [one.terms]
        quoted |= dict.fromkeys(one.parts, at)
    return citations


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
