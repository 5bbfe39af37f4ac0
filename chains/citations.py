"""Which sentences of a passage bear on a question, quoted verbatim."""

import math
from collections import Counter
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from chains.answer import Citation, Passage
from chains.models.findings import finding_log_odds
from corpus.sentences import heading_name, sentence_spans
from corpus.words import terms

OWN = 0.3  # a sentence's own part in how near it is to the question; the rest is its passage's
AIM = -1.0  # log-odds of a finding; a passage none of whose sentences is below it tells no aims and no methods
DOUBT = 1.5  # added to the log-odds of a finding: what is neither is marked down little
LEAST = 0.25  # of its score is what a sentence keeps that is surely no finding
NOTHING = 0.05  # the same of a heading or a question


def cite(question: str, passages: Sequence[Passage]) -> list[Citation]:
    """Every sentence of the passages that shares a word with the question, itself or by its heading, best first.

    A sentence's score, of at most 1, is how near it is to the question times how likely it reports a finding. How near:
    0.3 times the share of the question's words that it and its section's heading have, plus 0.7 times the share that
    its passage has with its document's title, because a finding seldom names again all that was asked. Each word is
    weighted by how rare it is among the passages' sentences (BM25's inverse document frequency,
    ln(1 + (N - n + 0.5) / (n + 0.5)), Robertson and Zaragoza 2009), and compared as ``corpus.words`` does.
    How likely: between 0.25 and 1, which lowers what tells the aim of a study or its methods
    (``findings.finding_log_odds``). It is 1 in a passage that tells neither, such as a guideline's, unless more than a
    third of the passages do; and 0.05 for headings, titles and questions, which say nothing themselves. The numbers'
    choice: docs/development/log.md, "Findings, not aims". Equal scores keep the passages' order.

    Args:
        question: in any script.
        passages: what the answer rests on, best first. A heading is known as such by its # or by the passage's
            metadata, ``section`` and ``title``.
    """
    sentences, share = _read(question, passages)
    together = _titles(question, passages)
    for sentence in sentences:
        together[sentence.passage] |= sentence.terms
    whole = [share(terms) for terms in together]
    findings = [finding_log_odds(one.text) if one.says else None for one in sentences]
    studies = {one.passage for one, odds in zip(sentences, findings, strict=True) if odds is not None and odds < AIM}
    if 3 * len(studies) > len(passages):
        studies = set(range(len(passages)))
    citations = [
        Citation(
            passage_id=passages[one.passage].id,
            quote=one.text,
            start=one.start,
            end=one.start + len(one.text),
            score=(OWN * share(one.terms) + (1 - OWN) * whole[one.passage]) * _likely(odds, one.passage in studies),
        )
        for one, odds in zip(sentences, findings, strict=True)
        if one.terms
    ]
    return sorted(citations, key=lambda citation: -citation.score)


def nearest(question: str, passages: Sequence[Passage]) -> float:
    """The greatest share of a question's words that a sentence of the passages has, with its heading and title.

    From 0 to 1; the title is the document's.
    """
    sentences, share = _read(question, passages)
    titles = _titles(question, passages)
    return max((share(sentence.terms | titles[sentence.passage]) for sentence in sentences), default=0.0)


@dataclass(frozen=True, slots=True)
class _Sentence:
    """``terms``: the question's words in it and in the heading above. ``says``: it is no heading and no question."""

    passage: int
    start: int
    text: str
    terms: Set[str]
    says: bool


def _read(question: str, passages: Sequence[Passage]) -> tuple[list[_Sentence], Callable[[Set[str]], float]]:
    """The passages' sentences, and what some of the question's words are worth of all."""
    asked = frozenset(terms(question))
    sentences, own = [], []
    for number, passage in enumerate(passages):
        sections = [name for name in str(passage.metadata.get("section") or "").split("; ") if name]
        names = {*sections, str(passage.metadata.get("title") or "")}
        above = asked.intersection(terms(sections[0])) if sections else frozenset()
        for start, end in sentence_spans(passage.text):
            text = passage.text[start:end]
            if not any(map(str.isalnum, text)):  # a rule across the page
                continue
            own.append(asked.intersection(terms(text)))
            heading = text.startswith("#") or heading_name(text) in names
            if heading:
                above = own[-1]
            sentences.append(_Sentence(number, start, text, own[-1] | above, not heading and not text.endswith("?")))
    return sentences, _share(asked, own)


def _titles(question: str, passages: Sequence[Passage]) -> list[Set[str]]:
    """The question's words that the title of each passage's document has."""
    asked = frozenset(terms(question))
    return [asked.intersection(terms(str(passage.metadata.get("title") or ""))) for passage in passages]


def coverage(question: str, texts: Sequence[str]) -> list[float]:
    """The share of a question's words that each text has, from 0 to 1, weighted by their rarity among the texts."""
    asked = frozenset(terms(question))
    found = [asked.intersection(terms(text)) for text in texts]
    share = _share(asked, found)
    return [share(terms) for terms in found]


def _share(asked: Set[str], found: Sequence[Set[str]]) -> Callable[[Set[str]], float]:
    """What some of the words that are asked for are worth, of all; ``found`` are those of them that each text has."""
    containing = Counter(term for terms in found for term in terms)
    weight = {term: _rarity(containing[term], len(found)) for term in asked}
    total = math.fsum(weight.values())
    return lambda terms: math.fsum(weight[term] for term in terms) / total if terms else 0.0


def _rarity(containing: int, count: int) -> float:
    return math.log(1 + (count - containing + 0.5) / (containing + 0.5))


def _likely(log_odds: float | None, in_study: bool) -> float:
    """By the log-odds of a finding; None of what says nothing."""
    if log_odds is None:
        return NOTHING
    return LEAST + (1 - LEAST) / (1 + math.exp(-(log_odds + DOUBT))) if in_study else 1.0


def best_of_each(citations: Sequence[Citation]) -> tuple[Citation, ...]:
    """The first citation of each passage, in their order."""
    best: dict[str, Citation] = {}
    for citation in citations:
        best.setdefault(citation.passage_id, citation)
    return tuple(best.values())
