"""Which sentences of a passage bear on a question, quoted verbatim."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from chains.answer import Citation, Passage
from corpus.sentences import sentence_spans

if TYPE_CHECKING:
    from Stemmer import Stemmer

_WORD = re.compile(r"\w+")


def cite(question: str, passages: Sequence[Passage]) -> list[Citation]:
    """Every sentence of the passages that shares a word with the question, best first.

    A sentence's score is the share of the question's words that it contains, each word weighted by how rare it is
    among the passages' sentences (BM25's inverse document frequency, ln(1 + (N - n + 0.5) / (n + 0.5)), Robertson and
    Zaragoza 2009); 1 is a sentence with all of them. Words are compared by stem, without English stop words. Equal
    scores keep the passages' order.

    Args:
        question: in any script; a script without spaces matches whole runs only.
        passages: what the answer rests on, best first.
    """
    sentences = [
        (passage, start, end, _terms(passage.text[start:end]))
        for passage in passages
        for start, end in sentence_spans(passage.text)
    ]
    asked = _terms(question)
    containing = Counter(term for *_, terms in sentences for term in terms & asked)
    weight = {term: _rarity(containing[term], len(sentences)) for term in asked}
    total = math.fsum(weight.values())
    citations = [
        Citation(
            passage_id=passage.id,
            quote=passage.text[start:end],
            start=start,
            end=end,
            score=math.fsum(weight[term] for term in terms & asked) / total,
        )
        for passage, start, end, terms in sentences
        if terms & asked
    ]
    return sorted(citations, key=lambda citation: -citation.score)


def coverage(question: str, texts: Sequence[str]) -> list[float]:
    """How much of a question each text has, from 0 to 1: as ``cite`` scores sentences, with rarity among the texts."""
    asked = _terms(question)
    found = [_terms(text) & asked for text in texts]
    containing = Counter(term for terms in found for term in terms)
    weight = {term: _rarity(containing[term], len(texts)) for term in asked}
    total = math.fsum(weight.values())
    return [math.fsum(weight[term] for term in terms) / total if terms else 0.0 for terms in found]


def _rarity(containing: int, count: int) -> float:
    return math.log(1 + (count - containing + 0.5) / (containing + 0.5))


def best_of_each(citations: Sequence[Citation]) -> tuple[Citation, ...]:
    """The first citation of each passage, in their order."""
    best: dict[str, Citation] = {}
    for citation in citations:
        best.setdefault(citation.passage_id, citation)
    return tuple(best.values())


def _terms(text: str) -> frozenset[str]:
    from bm25s.stopwords import STOPWORDS_EN_PLUS

    words = [word for word in _WORD.findall(text.lower()) if word not in STOPWORDS_EN_PLUS]
    return frozenset(_stemmer().stemWords(words))


@cache
def _stemmer() -> "Stemmer":
    from Stemmer import Stemmer

    return Stemmer("english")
