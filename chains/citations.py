"""Which sentences of a passage bear on a question, quoted verbatim."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence, Set

from chains.answer import Citation, Passage
from chains.findings import finding_log_odds, stemmer
from corpus.sentences import sentence_spans

OWN = 0.3  # a sentence's own part in how near it is to the question; the rest is its passage's
DOUBT = 1.5  # added to the log-odds of a finding: what is no study's abstract is not marked down for it
LEAST = 0.25  # of its score is what a sentence keeps that is surely no finding
_WORD = re.compile(r"\w+")


def cite(question: str, passages: Sequence[Passage]) -> list[Citation]:
    """Every sentence of the passages that shares a word with the question, best first.

    A sentence's score, of at most 1, is how near it is to the question times how likely it reports a finding. How near:
    0.3 times the share of the question's words that it has, plus 0.7 times the share that its passage has, because a
    finding seldom names again all that was asked. Each word is weighted by how rare it is among the passages' sentences
    (BM25's inverse document frequency, ln(1 + (N - n + 0.5) / (n + 0.5)), Robertson and Zaragoza 2009), and compared by
    stem, without English stop words. How likely: between 0.25 and 1, which lowers what tells the aim of a study or its
    methods (``findings.finding_log_odds``). The numbers' choice: docs/log.md, "Findings, not aims". Equal scores keep
    the passages' order.

    Args:
        question: in any script; a script without spaces matches whole runs only.
        passages: what the answer rests on, best first.
    """
    spans = [(number, *span) for number, passage in enumerate(passages) for span in sentence_spans(passage.text)]
    quotes = [passages[number].text[start:end] for number, start, end in spans]
    asked = _terms(question)
    found = [_terms(quote) & asked for quote in quotes]
    share = _share(asked, found)
    together: list[set[str]] = [set() for _ in passages]
    for (number, *_), terms in zip(spans, found, strict=True):
        together[number] |= terms
    whole = [share(terms) for terms in together]
    citations = [
        Citation(
            passage_id=passages[number].id,
            quote=quote,
            start=start,
            end=end,
            score=(OWN * share(terms) + (1 - OWN) * whole[number]) * _likely(quote),
        )
        for (number, start, end), quote, terms in zip(spans, quotes, found, strict=True)
        if terms
    ]
    return sorted(citations, key=lambda citation: -citation.score)


def coverage(question: str, texts: Sequence[str]) -> list[float]:
    """The share of a question's words that each text has, from 0 to 1, weighted by their rarity among the texts."""
    asked = _terms(question)
    found = [_terms(text) & asked for text in texts]
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


def _likely(sentence: str) -> float:
    return LEAST + (1 - LEAST) / (1 + math.exp(-(finding_log_odds(sentence) + DOUBT)))


def best_of_each(citations: Sequence[Citation]) -> tuple[Citation, ...]:
    """The first citation of each passage, in their order."""
    best: dict[str, Citation] = {}
    for citation in citations:
        best.setdefault(citation.passage_id, citation)
    return tuple(best.values())


def _terms(text: str) -> frozenset[str]:
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    words = [word for word in _WORD.findall(text.lower()) if word not in STOPWORDS_EN_PLUS]
    return frozenset(stemmer().stemWords(words))
